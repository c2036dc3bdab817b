"""Lives of items as a retailer states them: new, listed, ending and ended, and their orders."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.errors import InputError
from envs.omnichannel.forecast.lives import FOREVER
from envs.omnichannel.scenario import Scenario, load_scenario
from marl.planning.daily.items import read_items
from marl.planning.daily.state import ForecastState
from marl.planning.planner import Planner
from marl.planning.recommendation import Recommendation
from marl.planning.stock_count_file import read_stock_count
from tests.daily_chain import (
    DAYS,
    FIRST,
    RECORD,
    SKUS,
    STORES,
    learn,
    make_rule,
    write_scenario,
    write_stock,
)  # fmt: skip

TODAY = FIRST + timedelta(RECORD)
LAUNCHED, JUSTNEW, ENDED, RISING = (
    SKUS.index(n) for n in ("launched", "justnew", "ended", "rising")
)


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    return load_scenario(write_scenario(tmp_path, RECORD))


def write_items(
    folder: Path, *rows: str, header: str = "sku,store,listed_from,listed_until,sister"
) -> Path:
    path = folder / "items.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def state_items(scenario: Scenario, folder: Path, *rows: str) -> ForecastState:
    items = read_items(write_items(folder, *rows), scenario, FIRST)
    return ForecastState.from_record(scenario, items.lives)


def recommend(scenario: Scenario, folder: Path, state: ForecastState) -> Recommendation:
    planner = Planner(make_rule(scenario), scenario, forecast=state)
    path = write_stock(folder / "stock.csv", state.learner.day)
    return planner.recommend(read_stock_count(path, planner.schema))


def list_units(found: Recommendation) -> dict[tuple[str, str], float]:
    sent = (d for d in found.decisions if d.share is None)
    return {(d.node, d.sku): d.units for d in sent}


def test_read_items__rows_of_all_stores_and_of_one(scenario: Scenario, tmp_path: Path) -> None:
    path = write_items(
        tmp_path,
        "launched,,2023-09-27,,steady",
        "launched,Koeln,2023-10-01,2023-12-31,",
        "hat,,,,",
        "steady,Paris,,,",
        "ended,,2020-01-01,,",
    )
    found = read_items(path, scenario, FIRST)
    assert (found.rows, found.unknown) == (3, 2)
    assert found.lives.is_given.sum(axis=0).tolist() == [0, 0, 2, 0, 2, 0]
    assert found.lives.first[:, LAUNCHED].tolist() == [268, 272]
    assert found.lives.last[:, LAUNCHED].tolist() == [FOREVER, 363]
    assert found.lives.sister[:, LAUNCHED].tolist() == [0, -1]
    assert found.lives.first[:, ENDED].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("steady,,2023-05-01,2023-04-30,", "line 2, column listed_until: '2023-04-30' is before"),
        ("steady,,soon,,", "line 2, column listed_from: 'soon' is not a date"),
        ("steady,,,,hat", "line 2, column sister: 'hat' is no SKU of the scenario"),
        ("steady,,,,steady", "line 2, column sister: 'steady' is the item itself"),
        ("hat,,,,", "line 2, column sku: 'hat' is not of the scenario, and no row is"),
    ],
)
def test_read_items__what_is_wrong_is_one_line(
    scenario: Scenario, tmp_path: Path, row: str, message: str
) -> None:
    with pytest.raises(InputError) as error:
        read_items(write_items(tmp_path, row), scenario, FIRST)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_lives__a_listed_item_is_lent_its_sisters_level_or_its_categorys(
    scenario: Scenario, tmp_path: Path
) -> None:
    known = ForecastState.from_record(scenario).make_forecast().history
    assert (known.smoothed[0, :, JUSTNEW] == 0).all()  # sales alone know nothing of it
    sister = state_items(scenario, tmp_path, "justnew,,,,launched").make_forecast().history
    np.testing.assert_array_equal(sister.smoothed[0, :, JUSTNEW], known.smoothed[0, :, LAUNCHED])
    np.testing.assert_array_equal(sister.profile[0, :, JUSTNEW], known.profile[0, :, LAUNCHED])
    assert sister.weight[0, :, JUSTNEW].tolist() == [1, 1]
    # A week of one day's knowledge: the variance is that of the law times 1 + 7 / 1.
    assert (sister.variance[0, :, JUSTNEW] > 5 * known.variance[0, :, LAUNCHED]).all()
    others = [k for k in range(len(SKUS)) if k not in {JUSTNEW, ENDED}]
    for name, values in vars(sister).items():
        if name != "profile":
            np.testing.assert_array_equal(values[0][:, others], vars(known)[name][0][:, others])
    category = state_items(scenario, tmp_path, "justnew,,,,").make_forecast().history
    expected = known.smoothed[0][:, others].mean(axis=1)
    np.testing.assert_allclose(category.smoothed[0, :, JUSTNEW], expected, rtol=1e-6)


def test_recommend__a_listed_item_is_ordered_before_it_was_ever_sold(
    scenario: Scenario, tmp_path: Path
) -> None:
    without = list_units(recommend(scenario, tmp_path, ForecastState.from_record(scenario)))
    assert without["Berlin", "justnew"] == 0
    state = state_items(scenario, tmp_path, "justnew,,,,launched")
    found = recommend(scenario, tmp_path, state)
    # Two days of 8 and 1.5 standard deviations of a guess, nothing on hand.
    assert 30 < list_units(found)["Berlin", "justnew"] < 60
    assert "new, so demand is a guess: justnew" in found.notes


def test_lives__own_sales_take_the_place_of_the_sisters(scenario: Scenario, tmp_path: Path) -> None:
    items = write_items(tmp_path, f"justnew,,{TODAY + timedelta(18)},,launched")
    levels = []
    for end in (RECORD + 18, RECORD + 19, DAYS):
        learnt = learn(scenario, tmp_path, RECORD, end, items_file=items)
        state = learnt.state
        borrowed = state.make_forecast().history.smoothed[0, 0, LAUNCHED, 0]
        own, lent = state.learner.smoothed[0, JUSTNEW, 0], state.make_forecast().history
        weight = state.learner.weight[0, JUSTNEW]
        days = (7 + 1 / borrowed) * (1 - weight / 28)
        expected = own + days / (days + weight) * (borrowed - own)
        assert lent.smoothed[0, 0, JUSTNEW, 0] == pytest.approx(expected, rel=1e-6)
        levels.append(float(weight))
    assert levels == [0, 1, 10]
    assert learnt.list_items("unsold") == []
    assert learnt.list_items("new") == ["Berlin justnew", "Koeln justnew"]


def test_recommend__an_item_is_never_bought_after_its_end_and_less_just_before(
    scenario: Scenario, tmp_path: Path
) -> None:
    usual = list_units(recommend(scenario, tmp_path, ForecastState.from_record(scenario)))
    yesterday = TODAY - timedelta(1)
    state = state_items(scenario, tmp_path, f"launched,,,{yesterday},", f"rising,,,{TODAY},")
    found = recommend(scenario, tmp_path, state)
    units = list_units(found)
    assert all(units[node, "launched"] == 0 for node in ("dc", *STORES))
    assert usual["Berlin", "launched"] > 16
    # A shipment arrives tomorrow, when `rising` is no longer sold; today nothing can help.
    assert units["Berlin", "rising"] < usual["Berlin", "rising"]
    assert found.notes == ["ended, so nothing is ordered: launched, ended"]


def test_recommend__nothing_is_sold_before_the_first_day(
    scenario: Scenario, tmp_path: Path
) -> None:
    totals = []
    for days in (0, 1, 30):
        state = state_items(scenario, tmp_path, f"justnew,,{TODAY + timedelta(days)},,launched")
        found = recommend(scenario, tmp_path, state)
        totals.append(list_units(found)["Berlin", "justnew"])
        outlook = next(o for o in found.outlook if (o.node, o.sku) == ("Berlin", "justnew"))
        assert (outlook.forecast > 0) == (days < 7)
        assert (outlook.stockout_probability > 0) == (days < 2)
    assert totals[0] > totals[1] > totals[2] == 0


def test_lives__what_is_listed_has_not_ended(scenario: Scenario, tmp_path: Path) -> None:
    assert ForecastState.from_record(scenario).list_ended() == ["ended"]
    state = state_items(scenario, tmp_path, "ended,Berlin,,,")
    assert state.find_ended()[:, ENDED].tolist() == [False, True]
    assert state.list_ended() == []
    level = state.make_forecast().history.smoothed[0, :, ENDED, 0]
    assert level[0] == pytest.approx(state.learner.smoothed[0, ENDED, 0])
    assert level[1] == 0


def test_learn_sales__the_state_keeps_what_items_say(scenario: Scenario, tmp_path: Path) -> None:
    items = write_items(tmp_path, "justnew,,,,launched", "steady,,,2023-10-28,", "hat,,,,")
    first = learn(scenario, tmp_path, RECORD, RECORD + 1, items_file=items)
    told = list(first.describe())
    assert "items: 2 rows" in told
    assert "1 items of stores or SKUs unknown here are left out" in told
    assert "listed, not sold yet: 2 (Berlin justnew, Koeln justnew)" in told
    assert first.list_items("ended") == [f"{s} {k}" for s in STORES for k in ("steady", "ended")]
    assert first.to_json()["unsold"] == ["Berlin justnew", "Koeln justnew"]
    later = learn(scenario, tmp_path, RECORD + 1, RECORD + 2)
    assert later.list_items("ended") == first.list_items("ended")
    read = ForecastState.read(tmp_path / "state.json", scenario)
    compare(read, later.state)


def compare(found: ForecastState, expected: ForecastState) -> None:
    def collect(state: ForecastState) -> dict[str, Any]:
        lives = {} if state.lives is None else state.lives.get_arrays()
        before = {f"before_{n}": a for n, a in state.recent.before.get_arrays().items()}
        return {**state.learner.get_arrays(), **lives, **before, **state.recent.get_arrays()}

    arrays = collect(expected)
    for name, values in collect(found).items():
        np.testing.assert_array_equal(values, arrays[name], err_msg=name)
