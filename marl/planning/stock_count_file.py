"""Stock counts as CSV files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from envs.errors import InputError
from envs.untrusted import read_bytes
from marl.planning.stock_cells import KEYS, Cures, Row
from marl.planning.stock_columns import check_columns
from marl.planning.stock_count import StockCount, StockCountSchema
from marl.planning.stock_texts import translate

if TYPE_CHECKING:
    from _csv import Reader as CsvReader


def read_stock_count(path: Path, schema: StockCountSchema, *, fix: bool = False) -> StockCount:
    """Reads a stock count.

    An Excel workbook, or comma, semicolon or tab separated (as spreadsheets write them), UTF-8 with
    or without a byte order mark. Dates and numbers may have the forms of their country. Negative
    stock counts as none, and rows of unknown nodes and SKUs are left out, with notes.

    Args:
        path: of the file.
        schema: of the scenario.
        fix: whether rows that are missing stand for empty shelves; else they are refused.

    Raises:
        InputError: names the file, the line, the column and what is allowed.
    """
    content = read_bytes(path, "--state")
    if content.startswith(b"PK"):
        return schema.parse(_read_workbook(content, path, schema), str(path), cures=Cures(fix=fix))
    text = _decode(content, path)
    separator = max(",;\t", key=text.partition("\n")[0].count)  # whichever is there most often
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    try:
        rows = _iterate_rows(lines, path, schema, separator)
        return schema.parse(rows, str(path), cures=Cures(fix=fix))
    except csv.Error as error:
        raise InputError(f"{path}, line {lines.line_num}: not a CSV line ({error})") from None


def _read_workbook(content: bytes, path: Path, schema: StockCountSchema) -> Iterator[Row]:
    from marl.planning.from_data.excel import read_excel

    raw = read_excel(content, str(path))
    columns = [raw.read(i) for i in range(len(raw.header))]
    cells = [[texts.values[code] for code in texts.codes] for texts in columns]
    where = [f"{path}, line {raw.first_line + row}" for row in range(len(columns[0].codes))]
    header = _check_header(raw.header, path, schema)
    return _name_cells(where, header, cells, raw.separator)


def _check_header(names: list[str], path: Path, schema: StockCountSchema) -> list[str]:
    """The columns' names as a stock count writes them, in small letters."""
    header = [name.strip() for name in names]
    if not any(header):
        raise InputError(f"{path}, line 1: empty; a line with the names of the columns is needed")
    small = [name if name in schema.columns else name.lower() for name in header]
    known = {*schema.columns, *KEYS}
    header = [own if own in known else name for own, name in zip(small, header, strict=True)]
    check_columns(f"{path}, line 1", header, schema.columns)
    return header


def _name_cells(
    where: list[str], header: list[str], columns: list[list[str]], separator: str
) -> Iterator[Row]:
    """Rows of cells by column, those of their country as a stock count has them."""
    own = [translate(name, cells, separator) for name, cells in zip(header, columns, strict=True)]
    for place, cells in zip(where, zip(*own, strict=True), strict=True):
        if any(cells):
            yield place, dict(zip(header, cells, strict=True))


def _iterate_rows(
    lines: CsvReader, path: Path, schema: StockCountSchema, separator: str
) -> Iterator[Row]:
    header = _check_header(next(lines, []), path, schema)
    # A cell in quotes may hold line breaks, and an unclosed quote the rest of the file: a row is
    # named by its first line.
    first = lines.line_num + 1
    where: list[str] = []
    rows: list[list[str]] = []
    wrong: Exception | None = None
    try:
        for cells in lines:
            place, first = f"{path}, line {first}", lines.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                column = min(len(cells), len(header)) + 1
                wrong = InputError(
                    f"{place}, column {column}: {len(cells)} cells found; {len(header)} are "
                    "needed, as in line 1"
                )
                break
            where.append(place)
            rows.append(cells)
    except csv.Error as error:
        wrong = error
    if rows:
        columns = [list(cells) for cells in zip(*rows, strict=True)]
        yield from _name_cells(where, header, columns, separator)
    if wrong is not None:  # what is wrong in an earlier row is told first
        raise wrong


def _decode(content: bytes, path: Path) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        raise InputError(
            f"{path}, line {line}, column {column}: not UTF-8; save the file as CSV UTF-8"
        ) from None
