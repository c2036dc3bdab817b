"""Three hundred broken CSV files: each works, or ends with one line on file, line and column."""

import gzip
import random
import re
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from envs.errors import InputError
from envs.omnichannel.scenario import load_scenario
from marl.planning.from_data.make import Sources, make_scenario

STORES, SKUS, DAYS = ("S1", "S2"), ("hat", "coat"), 30
FILES = ("demand", "returns", "skus", "nodes", "lanes")
ONE_LINE = re.compile(r"(demand|returns|skus|nodes|lanes)\.csv, line \d+, column [^:]+: .+")

Grid = list[list[str]]  # header and rows


def make_files() -> dict[str, Grid]:
    """Good files: thirty days, two stores, two SKUs, two channels."""
    days = [str(date(2024, 1, 1) + timedelta(d)) for d in range(DAYS)]
    demand = [["date", "store", "sku", "channel", "units", "promotion", "price"]] + [
        [day, store, sku, channel, str((3 * d + len(sku)) % 5), "0", "9.5"]
        for d, day in enumerate(days)
        for store in STORES
        for sku in SKUS
        for channel in ("store", "online")
    ]
    returns = [["date", "store", "sku", "units", "sale_date"]] + [
        [days[d], store, "hat", "1", days[d - 3]] for d in range(3, DAYS, 4) for store in STORES
    ]
    return {
        "demand": demand,
        "returns": returns,
        "skus": [
            ["sku", "category", "price", "unit_cost", "shelf_life"],
            ["hat", "head", "9.5", "4", ""],
            ["coat", "body", "80", "35.5", "60"],
        ],
        "nodes": [
            ["node", "kind", "parent", "capacity"],
            ["dc", "dc", "", "5000"],
            ["S1", "store", "dc", "300"],
            ["S2", "store", "dc", ""],
        ],
        "lanes": [
            ["from", "to", "distance", "lead_time", "cost"],
            ["supplier", "dc", "900", "6", "0.5"],
            ["dc", "S1", "20", "1", "0.1"],
            ["dc", "S2", "140", "2", "0.3"],
        ],
    }


CELLS = (
    "", "x", "12 pcs", "-3", "2.5", "1e9", "1e400", "NaN", "nan", "inf", "-Infinity", "1,5",
    "1.234", "1,234", "0x10", "\u0663", "1_000", "--1", "1e", "2024-02-30", "0001-01-01",
    "9999-12-31", "03/04/2024", "31.12.2023", "2024/01/05", "20240105", "13/13/2024",
    "2024-01-05T00:00:00", "2024-01-05 12:00", "yesterday", "1704067200", "=1+1", "#REF!", "S9",
    "hat ", " hat", "HAT", "store", "supplier", "dc", "warehouse", "null", "None", "a" * 200,
    "a\tb", "\x00", "\x1b[31m", "é", "日本", "\u202e", '"', "'", "\\", "a\nb", "9" * 400,
    "1" + "0" * 18, "true",
)  # fmt: skip


def break_grid(grid: Grid, chance: random.Random) -> Grid:
    """One or two changes of cells, rows or columns."""
    for _ in range(chance.randint(1, 2)):
        row, column = chance.randrange(len(grid)), chance.randrange(len(grid[0]))
        kind = chance.choice(["cell"] * 6 + list(CHANGES))
        if kind == "cell":
            if column < len(grid[row]):
                grid[row][column] = chance.choice(CELLS)
        else:
            grid = CHANGES[kind](grid, row, column)
        if not grid or not grid[0]:
            break
    return grid


def drop_column(grid: Grid, row: int, column: int) -> Grid:
    del row
    return [values[:column] + values[column + 1 :] for values in grid]


def swap_columns(grid: Grid, row: int, column: int) -> Grid:
    """The header stays; the values of two columns change places."""
    other = row % len(grid[0])

    def swap(values: list[str]) -> list[str]:
        values = list(values)
        if max(column, other) < len(values):
            values[column], values[other] = values[other], values[column]
        return values

    return [grid[0], *(swap(values) for values in grid[1:])]


