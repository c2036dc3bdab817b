"""PostgreSQL as a source: a server of the test's own, read by URL; skipped where there is none."""

import csv
import io
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from envs.errors import InputError
from marl.planning.from_data import large_csv
from marl.planning.from_data.make import Sources, load_dataset
from marl.planning.from_data.postgres import name_database
from tests.make_shapes import make_pos, make_pos_times
from tests.test_from_data_totals import write_text

URL = "postgresql://planner:se%40cret@localhost:5432/shop?sslmode=require"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of a server on a socket in a folder of its own, which nobody else can open."""
    pytest.importorskip("psycopg", reason="the extra postgres is not installed")
    programs = [shutil.which(name) for name in ("initdb", "pg_ctl")]
    if not all(programs):
        pytest.skip("PostgreSQL's server is not installed")
    initdb, control = map(str, programs)
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # short: a socket's path has 107 characters
    given: dict[str, Any] = {"capture_output": True, "cwd": folder}
    if os.geteuid() == 0:  # the server refuses to be root
        given |= {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid}
        os.chown(folder, pwd.getpwnam("nobody").pw_uid, -1)
    data = str(folder / "data")
    try:
        subprocess.run(
            [initdb, "-D", data, "-U", "planner", "-A", "trust", "-N"], check=True, **given
        )
        options = f"-c listen_addresses='' -k {folder} -c fsync=off"
        subprocess.run(
            [control, "-D", data, "-w", "-l", "log", "-o", options, "start"], check=True, **given
        )
        yield f"postgresql://planner@/postgres?host={quote(str(folder))}"
        subprocess.run([control, "-D", data, "-m", "immediate", "stop"], check=True, **given)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def run(server: str) -> Iterator[Callable[[str], None]]:
    """Runs SQL; everything goes afterwards."""
    import psycopg

    with psycopg.connect(server, autocommit=True) as connection:
        yield lambda statement: connection.execute(statement) and None
        connection.execute("DROP SCHEMA IF EXISTS public, other CASCADE")
        connection.execute("CREATE SCHEMA public")


def fill(server: str, rows: list[list[str]], kinds: dict[str, str], table: str = "sales") -> None:
    import psycopg

    text = io.StringIO()
    csv.writer(text).writerows(rows)
    columns = ", ".join(f'"{name}" {kinds.get(name, "text")}' for name in rows[0])
    with psycopg.connect(server) as connection:
        connection.execute(f"CREATE TABLE {table} ({columns})")
        with connection.cursor().copy(f"COPY {table} FROM STDIN (FORMAT csv, HEADER)") as copy:
            copy.write(text.getvalue())


def refuse(sources: Sources) -> str:
    with pytest.raises(InputError) as error:
        load_dataset(sources, fix=False)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize(
    ("make", "kinds"),
    [
        (make_pos, {"date": "date", "units": "integer"}),
        (make_pos_times, {"units": "numeric(9, 3)"}),
    ],
)
def test_postgres__its_only_table_is_read_as_the_file_is(
    make: Callable[[], Any], kinds: dict[str, str], large: bool, server: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    shape = make()
    path = write_text(shape, tmp_path / "shape")
    expected = load_dataset(Sources(path), fix=False)[0]
    fill(server, shape.rows, kinds)
    if large:
        monkeypatch.setattr(large_csv, "MOST_TABLE", 100)
    found = load_dataset(Sources(server), fix=False)[0]
    assert found.reading == expected.reading
    np.testing.assert_array_equal(found.demand.units, expected.demand.units)


def test_postgres__a_query_names_columns_and_flags_are_t_and_f(
    server: str, run: Callable[[str], None]
) -> None:
    run(
        "CREATE TABLE sales AS SELECT date '2024-01-01' + d AS day, 'S ''1''' AS shop, "
        "'hat' AS item, d % 5 AS pieces, d % 7 = 0 AS promo FROM generate_series(0, 39) AS d"
    )
    run("CREATE SCHEMA other")
    run("CREATE TABLE other.sales AS SELECT 1 AS x")
    query = "SELECT day AS date, shop AS store, item AS sku, pieces AS units, promo AS promotion "
    demand = load_dataset(
        Sources(server, query=f"{query} FROM public.sales ORDER BY day -- all of it\n;"), fix=False
    )[0].demand
    assert demand.stores == ["S '1'"]
    np.testing.assert_array_equal(demand.units.reshape(-1), np.arange(40) % 5)
    assert demand.promotion is not None
    np.testing.assert_array_equal(demand.promotion.reshape(-1), np.arange(40) % 7 == 0)
    assert "2 tables found (other.sales, public.sales); say which" in refuse(Sources(server))


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT", "the file is empty"),
        ("SELECT 1 AS date; DROP TABLE sales", "syntax error"),
        ("DELETE FROM sales RETURNING *", "read-only"),
        ("SELECT * FROM nothing", 'relation "nothing" does not exist'),
        ("SELECT 'x' AS date, 'S' AS store, 'h' AS sku, 1 AS units", "row 1, column date: 'x' is"),
        ("SELECT 1 AS day", "column date: missing"),
    ],
)
def test_postgres__what_a_query_cannot_do_is_refused_in_one_line(
    query: str, message: str, server: str, run: Callable[[str], None]
) -> None:
    run("CREATE TABLE sales AS SELECT 1 AS units")
    found = refuse(Sources(server, query=query))
    assert message in found
    assert found.startswith("postgresql:///postgres")


def test_postgres__no_message_holds_user_or_password() -> None:
    pytest.importorskip("psycopg", reason="the extra postgres is not installed")
    for url in (URL, URL.replace("%40", "%zz"), URL.replace("localhost", "host.invalid")):
        found = refuse(Sources(url))
        assert "cret" not in found
        assert "shop" in found
    assert "this URL cannot be read" in refuse(Sources("postgresql://planner:secret@[::1/shop"))


def test_postgres__is_named_without_user_and_options() -> None:
    assert name_database(URL) == "postgresql://localhost:5432/shop"
