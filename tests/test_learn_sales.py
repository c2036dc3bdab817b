"""`learn-sales`: sales in, the state of the forecasts out."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from envs.errors import InputError
from envs.omnichannel.forecast.learner import Rates
from envs.omnichannel.forecast.make import roll_record
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.world.demand.traces import TraceDemand
from marl.planning.daily.learn_sales import learn_sales
from marl.planning.daily.state import ForecastState
from tests.daily_chain import DAYS, FIRST, RECORD, SKUS, UNITS, learn, write_sales, write_scenario


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    return load_scenario(write_scenario(tmp_path, RECORD))


def test_learn_sales__day_by_day_is_the_back_test_of_that_day(
    scenario: Scenario, tmp_path: Path
) -> None:
    for day in range(RECORD, DAYS):
        learnt = learn(scenario, tmp_path, day, day + 1)
    assert learnt.state.next_day == FIRST + timedelta(DAYS)

    whole = load_scenario(write_scenario(tmp_path, DAYS))
    history = roll_record(TraceDemand(whole, whole.demand), whole.forecast)  # type: ignore[arg-type]
    state = ForecastState.read(tmp_path / "state.json", scenario)
    found = vars(state.make_forecast().history)
    for name, values in vars(history).items():
        np.testing.assert_array_equal(found[name][0], values[-1], err_msg=name)


def test_learn_sales__once_or_twice_and_in_one_file_or_many_is_the_same(
    scenario: Scenario, tmp_path: Path
) -> None:
    learn(scenario, tmp_path, RECORD, RECORD + 9)
    first = (tmp_path / "state.json").read_bytes()
    again = learn(scenario, tmp_path, RECORD, RECORD + 9)
    assert (tmp_path / "state.json").read_bytes() == first
    assert (len(again.sales.units), again.sales.rows) == (0, 0)
    assert again.sales.skipped == (UNITS[RECORD : RECORD + 9] > 0).sum()
    assert "nothing to learn: all rows are of days before 2023-11-07" in again.describe()
    (tmp_path / "state.json").unlink()
    for end in (RECORD + 4, RECORD + 9):
        learn(scenario, tmp_path, RECORD, end)
    assert (tmp_path / "state.json").read_bytes() == first


def test_learn_sales__names_new_and_ended_items_and_the_totals(
    scenario: Scenario, tmp_path: Path
) -> None:
    learnt = learn(scenario, tmp_path, RECORD, DAYS)
    assert learnt.list_items("new") == ["Berlin justnew", "Koeln justnew"]
    assert learnt.list_items("ended") == ["Berlin ended", "Koeln ended"]
    units = int(UNITS[RECORD:].sum())
    assert (
        f"learnt 2023-10-29 to 2023-11-25 (28): {(UNITS[RECORD:] > 0).sum()} rows, "
        f"{units} units, 0 empty shelves"
    ) in learnt.describe()
    assert learnt.to_json()["totals"]["units"] == units
    state = learnt.state.make_forecast().history
    level = dict(zip(SKUS, state.smoothed[0].sum(axis=-1).T.tolist(), strict=True))
    assert level["launched"] == pytest.approx([8, 8], rel=0.15)
    assert level["ended"] == [0, 0]
    assert min(level["rising"]) > 1.5  # it sold 0.5 until four weeks ago


def test_learn_sales__empty_shelves_teach_nothing(scenario: Scenario, tmp_path: Path) -> None:
    text = write_sales(tmp_path / "full.csv", RECORD, RECORD + 1).read_text(encoding="utf-8")
    rows = [line for line in text.splitlines()[1:] if "Berlin,steady" not in line]
    sales, levels = tmp_path / "sales.csv", []
    for empty in ("no", ""):
        lines = ["date,store,sku,units,in_stock", *(f"{row}," for row in rows)]
        lines.append(f"2023-10-29,Berlin,steady,0,{empty}")
        sales.write_text("\n".join(lines), encoding="utf-8")
        learner = learn_sales(scenario, sales, tmp_path / f"state-{empty}.json").state.learner
        levels.append(learner.smoothed[0, 0, 0])
    assert levels[0] == ForecastState.from_record(scenario).learner.smoothed[0, 0, 0]
    assert levels[1] < levels[0]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["2023-10-29,berlin,steady,3"], "'berlin' is not of the scenario, and no row is"),
        (["2023-10-31,Berlin,steady,3"], "no row for 2023-10-29, which is to be learnt next"),
        (["2023-10-29,Berlin,steady,-3"], "'-3' is not allowed; whole numbers from 0 to"),
        (["2023-10-29,Berlin,steady,many"], "'many' is not a number"),
        (["tomorrow,Berlin,steady,3"], "'tomorrow' is not a date"),
        (["2027-10-29,Berlin,steady,3"], "days on from 2023-10-29; at most 400"),
    ],
)
def test_learn_sales__a_wrong_row_is_one_line_and_leaves_the_state(
    scenario: Scenario, tmp_path: Path, lines: list[str], message: str
) -> None:
    learn(scenario, tmp_path, RECORD - 5, RECORD)
    before = (tmp_path / "state.json").read_bytes()
    sales = tmp_path / "wrong.csv"
    sales.write_text("\n".join(["date,store,sku,units", *lines]), encoding="utf-8")
    with pytest.raises(InputError) as error:
        learn_sales(scenario, sales, tmp_path / "state.json")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert (tmp_path / "state.json").read_bytes() == before


def test_learn_sales__fix_takes_days_without_rows_for_unknown(
    scenario: Scenario, tmp_path: Path
) -> None:
    sales = tmp_path / "gap.csv"
    rows = ["2023-10-31,Berlin,steady,3", "2023-10-31,Koeln,steady,4"]
    sales.write_text("\n".join(["date,store,sku,units", *rows]), encoding="utf-8")
    learnt = learn_sales(scenario, sales, tmp_path / "state.json", fix=True)
    assert learnt.sales.units.sum(axis=(1, 2, 3)).tolist() == [0, 0, 7]
    assert any("they teach nothing (2 times" in line for line in learnt.describe())
    before = ForecastState.from_record(scenario).learner.weight
    assert (learnt.state.learner.weight - before).max() == 1


def test_learn_sales__a_store_without_a_row_is_not_one_without_sales(
    scenario: Scenario, tmp_path: Path
) -> None:
    sales, state = tmp_path / "half.csv", tmp_path / "state.json"
    sales.write_text("date,store,sku,units\n2023-10-29,Berlin,steady,3\n", encoding="utf-8")
    with pytest.raises(
        InputError, match=r"has no row of store 'Koeln' on 2023-10-29, when it sells"
    ):
        learn_sales(scenario, sales, state)
    assert not state.exists()
    learnt = learn_sales(scenario, sales, state, fix=True).state.learner
    before = ForecastState.from_record(scenario).learner
    assert (learnt.weight - before.weight).tolist() == [[1, 1, 1, 0, 1, 1], [0] * 6]  # one is new


def test_learner__what_is_out_of_stock_has_not_ended(scenario: Scenario) -> None:
    state = ForecastState.from_record(scenario)
    learner, nothing = state.learner, np.zeros((2, 6, 1))
    rates = Rates.from_settings(scenario.forecast)
    profile = learner.estimate_profile()
    for _ in range(60):
        learner.learn(np.concatenate([nothing] * 2, axis=-1), rates, np.zeros((2, 6), np.bool_))
    assert state.list_ended() == ["ended"]
    np.testing.assert_array_equal(learner.estimate_profile(), profile)
    for _ in range(60):
        learner.learn(np.concatenate([nothing] * 2, axis=-1), rates)
    assert state.list_ended() == ["steady", "launched", "ended", "rising"]


def test_learn_sales__rows_are_added_up_and_strangers_are_counted(
    scenario: Scenario, tmp_path: Path
) -> None:
    sales = tmp_path / "lines.csv"
    rows = ["Berlin,steady,3", "Berlin,steady,2", "Paris,steady,9", "Berlin,hat,9", "Koeln,slow,1"]
    lines = ["date,store,sku,units", *(f"2023-10-29,{row}" for row in rows)]
    sales.write_text("\n".join(lines), encoding="utf-8")
    learnt = learn_sales(scenario, sales, tmp_path / "state.json")
    assert learnt.sales.units[0, 0, 0, 0] == 5
    assert (learnt.sales.rows, learnt.sales.unknown) == (3, 2)
