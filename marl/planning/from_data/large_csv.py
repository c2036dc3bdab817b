"""CSV files too large for memory: written once as Parquet, then read a column at a time."""

from __future__ import annotations

import gzip
import re
import shutil
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from weakref import finalize

from envs.errors import InputError
from envs.untrusted import MOST_TABLE, open_file
from marl.planning.from_data.csv_file import read_header
from marl.planning.from_data.database import connect, quote, read_parquet, refuse_rows
from marl.planning.from_data.texts import Raw, name_column, refuse, shorten

MOST_BYTES = 50_000_000_000  # of a CSV file
MOST_PACKED = 2_000_000_000  # of one that is packed
_GZIP = b"\x1f\x8b"
_START = 1_000_000  # bytes that hold the header
_GROUP = 4_000_000  # values of a row group, which DuckDB keeps in memory until it is written


def is_large(path: Path) -> bool:
    """Whether a text file, plain or .gz, is too large to be read as a whole."""
    with open_file(path, "--demand") as opened:
        is_packed = opened.read(2) == _GZIP
        size = opened.seek(0, 2)
        if is_packed and size >= 4:
            opened.seek(size - 4)  # a .gz file ends with its size unpacked, in four bytes
            size = max(size, int.from_bytes(opened.read(4), "little"))
    return size > MOST_TABLE


@dataclass(frozen=True, kw_only=True)
class _Start:
    """How a file begins."""

    header: list[str]
    separator: str
    is_packed: bool


def read_large_csv(paths: Sequence[Path], file: str) -> Raw:
    """Reads CSV files with the same columns as one table.

    Args:
        paths: of regular files, plain or .gz, in UTF-8.
        file: what messages call them together.

    Raises:
        InputError: names the file that cannot be read, and why.
    """
    starts = [_read_start(path) for path in paths]
    for path, start in zip(paths, starts, strict=True):
        other = {name_column(name) for name in starts[0].header}
        if {name_column(name) for name in start.header} != other:
            raise refuse_columns(str(path), str(paths[0]), starts[0].header)
        if start.separator != starts[0].separator:
            raise refuse_separator(str(path), str(paths[0]))
    folder = Path(tempfile.mkdtemp(prefix="omnichannel-"))
    try:
        parts = [folder / f"{i:06d}.parquet" for i in range(len(paths))]
        for path, start, part in zip(paths, starts, parts, strict=True):
            _convert(path, start, part)
        raw = read_parquet(parts, file, starts[0].separator)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finalize(raw.read, shutil.rmtree, folder, ignore_errors=True)
    return raw


def _convert(path: Path, start: _Start, part: Path) -> None:
    """Writes a CSV file as Parquet."""
    file, names = str(path), [name.strip() or f"_{i}" for i, name in enumerate(start.header)]
    columns = ", ".join(f"{quote(name, chr(39))}: 'VARCHAR'" for name in names)
    options = {
        "columns": f"{{{columns}}}",
        "delim": quote(start.separator, "'"),
        "compression": "'gzip'" if start.is_packed else "'none'",
        "header": "true",
        "auto_detect": "false",
        "null_padding": "true",
        "parallel": "false",  # or a line break in quotes is not allowed
        "quote": "'\"'",
        "escape": "'\"'",
    }
    given = ", ".join(f"{name} = {value}" for name, value in options.items())
    rows = max(_GROUP // len(names), 2048)
    connection = connect(file)
    import duckdb

    try:
        connection.execute(
            f"COPY (SELECT * FROM read_csv({quote(file, chr(39))}, {given})) TO "
            f"{quote(str(part), chr(39))} (FORMAT parquet, ROW_GROUP_SIZE {rows})"
        )
    except (duckdb.Error, RuntimeError, UnicodeError) as error:
        raise _explain(file, error) from None
    finally:
        connection.close()


def _explain(file: str, error: Exception) -> InputError:
    """The refusal of what DuckDB did not take for CSV."""
    text = str(error)
    line, counts = (
        re.search(r"on Line: (\d+)", text),
        re.search(r"Columns: (\d+) Found: (\d+)", text),
    )
    if line is None:
        return refuse_rows(file, error)
    if counts is None:
        return refuse(file, int(line[1]), "1", "not readable as CSV; is a quote left open?")
    expected, saw = (int(count) for count in counts.groups())
    message = f"{saw} values are not allowed; {expected} are needed, as in the header"
    return refuse(file, int(line[1]), str(expected + 1), message)


def _read_start(path: Path) -> _Start:
    """How a file begins, which is in its first line."""
    place = f"{path}, line 1, column 1"
    with open_file(path, place) as opened:
        is_packed = opened.read(2) == _GZIP
        most = MOST_PACKED if is_packed else MOST_BYTES
        if opened.seek(0, 2) > most:
            raise InputError(f"{path}: is too large; at most {most:,} bytes are allowed")
        opened.seek(0)
        try:
            content = (
                gzip.GzipFile(fileobj=opened).read(_START) if is_packed else opened.read(_START)
            )
        except (OSError, EOFError, zlib.error):
            raise InputError(f"{place}: cannot be read (a damaged .gz file)") from None
    line, found, _ = content.partition(b"\n")
    try:
        text = line.decode("utf-8-sig").rstrip("\r")
    except UnicodeDecodeError:
        text = ""
    if not found or not text or "\x00" in text:
        raise InputError(
            f"{place}: no header in UTF-8 found; more than {MOST_TABLE:,} bytes of CSV need one"
        )
    separator, header = read_header(text, str(path))
    return _Start(header=header, separator=separator, is_packed=is_packed)


def refuse_columns(file: str, other: str, header: Sequence[str]) -> InputError:
    """Returns the refusal of a file whose columns are not those of another one of its folder."""
    return InputError(
        f"{file}, line 1: its columns are not those of {other}, {shorten(', '.join(header))}; the "
        "files of a folder need the same columns"
    )


def refuse_separator(file: str, other: str) -> InputError:
    """Returns the refusal of a file whose columns are parted in another way."""
    return InputError(f"{file}, line 1: its columns are not parted as those of {other} are")
