"""Excel workbooks: the cells of the one sheet that holds a table."""

from __future__ import annotations

import io
import zipfile
import zlib
from datetime import date, datetime, time, timedelta

from envs.errors import InputError
from envs.untrusted import MOST_TABLE
from marl.planning.from_data.csv_file import check_header
from marl.planning.from_data.texts import Raw, Texts

Cell = int | float | str | bool | date | datetime | time | timedelta | None
_MOST_ENTRIES = 10_000


def read_excel(content: bytes, file: str) -> Raw:
    """Reads a workbook: the first row that holds anything is the header.

    Raises:
        InputError: if it cannot be read, or if not exactly one sheet holds a table.
    """
    try:
        from python_calamine import CalamineError, CalamineWorkbook
    except ImportError:
        raise InputError(
            f"{file}: an Excel workbook needs `pip install 'omnichannel-marl[files]'`; or save it "
            "as CSV"
        ) from None

    plain = io.BytesIO(_repack(content, file))
    try:
        book = CalamineWorkbook.from_filelike(plain)
        sheets = {name: book.get_sheet_by_name(name).to_python() for name in book.sheet_names}
    except (CalamineError, OSError, ValueError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{file}: not readable as an Excel workbook ({reason})") from None
    filled = {name: rows for name, rows in sheets.items() if len(rows) > 1}
    if len(filled) != 1:
        found = ", ".join(filled) or "none"
        raise InputError(
            f"{file}: {len(filled)} sheets hold a table ({found}); one is needed: save it alone"
        )
    (rows,) = filled.values()
    blank = next(i for i, row in enumerate(rows) if any(cell != "" for cell in row))
    header = [_write_cell(cell) for cell in rows[blank]]
    check_header(header, file)
    body = rows[blank + 1 :]

    def read(position: int) -> Texts:
        return Texts.collect(_write_cell(row[position]) for row in body)

    return Raw(file=file, header=header, read=read, first_line=blank + 2)


def _repack(content: bytes, file: str) -> bytes:
    """The workbook with its parts as they are, so that none grows while it is read."""
    if not content.startswith(b"PK"):
        return content  # of before 2007: not packed
    copy = io.BytesIO()
    left = MOST_TABLE
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed, zipfile.ZipFile(copy, "w") as plain:
            entries = packed.infolist()
            if len(entries) > _MOST_ENTRIES or sum(entry.file_size for entry in entries) > left:
                raise InputError(f"{file}: the workbook holds more than {MOST_TABLE:,} bytes")
            for entry in entries:
                plain.writestr(entry.filename, packed.read(entry))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
        raise InputError(f"{file}: not readable as an Excel workbook (damaged)") from None
    return copy.getvalue()


def _write_cell(cell: Cell) -> str:
    """The text of a cell, as a CSV file would have it."""
    if isinstance(cell, bool):
        return str(int(cell))
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else repr(cell)
    if isinstance(cell, datetime):
        return cell.date().isoformat() if cell.time() == time() else cell.isoformat(" ")
    return "" if cell is None else str(cell)
