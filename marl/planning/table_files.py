"""Tables as files: CSV, Excel or Parquet, of which a spreadsheet runs nothing."""

from __future__ import annotations

import csv
import io
from datetime import date
from pathlib import Path
from typing import Literal

from envs.errors import InputError
from envs.spreadsheet import write_name
from marl.planning.order_tables import ORDERS, Table, TableCell
from marl.runs.files import write_file

Format = Literal["csv", "xlsx", "parquet"]
FORMATS: tuple[Format, ...] = ("csv", "xlsx", "parquet")


def choose_format(name: str | None, path: Path | None) -> Format:
    """Returns the format of a file.

    Args:
        name: that was asked for; None: as the path ends, else CSV.
        path: of the file; None: there is none.

    Raises:
        InputError: if there is no such format.
    """
    if name is None:
        ending = "" if path is None else path.suffix.lower()
        return next((known for known in FORMATS if ending == f".{known}"), "csv")
    for known in FORMATS:
        if name == known:
            return known
    raise InputError(f"--format: {name!r} is not known; allowed: {', '.join(FORMATS)}")


def write_tables(path: Path, tables: list[Table], kind: Format, field: str) -> dict[Path, Table]:
    """Writes each table to a file of its own; returns what was written where.

    Args:
        path: of the orders; the others stand beside them, as NAME-online.csv.
        tables: to write.
        kind: of the files.
        field: what messages call the path.

    Raises:
        InputError: if a file cannot be written.
    """
    written = {
        path if t.name == ORDERS else path.with_name(f"{path.stem}-{t.name}{path.suffix}"): t
        for t in tables
    }
    contents = {place: _encode(table, kind) for place, table in written.items()}
    for place, content in contents.items():
        write_file(place, content, field)
    return written


def _encode(table: Table, kind: Format) -> str | bytes:
    match kind:
        case "csv":
            return to_csv(table)
        case "xlsx":
            return _to_xlsx(table)
        case "parquet":
            return _to_parquet(table)


def to_csv(table: Table) -> str:
    """Returns a table as CSV text: numbers with as many digits as a planner reads."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows([_to_text(cell) for cell in row] for row in table.rows)
    return text.getvalue()


def _to_text(value: TableCell) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return write_name(value)
    return f"{value:.4f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _to_xlsx(table: Table) -> bytes:
    """An Excel file with one sheet, its dates as dates."""
    from openpyxl import Workbook

    book = Workbook(write_only=True)
    sheet = book.create_sheet(table.name)
    sheet.append(list(table.columns))
    for row in table.rows:
        sheet.append([write_name(cell) if isinstance(cell, str) else cell for cell in row])
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def _to_parquet(table: Table) -> bytes:
    """A Parquet file. Its texts are typed, so that names stay as they are."""
    import pyarrow
    from pyarrow import parquet

    types = {
        str: pyarrow.string(),
        int: pyarrow.int64(),
        float: pyarrow.float64(),
        date: pyarrow.date32(),
    }
    columns = {
        name: pyarrow.array([row[i] for row in table.rows], types[kind])
        for i, (name, kind) in enumerate(table.columns.items())
    }
    content = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), content)
    return content.getvalue()
