"""Sources: which kind of file a path leads to, and its columns as texts."""

from __future__ import annotations

import io
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from envs.errors import InputError
from envs.untrusted import MOST_TABLE, open_file, read_bytes, unpack
from marl.planning.from_data.csv_file import read_csv
from marl.planning.from_data.database import read_duckdb, read_parquet, read_sqlite
from marl.planning.from_data.excel import read_excel
from marl.planning.from_data.folder import read_folder
from marl.planning.from_data.large_csv import is_large, read_large_csv
from marl.planning.from_data.postgres import SCHEMES, read_postgres
from marl.planning.from_data.problems import Findings
from marl.planning.from_data.texts import Raw

_SCHEMES = ("sqlite:///", "duckdb:///")
_OLD_EXCEL = b"\xd0\xcf\x11\xe0"


@dataclass(frozen=True)
class Source:
    """Where a table is read from."""

    path: Path
    query: str | None = None  # of a database
    url: str | None = None  # of a server; it stands for the path

    @classmethod
    def parse(cls, text: str, query: str | None = None, option: str = "--demand") -> Source:
        """Returns the source that a text names: a path, or the URL of a database."""
        if text.startswith(SCHEMES):
            return cls(Path(), query, text)
        for scheme in _SCHEMES:
            if text.startswith(scheme):
                path, _, own = text.removeprefix(scheme).partition("?")
                return cls(Path(path), query or own or None)
        if "://" in text:
            raise InputError(
                f"{option}: '{text}' is not allowed; a file, a folder, {_SCHEMES[0]}FILE, "
                f"{_SCHEMES[1]}FILE or {SCHEMES[0]}USER@HOST/NAME is needed"
            )
        return cls(Path(text), query)


def read_raw(source: Source, findings: Findings) -> Raw:
    """Returns the columns of a source: CSV, Excel, Parquet, a database; plain, .gz or .zip.

    Raises:
        InputError: names the file, and what is wrong with it.
    """
    if source.url is not None:
        return read_postgres(source.url, source.query, partial(_read_copy, findings))
    path, file = source.path, str(source.path)
    if not path.exists():
        raise InputError(f"{file}: this file does not exist; give the path of a CSV file")
    if path.is_dir():
        return read_folder(path, lambda own: read_raw(Source(own), findings))
    place = f"{file}, line 1, column 1"
    with open_file(path, place) as opened:
        start = opened.read(16)
    if start.startswith(b"SQLite format 3"):
        return read_sqlite(path, file, source.query)
    if start[8:12] == b"DUCK":
        return read_duckdb(path, file, source.query)
    if source.query is not None:
        raise InputError(f"--query: '{file}' is no SQLite or DuckDB database; leave --query out")
    if start.startswith(b"PAR1"):
        return read_parquet([path], file)
    if not start.startswith((b"PK\x03\x04", _OLD_EXCEL)) and is_large(path):
        return read_large_csv([path], file)
    content = unpack(read_bytes(path, place, MOST_TABLE), f"{place}:")
    return _read_content(content, file, findings)


def _read_copy(findings: Findings, path: Path, file: str) -> Raw:
    """The rows of a CSV file that was made for this alone."""
    if is_large(path):
        return read_large_csv([path], file)
    return read_csv(read_bytes(path, file, MOST_TABLE), file, findings)


def _read_content(content: bytes, file: str, findings: Findings) -> Raw:
    if content.startswith(_OLD_EXCEL):
        return read_excel(content, file)
    if content.startswith(b"PAR1"):
        with tempfile.TemporaryDirectory(prefix="omnichannel-") as folder:
            copy = Path(folder, "table.parquet")
            copy.write_bytes(content)
            return _load(read_parquet([copy], file))
    if not content.startswith(b"PK\x03\x04"):
        return read_csv(content, file, findings)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if "[Content_Types].xml" in archive.namelist():
                return read_excel(content, file)
            inner = _unzip(archive, file)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
        raise InputError(f"{file}, line 1, column 1: a damaged .zip file") from None
    if inner.startswith(b"PK\x03\x04") and not _is_excel(inner):
        raise InputError(f"{file}, line 1, column 1: a .zip file in a .zip file; unpack it")
    return _read_content(inner, file, findings)


def _is_excel(content: bytes) -> bool:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return "[Content_Types].xml" in archive.namelist()


def _unzip(archive: zipfile.ZipFile, file: str) -> bytes:
    """The only file of an archive."""
    entries = [e for e in archive.infolist() if not e.is_dir() and "__MACOSX" not in e.filename]
    if len(entries) != 1:
        found = ", ".join(entry.filename for entry in entries[:10])
        raise InputError(
            f"{file}: {len(entries)} files are in this .zip file ({found}); unpack it and name one"
        )
    with archive.open(entries[0]) as opened:
        content = opened.read(MOST_TABLE + 1)
    if len(content) > MOST_TABLE:
        raise InputError(f"{file}: holds more than {MOST_TABLE:,} bytes, which are allowed")
    return unpack(content, f"{file}:")


def _load(raw: Raw) -> Raw:
    """The same, with all columns read at once: their file is about to go."""
    columns = [raw.read(i) for i in range(len(raw.header))]
    return Raw(
        file=raw.file,
        header=raw.header,
        read=columns.__getitem__,
        first_line=raw.first_line,
        place=raw.place,
    )
