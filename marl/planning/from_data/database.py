"""Parquet files and databases: rows by a query, which DuckDB or SQLite runs."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np

from envs.errors import InputError
from envs.omnichannel.types import IntArray
from marl.planning.from_data.csv_file import check_header
from marl.planning.from_data.texts import Raw, Texts

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_LONGEST = 600  # seconds of a query
_BATCH = 10_000
_MEMORY = "1GB"


def read_parquet(paths: Sequence[Path], file: str) -> Raw:
    """Reads Parquet files as one table.

    Args:
        paths: of regular files.
        file: what messages call them.

    Raises:
        InputError: if they cannot be read as one table.
    """
    connection = _connect(file, ":memory:")
    names = ", ".join(_quote(str(path), "'") for path in paths)
    return _read_view(
        connection, file, f"SELECT * FROM read_parquet([{names}], union_by_name = true)"
    )


def read_duckdb(path: Path, file: str, query: str | None) -> Raw:
    """Reads what a query gives; without one, the only table.

    Raises:
        InputError: if the file is no database, or the query fails.
    """
    connection = _connect(file, str(path))
    connection.execute("SET enable_external_access = false")
    tables = [str(row[0]) for row in connection.execute("SHOW TABLES").fetchall()]
    return _read_view(connection, file, query or _select_only(tables, file))


def read_sqlite(path: Path, file: str, query: str | None) -> Raw:
    """Reads what a query gives; without one, the only table.

    Raises:
        InputError: if the file is no database, or the query fails.
    """
    end = monotonic() + _LONGEST
    positions: list[dict[str, int]] = []
    codes: list[list[IntArray]] = []
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        connection.set_progress_handler(lambda: monotonic() > end, 1_000_000)
        found = connection.execute(
            "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE "
            "'sqlite_%' ORDER BY name"
        )
        tables = [str(row[0]) for row in found]
        rows = connection.execute(query or _select_only(tables, file))
        header = [str(column[0]) for column in rows.description or ()]
        check_header(header, file)
        positions, codes = [{} for _ in header], [[] for _ in header]
        while batch := rows.fetchmany(_BATCH):
            for known, coded, cells in zip(positions, codes, zip(*batch, strict=True), strict=True):
                texts = ["" if cell is None else str(cell) for cell in cells]
                coded.append(np.array([known.setdefault(t, len(known)) for t in texts]))
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise _refuse(file, error) from None
    finally:
        connection.close()

    def read(position: int) -> Texts:
        parts = codes[position] or [np.zeros(0, np.int64)]
        return Texts.number([*positions[position]], np.concatenate(parts))

    return Raw(file=file, header=header, read=read, first_line=1, place="row")


def _connect(file: str, database: str) -> DuckDBPyConnection:
    try:
        import duckdb
    except ImportError:
        raise InputError(
            f"{file}: Parquet files and DuckDB databases need `pip install "
            "'omnichannel-marl[files]'`; or save it as CSV"
        ) from None

    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": _MEMORY,
        "temp_directory": tempfile.gettempdir(),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    try:
        connection = duckdb.connect(database, read_only=database != ":memory:", config=settings)
        connection.execute("SET TimeZone = 'UTC'")
    except duckdb.Error as error:
        raise _refuse(file, error) from None
    return connection


def _read_view(connection: DuckDBPyConnection, file: str, query: str) -> Raw:
    """The rows of a query; columns are read when they are asked for, in the same order."""
    import duckdb

    try:
        described = connection.sql(query)
        if described is None:
            raise InputError(f"{file}: the query gives no rows; one that begins with SELECT does")
        header = described.columns
        check_header(header, file)
        rows = described
    except duckdb.Error as error:
        raise _refuse(file, error) from None

    def read(position: int) -> Texts:
        column = _quote(header[position], '"')
        try:
            texts = rows.project(f"coalesce(CAST({column} AS VARCHAR), '') AS cell")
            distinct = [str(row[0]) for row in texts.distinct().order("cell").fetchall()]
            if not distinct:
                return Texts([], np.zeros(0, np.int64))
            members = ", ".join(_quote(value, "'") for value in distinct)
            cells = texts.project(f"CAST(cell AS ENUM({members})) AS cell").df()["cell"].cat
        except duckdb.Error as error:
            raise _refuse(file, error) from None
        return Texts.number([str(value) for value in cells.categories], cells.codes.to_numpy())

    return Raw(file=file, header=header, read=read, first_line=1, place="row")


def _select_only(tables: Sequence[str], file: str) -> str:
    """The query for all rows of the only table."""
    if len(tables) != 1:
        found = ", ".join(tables[:20]) or "none"
        raise InputError(f"{file}: {len(tables)} tables found ({found}); say which with --query")
    return f"SELECT * FROM {_quote(tables[0], chr(34))}"


def _quote(name: str, mark: str) -> str:
    return mark + name.replace(mark, 2 * mark) + mark


def _refuse(file: str, error: Exception) -> InputError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return InputError(f"{file}: cannot be read ({reason[:200]})")