def repeat_header(grid: Grid, row: int, column: int) -> Grid:
    return [[*grid[0], grid[0][column]], *([*values, "1"] for values in grid[1:])]


CHANGES: dict[str, Callable[[Grid, int, int], Grid]] = {
    "drop column": drop_column,
    "swap columns": swap_columns,
    "repeat header": repeat_header,
    "drop row": lambda grid, row, _: grid[:row] + grid[row + 1 :],
    "repeat row": lambda grid, row, _: [*grid[: row + 1], *grid[row:]],
    "cut": lambda grid, row, _: grid[:row],
    "header only": lambda grid, *_: grid[:1],
    "longer row": lambda grid, row, _: [*grid[:row], [*grid[row], "9"], *grid[row + 1 :]],
    "shorter row": lambda grid, row, _: [*grid[:row], grid[row][:-1], *grid[row + 1 :]],
    "blank row": lambda grid, row, _: [*grid[:row], [""] * len(grid[0]), *grid[row:]],
}

ENCODERS: dict[str, Callable[[str], bytes]] = {
    "utf-8": str.encode,
    "bom": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "utf-16": lambda text: text.encode("utf-16"),
    "latin": lambda text: text.encode("cp1252", errors="replace") + b"\xe9\n",
    "gz": lambda text: gzip.compress(text.encode()),
    "half gz": lambda text: gzip.compress(text.encode())[:-20],
    "crlf": lambda text: text.replace("\n", "\r\n").encode(),
    "cr": lambda text: text.replace("\n", "\r").encode(),
    "binary": lambda text: bytes(range(256)) + text.encode(),
    "empty": lambda _: b"",
    "blank": lambda _: b"\n \n",
    "no end": lambda text: text.rstrip("\n").encode(),
}


def write(path: Path, grid: Grid, separator: str = ",", encoding: str = "utf-8") -> None:
    def quote(cell: str) -> str:
        return f'"{cell}"' if separator in cell else cell

    text = "".join(separator.join(quote(cell) for cell in row) + "\n" for row in grid)
    path.write_bytes(ENCODERS[encoding](text.encode(errors="replace").decode()))


def write_all(folder: Path, grids: dict[str, Grid]) -> Sources:
    for name, grid in grids.items():
        write(folder / f"{name}.csv", grid)
    return Sources(*(Path(f"{name}.csv") for name in FILES))


def check(folder: Path, sources: Sources, *, fix: bool) -> str:
    """Works, or refuses in one line and leaves nothing; returns the refusal."""
    before = set(folder.iterdir())
    refusal = ""
    try:
        make_scenario(sources, Path("my.yaml"), fix=fix)
    except InputError as error:
        refusal = str(error)
    written = set(folder.iterdir()) - before
    if refusal:
        assert ONE_LINE.fullmatch(refusal), refusal
        assert not written
        return refusal
    load_scenario("my.yaml")
    assert {file.name for file in written} == {"my.yaml", "my.demand.csv.gz"}
    for file in written:
        file.unlink()
    return ""


@seed(8)
@settings(
    max_examples=300,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(chance=st.randoms(use_true_random=False, note_method_calls=False), fix=st.booleans())
def test_make_scenario__of_a_broken_file_works_or_names_file_line_and_column(
    chance: random.Random, fix: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    break_one_file_and_check(chance, tmp_path, fix=fix)


def break_one_file_and_check(chance: random.Random, folder: Path, *, fix: bool) -> None:
    grids = make_files()
    sources = write_all(folder, grids)
    name = chance.choice(["demand"] * 3 + list(FILES))
    separator = chance.choice(",,,;\t")
    encoding = chance.choice(["utf-8"] * 8 + list(ENCODERS))
    write(folder / f"{name}.csv", break_grid(grids[name], chance), separator, encoding)
    check(folder, sources, fix=fix)


def test_make_scenario__of_the_good_files_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert check(tmp_path, write_all(tmp_path, make_files()), fix=False) == ""
