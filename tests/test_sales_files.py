"""Sales files in the layouts that `from-data` reads: the same units, returns and refusals."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from envs.errors import InputError
from envs.omnichannel.scenario import Scenario, load_scenario
from marl.planning.daily.learn_sales import learn_sales
from marl.planning.daily.records import Names, Sales
from marl.planning.daily.sales import read_sales
from marl.planning.from_data.make import Sources, load_dataset
from marl.planning.from_data.sources import Source
from tests.daily_chain import RECORD, write_sales, write_scenario
from tests.make_shapes import DAILY, WEEKLY, Shape
from tests.test_from_data_totals import write_text
from tests.write_shapes import write_excel, write_parquet

SHAPES = DAILY | WEEKLY
KNOWN = 20  # days or weeks, of the record; the others are new


@pytest.mark.parametrize("write", [write_text, write_excel, write_parquet])
@pytest.mark.parametrize("name", [*SHAPES])
def test_read_sales__has_what_from_data_reads_of_the_same_days(
    name: str, write: Callable[[Shape, Path], Path], tmp_path: Path
) -> None:
    path = write(SHAPES[name](), tmp_path / name)
    demand = load_dataset(Sources(path), fix=False)[0].demand
    names = Names(stores=demand.stores, skus=demand.skus, channels=demand.channels)
    next_day = demand.get_date(KNOWN)
    sales = read_sales(Source(path), names, next_day, fix=True, step=demand.step)
    expected = demand.units[KNOWN:]
    is_whole = np.abs(expected - sales.units).max() == 0
    # Of goods by weight, what rounding leaves begins anew.
    assert is_whole or (name in {"pos", "favorita"} and np.abs(expected - sales.units).max() <= 1)
    by_sku = (expected - sales.units).sum(axis=0)
    assert np.abs(by_sku).max() <= 1
    returned = demand.returned
    if returned is None:
        assert sales.returned == 0
    else:
        own = returned.units[returned.day >= KNOWN].sum()
        assert sales.returned == pytest.approx(own, abs=len(returned.units) / 2)
    assert sales.unknown == 0


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    return load_scenario(write_scenario(tmp_path_factory.mktemp("scenario"), RECORD))


HEADER = "Posting Date;Plant;Material;Quantity"


def learn(scenario: Scenario, folder: Path, lines: list[str], *, fix: bool = False) -> Sales:
    sales = folder / "sales.csv"
    sales.write_text("\n".join([HEADER, *lines]), "utf-8")
    columns = "date=Posting Date, store=Plant, sku=Material, units=Quantity"
    return learn_sales(scenario, sales, folder / "state.json", columns=columns, fix=fix).sales


DAY = "29.10.23;Berlin;steady;"


def test_learn_sales__columns_name_those_of_the_file(scenario: Scenario, tmp_path: Path) -> None:
    sales = learn(scenario, tmp_path, [f"{DAY}3", "29.10.23;Koeln;steady;4"])
    assert sales.units[0, :, 0, 0].tolist() == [3, 4]


def test_learn_sales__a_negative_row_is_offered_as_a_return(
    scenario: Scenario, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="'-2' is not allowed") as error:
        learn(scenario, tmp_path, [f"{DAY}3", "29.10.23;Koeln;steady;-2"])
    assert str(error.value).endswith("; --fix: counts it as a return on its day")
    sales = learn(scenario, tmp_path, [f"{DAY}3", "29.10.23;Koeln;steady;-2"], fix=True)
    assert sales.units[0, :, 0, 0].tolist() == [3, 0]
    assert (sales.returned, sales.rows) == (2, 2)


def test_learn_sales__lines_of_tills_may_be_returns(scenario: Scenario, tmp_path: Path) -> None:
    lines = [
        "29.10.23 09:15;Berlin;steady;3", "29.10.23 17:40;Berlin;steady;-1",
        "29.10.23 18:00;Koeln;steady;4",
    ]  # fmt: skip
    sales = learn(scenario, tmp_path, lines)
    assert sales.units[0, :, 0, 0].tolist() == [3, 4]
    assert sales.returned == 1
    assert [problem.fix for problem in sales.fixed] == ["counts it as a return on its day"]


def test_learn_sales__a_folder_of_files_is_one(scenario: Scenario, tmp_path: Path) -> None:
    whole = write_sales(tmp_path / "sales.csv", RECORD, RECORD + 10)
    once = learn_sales(scenario, whole, tmp_path / "once.json")
    header, *rows = whole.read_text("utf-8").splitlines()
    (tmp_path / "sales").mkdir()
    for i in range(2):
        part = tmp_path / "sales" / f"{i}.csv"
        part.write_text("\n".join([header, *rows[i::2]]), "utf-8")
    parts = learn_sales(scenario, tmp_path / "sales", tmp_path / "parts.json")
    np.testing.assert_array_equal(parts.sales.units, once.sales.units)
    assert (tmp_path / "once.json").read_bytes() == (tmp_path / "parts.json").read_bytes()
    assert parts.sales.first_day + timedelta(10) == parts.state.next_day


def test_learn_sales__an_unknown_kind_of_source_names_the_option(
    scenario: Scenario, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="--sales: 'ftp://x' is not allowed"):
        learn_sales(scenario, "ftp://x", tmp_path / "state.json")
