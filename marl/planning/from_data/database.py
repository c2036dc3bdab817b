"""Parquet files and databases: rows by a query, which DuckDB or SQLite runs."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np

from envs.errors import InputError
from envs.omnichannel.world.demand.recorded import Counts
from marl.planning.from_data.csv_file import check_header
from marl.planning.from_data.texts import Raw, Texts

if TYPE_CHECKING:
    import pandas as pd
    from duckdb import DuckDBPyConnection

LONGEST = 600  # seconds of a query
_BATCH = 10_000
_MOST_ROWS = 200_000_000  # a small file may repeat a row for ever
_MEMORY = "500MB"
_ROWS = "temp.cells"  # in DuckDB


def read_parquet(paths: Sequence[Path], file: str, separator: str = ",") -> Raw:
    """Reads Parquet files as one table.

    Args:
        paths: of regular files.
        file: what messages call them.
        separator: of the CSV files that they were.

    Raises:
        InputError: if they cannot be read as one table.
    """
    names = ", ".join(quote(str(path), "'") for path in paths)
    return _read_rows(
        connect(file),
        file,
        f"CREATE TEMP VIEW {_ROWS} AS SELECT * FROM read_parquet([{names}], union_by_name = true)",
        separator,
    )


def read_duckdb(path: Path, file: str, query: str | None) -> Raw:
    """Reads what a query gives; without one, the only table.

    Raises:
        InputError: if the file is no database, or the query fails.
    """
    connection = connect(file)
    import duckdb

    try:
        connection.execute(f"ATTACH {quote(str(path), chr(39))} AS source (READ_ONLY)")
        connection.execute("SET enable_external_access = false")
        connection.execute("USE source")
        found = connection.execute("SHOW TABLES").fetchall()
        tables = {str(row[0]): quote(str(row[0]), chr(34)) for row in found}
        chosen = (query or select_only(tables, file)).strip().rstrip(";")
        # A query may give its rows in another order every time.
        connection.execute(f"CREATE TEMP TABLE {_ROWS} AS ({chosen})")
        connection.execute("USE memory")
    except (duckdb.Error, RuntimeError, UnicodeError) as error:
        raise refuse_rows(file, error) from None
    return _read_rows(connection, file)


def read_sqlite(path: Path, file: str, query: str | None) -> Raw:
    """Reads what a query gives; without one, the only table.

    Raises:
        InputError: if the file is no database, or the query fails.
    """
    end = monotonic() + LONGEST
    positions: list[dict[str, int]] = []
    codes: list[list[Counts]] = []
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        connection.set_progress_handler(lambda: monotonic() > end, 1_000_000)
        found = connection.execute(
            "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE "
            "'sqlite_%' ORDER BY name"
        )
        tables = {str(row[0]): quote(str(row[0]), chr(34)) for row in found}
        rows = connection.execute(query or select_only(tables, file))
        header = [str(column[0]) for column in rows.description or ()]
        check_header(header, file)
        positions, codes = [{} for _ in header], [[] for _ in header]
        num_rows = 0
        while batch := rows.fetchmany(_BATCH):
            num_rows = _check_rows(num_rows + len(batch), file)
            for known, coded, cells in zip(positions, codes, zip(*batch, strict=True), strict=True):
                texts = ["" if cell is None else str(cell) for cell in cells]
                numbers = [known.setdefault(text, len(known)) for text in texts]
                coded.append(np.array(numbers, np.int32))
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise refuse_rows(file, error) from None
    finally:
        connection.close()

    def read(position: int) -> Texts:
        parts = codes[position] or [np.zeros(0, np.int32)]
        return Texts.number([*positions[position]], np.concatenate(parts))

    return Raw(file=file, header=header, read=read, first_line=1, place="row")


def connect(file: str) -> DuckDBPyConnection:
    """Returns a database in memory that asks the network for nothing.

    Raises:
        InputError: if DuckDB is not installed.
    """
    try:
        import duckdb
    except ImportError:
        raise InputError(
            f"{file}: Parquet files and DuckDB databases need `pip install "
            "'omnichannel-marl[files]'`; or save it as CSV"
        ) from None

    connection = duckdb.connect()
    for setting in (
        f"memory_limit = '{_MEMORY}'",
        f"temp_directory = {quote(tempfile.gettempdir(), chr(39))}",
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "TimeZone = 'UTC'",
    ):
        connection.execute(f"SET {setting}")
    return connection


def _read_rows(
    connection: DuckDBPyConnection, file: str, define: str | None = None, separator: str = ","
) -> Raw:
    """The rows of a table or view; columns are read when they are asked for, in the same order.

    Args:
        connection: that has them.
        file: what messages call them.
        define: makes the view, if it is not there yet.
        separator: of the CSV file that they were.
    """
    import duckdb

    def run(statement: str) -> pd.DataFrame:
        try:
            return connection.execute(statement).df()
        except (duckdb.Error, RuntimeError, UnicodeError) as error:  # names that are no UTF-8
            raise refuse_rows(file, error) from None

    if define is not None:
        run(define)
    header = [str(name) for name in run(f"DESCRIBE {_ROWS}")["column_name"]]
    check_header(header, file)
    _check_rows(int(run(f"SELECT count(*) AS rows FROM {_ROWS}")["rows"].iloc[0]), file)

    def read(position: int) -> Texts:
        name, kind = quote(header[position], chr(34)), f"cells_{position}"
        cell = f"coalesce(CAST({name} AS VARCHAR), '')"
        distinct = f"SELECT DISTINCT {name} FROM {_ROWS}"
        texts = f"SELECT DISTINCT {cell} FROM ({distinct}) ORDER BY 1"
        run(f"CREATE OR REPLACE TYPE {kind} AS ENUM ({texts})")
        found = run(f"SELECT CAST({cell} AS {kind}) AS cell FROM {_ROWS}")["cell"].cat
        return Texts.number([str(value) for value in found.categories], found.codes.to_numpy())

    return Raw(file=file, header=header, read=read, separator=separator, first_line=1, place="row")


def _check_rows(count: int, file: str) -> int:
    """The number of rows, once it is one that can be read."""
    if count > _MOST_ROWS:
        raise InputError(f"{file}: more than {_MOST_ROWS:,} rows, which are allowed")
    return count


def select_only(tables: Mapping[str, str], file: str) -> str:
    """Returns the query for all rows of the only table.

    Args:
        tables: their names, and how SQL writes those.
        file: what messages call the database.

    Raises:
        InputError: if there are none or several.
    """
    if len(tables) != 1:
        found = ", ".join([*tables][:20]) or "none"
        raise InputError(f"{file}: {len(tables)} tables found ({found}); say which with --query")
    return f"SELECT * FROM {next(iter(tables.values()))}"


def quote(name: str, mark: str) -> str:
    """Returns a name or a text as SQL has it."""
    return mark + name.replace(mark, 2 * mark) + mark


def refuse_rows(file: str, error: Exception) -> InputError:
    """Returns the refusal of what a database could not read."""
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return InputError(f"{file}: cannot be read ({reason[:200]})")
