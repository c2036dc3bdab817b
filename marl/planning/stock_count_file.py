"""Stock counts as CSV files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from envs.errors import InputError
from envs.untrusted import read_bytes
from marl.planning.stock_cells import Cures, Row
from marl.planning.stock_columns import check_columns
from marl.planning.stock_count import StockCount, StockCountSchema

if TYPE_CHECKING:
    from _csv import Reader as CsvReader


def read_stock_count(path: Path, schema: StockCountSchema, *, fix: bool = False) -> StockCount:
    """Reads a stock count.

    Comma, semicolon or tab separated (as spreadsheets write them), UTF-8 with or without a byte
    order mark. Negative stock counts as none, and rows of unknown nodes and SKUs are left out, with
    notes.

    Args:
        path: of the file.
        schema: of the scenario.
        fix: whether rows that are missing stand for empty shelves; else they are refused.

    Raises:
        InputError: names the file, the line, the column and what is allowed.
    """
    text = _decode(read_bytes(path, "--state"), path)
    separator = max(",;\t", key=text.partition("\n")[0].count)  # whichever is there most often
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    try:
        rows = _iterate_rows(lines, path, schema)
        return schema.parse(rows, str(path), cures=Cures(fix=fix))
    except csv.Error as error:
        raise InputError(f"{path}, line {lines.line_num}: not a CSV line ({error})") from None


def _iterate_rows(lines: CsvReader, path: Path, schema: StockCountSchema) -> Iterator[Row]:
    header = [name.strip() for name in next(lines, [])]
    if not any(header):
        raise InputError(f"{path}, line 1: empty; a line with the names of the columns is needed")
    check_columns(f"{path}, line 1", header, schema.columns)
    # A cell in quotes may hold line breaks, and an unclosed quote the rest of the file: a row is
    # named by its first line.
    first = lines.line_num + 1
    for cells in lines:
        where, first = f"{path}, line {first}", lines.line_num + 1
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            raise InputError(
                f"{where}, column {min(len(cells), len(header)) + 1}: {len(cells)} cells found; "
                f"{len(header)} are needed, as in line 1"
            )
        yield where, dict(zip(header, cells, strict=True))


def _decode(content: bytes, path: Path) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        raise InputError(
            f"{path}, line {line}, column {column}: not UTF-8; save the file as CSV UTF-8"
        ) from None
