"""PostgreSQL: what a query gives, or the only table, copied as CSV into a temporary file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from envs.errors import InputError
from marl.planning.from_data.database import LONGEST, quote, refuse_rows, select_only
from marl.planning.from_data.large_csv import MOST_BYTES
from marl.planning.from_data.texts import Raw

if TYPE_CHECKING:
    from psycopg import Connection

SCHEMES = ("postgresql://", "postgres://")
_TABLES = (
    "SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema NOT IN "
    "('pg_catalog', 'information_schema') ORDER BY 1, 2"
)
_SECONDS = 10  # for the server to take the connection


def read_postgres(url: str, query: str | None, read_copy: Callable[[Path, str], Raw]) -> Raw:
    """Reads what a query gives; without one, the only table.

    Args:
        url: of the database; the password may be in it, in PGPASSWORD or in ~/.pgpass.
        query: a SELECT.
        read_copy: reads a CSV file, under a name for messages.

    Raises:
        InputError: if the server does not answer, or the query fails.
    """
    shown = name_database(url)
    with tempfile.NamedTemporaryFile(prefix="omnichannel-", suffix=".csv") as copy:
        _copy(url, shown, query, Path(copy.name))
        return replace(read_copy(Path(copy.name), shown), text=None, first_line=1, place="row")


def name_database(url: str) -> str:
    """Returns a URL without user, password and options, for messages.

    Raises:
        InputError: if it is none.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise InputError(
            f"--demand: this URL cannot be read; {SCHEMES[0]}USER:PASSWORD@HOST:PORT/NAME is needed"
        ) from None
    host = parts.netloc.rpartition("@")[2]
    return f"{SCHEMES[0]}{host}{parts.path}"


def _copy(url: str, shown: str, query: str | None, copy: Path) -> None:
    """Writes the rows as CSV in UTF-8 with a header; the database is not changed."""
    try:
        import psycopg
        from psycopg.conninfo import conninfo_to_dict
    except ImportError:
        raise InputError(
            f"{shown}: PostgreSQL needs `pip install 'omnichannel-marl[postgres]'`; or export the "
            "rows as CSV"
        ) from None
    try:
        conninfo_to_dict(url)
    except psycopg.Error:  # whose message may hold the password
        raise InputError(f"{shown}: this URL cannot be read; is a character not escaped?") from None
    options = (
        f"-c default_transaction_read_only=on -c statement_timeout={LONGEST}s -c datestyle=ISO "
        "-c timezone=UTC"
    )
    try:
        with (
            psycopg.connect(
                url, connect_timeout=_SECONDS, options=options, client_encoding="UTF8"
            ) as connection,
            copy.open("wb") as file,
        ):
            chosen = (query or _find_table(connection, shown)).strip().rstrip(";")
            rows = connection.cursor().copy(f"COPY (\n{chosen}\n) TO STDOUT (FORMAT csv, HEADER)")
            with rows as blocks:
                for block in blocks:
                    file.write(block)
                    if file.tell() > MOST_BYTES:
                        raise InputError(f"{shown}: more than {MOST_BYTES:,} bytes of rows")
    except (psycopg.Error, UnicodeError) as error:
        raise refuse_rows(shown, error) from None


def _find_table(connection: Connection, shown: str) -> str:
    """The query for all rows of the only table."""
    found: Sequence[tuple[str, str]] = connection.execute(_TABLES).fetchall()
    names = {".".join(name): ".".join(quote(part, chr(34)) for part in name) for name in found}
    return select_only(names, shown)
