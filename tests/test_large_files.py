"""Large CSV files and folders: the same records as in one file, read piece by piece."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from envs.errors import InputError
from marl.planning.from_data import folder, large_csv
from marl.planning.from_data.dataset import Dataset
from marl.planning.from_data.make import Sources, load_dataset
from tests.make_shapes import DAILY, WEEKLY, make_m5, make_pos
from tests.test_from_data_totals import write_text

SHAPES = DAILY | WEEKLY


def read(path: Path, *, fix: bool = False) -> Dataset:
    return load_dataset(Sources(path), fix=fix)[0]


def refuse(path: Path) -> str:
    with pytest.raises(InputError) as error:
        read(path)
    assert "\n" not in str(error.value)
    return str(error.value)


def check_same(found: Dataset, expected: Dataset) -> None:
    """The same but for rows that have nothing in them, which DuckDB does not count."""
    assert found.reading == expected.reading
    assert found.demand.stores == expected.demand.stores
    assert found.demand.skus == expected.demand.skus
    np.testing.assert_array_equal(found.demand.units, expected.demand.units)
    assert found.demand.price == expected.demand.price
    for name in ("promotion", "in_stock"):
        np.testing.assert_array_equal(getattr(found.demand, name), getattr(expected.demand, name))


@pytest.fixture
def tiny_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (large_csv, folder):
        monkeypatch.setattr(module, "MOST_TABLE", 100)


@pytest.mark.parametrize("ends", ["lines", "windows", "bom", "gz"])
@pytest.mark.parametrize("name", [*SHAPES])
def test_large__a_csv_file_is_read_as_a_small_one_is(
    name: str, ends: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = {
        "lines": str.encode,
        "windows": lambda text: text.replace("\n", "\r\n").encode(),
        "bom": lambda text: text.encode("utf-8-sig"),
        "gz": lambda text: gzip.compress(text.encode()),
    }[ends]
    path = write_text(SHAPES[name](), tmp_path / name, encode)
    expected = read(path)
    monkeypatch.setattr(large_csv, "MOST_TABLE", 100)
    check_same(read(path), expected)


@pytest.mark.usefixtures("tiny_limit")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "date,store,sku,units\n" + "2024-01-01,S,hat,1,5\n" * 40,
            "line 2, column 5: 5 values are",
        ),
        ("date,store,sku,units\n" + '2024-01-01,"S,hat,1\n' * 40, "is a quote left open"),
        ("date,store,sku\n" + "2024-01-01,S,hat\n" * 40, "column units: missing"),
        ("date,store,sku,units\n" + "2024-01-01,S,hat,x\n" * 40, "row 1, column units: 'x' is not"),
        ("date,store,sku,units" + " " * 200, "no header in UTF-8"),
        ("\u00e9" * 300, "no header in UTF-8"),
    ],
)
def test_large__what_is_wrong_is_said_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "demand.csv"
    path.write_text(text, encoding="utf-8")
    found = refuse(path)
    assert message in found
    assert found.startswith(str(path))


@pytest.mark.usefixtures("tiny_limit")
def test_large__what_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "demand.csv"
    path.write_bytes(b"date,store,sku,units\n" + b"2024-01-01,S,h\xe9t,1\n" * 40)
    assert refuse(path).startswith(str(path))


@pytest.mark.usefixtures("tiny_limit")
def test_large__a_damaged_gz_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "demand.csv.gz"
    whole = write_text(make_pos(), tmp_path / "pos", lambda text: gzip.compress(text.encode()))
    path.write_bytes(whole.read_bytes()[:-900] + (10**6).to_bytes(4, "little"))
    assert refuse(path).startswith(str(path))


def test_wide__many_columns_have_the_totals_of_their_file(tmp_path: Path) -> None:
    shape = make_m5(days=150)
    found = read(write_text(shape, tmp_path / "m5")).reading
    assert (found.rows, found.units) == (len(shape.rows) - 1, shape.units)
    assert (found.last_date - found.first_date).days == 149


def split_rows(path: Path, parts: int, out: Path, *, packed: bool = False) -> None:
    """Writes a file's rows as a folder of files, each with the header."""
    header, *rows = path.read_text("utf-8").splitlines(keepends=True)
    size = -(-len(rows) // parts)
    (out / "z").mkdir(parents=True)
    for i in range(parts):
        text = header + "".join(rows[i * size : (i + 1) * size])
        own = out / ("z" if i > 1 else "") / f"part-{i}.csv{'.gz' if packed else ''}"
        own.write_bytes(gzip.compress(text.encode()) if packed else text.encode())


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("name", [*SHAPES])
def test_folder__of_csv_files_is_one_table(
    name: str, large: bool, packed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_text(SHAPES[name](), tmp_path / name)
    split_rows(path, 3, tmp_path / "demand", packed=packed)
    (tmp_path / "demand" / ".hidden.csv").write_text("x")
    (tmp_path / "demand" / "_SUCCESS").write_text("")
    expected = read(path)
    if large:
        for module in (large_csv, folder):
            monkeypatch.setattr(module, "MOST_TABLE", 100)
    found = read(tmp_path / "demand")
    order = (expected.demand.stores, expected.demand.skus)
    assert (found.demand.stores, found.demand.skus) == order
    check_same(found, expected)


def test_folder__names_the_file_and_line_of_a_mistake(tmp_path: Path) -> None:
    header, own = "date,store,sku,units\n", tmp_path / "demand"
    own.mkdir()
    days = [f"2024-01-{day:02d},S,hat,1\n" for day in range(1, 32)]
    (own / "a.csv").write_text(header + "".join(days[:15]))
    (own / "b.csv").write_text(header + "".join(days[15:20]) + "2024-01-21,S,hat,many\n")
    assert refuse(own).startswith(f"{own / 'b.csv'}, line 7, column units: 'many' is not a number")


@pytest.mark.parametrize("large", [False, True])
def test_folder__of_other_columns_is_refused_by_file(
    large: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if large:
        monkeypatch.setattr(folder, "MOST_TABLE", 10)
    (tmp_path / "a.csv").write_text("date,store,sku,units\n2024-01-01,S,hat,1\n")
    (tmp_path / "b.csv").write_text("store,address\nS,street\n")
    message = refuse(tmp_path)
    assert message.startswith(f"{tmp_path / 'b.csv'}, line 1: its columns are not those of")
    (tmp_path / "b.csv").write_text("date;store;sku;units\n2024-01-01;S;hat;1\n")
    assert "not parted as those of" in refuse(tmp_path)


def test_folder__columns_may_be_in_another_order(tmp_path: Path) -> None:
    rows = [f"2024-01-{day:02d},S,hat,{day}" for day in range(1, 31)]
    (tmp_path / "a.csv").write_text("\n".join(["date,store,sku,units", *rows[:15]]))
    turned = [",".join(reversed(row.split(","))) for row in rows[15:]]
    (tmp_path / "b.csv").write_text("\n".join(["Units,SKU,Store,Date", *turned]))
    found = read(tmp_path)
    np.testing.assert_array_equal(found.demand.units.reshape(-1), np.arange(1, 31))
