"""A learnt day can be taken back: a corrected file takes the place of what was learnt."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from envs.errors import InputError
from envs.omnichannel.scenario import Scenario, load_scenario
from marl.commands.cli import app
from marl.planning.daily.learn_sales import learn_sales
from marl.planning.daily.recent import KEPT
from marl.planning.daily.state import ForecastState
from tests.daily_chain import DAYS, FIRST, RECORD, learn, write_sales, write_scenario


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    return load_scenario(write_scenario(tmp_path, RECORD))


def read_state(folder: Path) -> bytes:
    return (folder / "state.json").read_bytes()


def spoil(path: Path, day: int) -> Path:
    """Writes a sales file anew, ten times as much sold on one of its days."""
    when, (header, *rows) = str(FIRST + timedelta(day)), path.read_text("utf-8").splitlines()
    rows = [f"{row}0" if row.startswith(when) else row for row in rows]
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("wrong", [RECORD + 1, RECORD + 5, RECORD + 8])
def test_learn_sales__wrong_and_replaced_is_right_at_once(
    scenario: Scenario, tmp_path: Path, wrong: int
) -> None:
    learn(scenario, tmp_path, RECORD, RECORD + 9)
    right = read_state(tmp_path)
    (tmp_path / "state.json").unlink()
    sales = spoil(write_sales(tmp_path / "sales.csv", RECORD, RECORD + 9), wrong)
    learn_sales(scenario, sales, tmp_path / "state.json")
    assert read_state(tmp_path) != right
    again = learn(scenario, tmp_path, wrong, wrong + 1)  # without --replace known days stay
    assert again.sales.replaced == 0
    assert read_state(tmp_path) != right

    found = learn(scenario, tmp_path, wrong, wrong + 1, replace=True)

    assert read_state(tmp_path) == right
    assert found.sales.replaced == 1
    assert "1 of these days were known already; they are learnt anew" in found.describe()
    assert found.to_json()["totals"]["replaced_days"] == 1


def test_learn_sales__a_file_may_replace_days_and_bring_new_ones(
    scenario: Scenario, tmp_path: Path
) -> None:
    for day in range(RECORD, DAYS):
        learn(scenario, tmp_path, day, day + 1)
    right = read_state(tmp_path)
    (tmp_path / "state.json").unlink()
    for day in range(RECORD, DAYS - 2):
        sales = spoil(write_sales(tmp_path / "sales.csv", day, day + 1), DAYS - 5)
        learn_sales(scenario, sales, tmp_path / "state.json")
    found = learn(scenario, tmp_path, DAYS - 5, DAYS, replace=True)
    assert (len(found.sales.units), found.sales.replaced) == (5, 3)
    assert read_state(tmp_path) == right


def test_learn_sales__the_latest_days_alone_can_be_replaced(
    scenario: Scenario, tmp_path: Path
) -> None:
    first = learn(scenario, tmp_path, RECORD, RECORD + 3).state
    assert first.first_kept == FIRST + timedelta(RECORD)  # the record stays as it is
    learn(scenario, tmp_path, RECORD + 3, DAYS)
    state = ForecastState.read(tmp_path / "state.json", scenario)
    assert state.first_kept == FIRST + timedelta(DAYS - KEPT)
    assert state.recent.before.day == DAYS - KEPT
    before = read_state(tmp_path)
    with pytest.raises(InputError) as error:
        learn(scenario, tmp_path, DAYS - KEPT - 1, DAYS, replace=True)
    assert (
        "line 2, column date: '2023-11-11' can no longer be replaced; the days from 2023-11-12 on "
        "can (and "
    ) in str(error.value)
    assert read_state(tmp_path) == before


def test_learn_sales__the_days_before_the_kept_ones_are_as_they_were_learnt(
    scenario: Scenario, tmp_path: Path
) -> None:
    early = learn(scenario, tmp_path, RECORD, DAYS - KEPT).state.learner.get_arrays()
    (tmp_path / "state.json").unlink()
    before = learn(scenario, tmp_path, RECORD, DAYS).state.recent.before.get_arrays()
    for name, values in early.items():
        np.testing.assert_array_equal(before[name], values, err_msg=name)


def test_learn_sales__empty_shelves_are_replaced_too(scenario: Scenario, tmp_path: Path) -> None:
    sales, state = tmp_path / "sales.csv", tmp_path / "state.json"
    rows = [f"2023-10-29,{store},steady,3" for store in ("Berlin", "Koeln")]
    for in_stock in ("no", "yes"):
        lines = ["date,store,sku,units,in_stock", *(f"{row}," for row in rows)]
        lines.append(f"2023-10-29,Berlin,slow,0,{in_stock}")
        sales.write_text("\n".join(lines), encoding="utf-8")
        weight = learn_sales(scenario, sales, state, replace=True).state.learner.weight[0, 1]
        assert weight == RECORD + (in_stock == "yes")


def test_commands__replace_a_day(
    scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_sales(tmp_path / "sales.csv", RECORD, RECORD + 1)
    own = ["--scenario", f"mine-{RECORD}.yaml", "--sales", "sales.csv", "--state", "state.json"]
    first = CliRunner().invoke(app, ["learn-sales", *own])
    again = CliRunner().invoke(app, ["learn-sales", *own, "--replace"])
    assert (first.exit_code, again.exit_code) == (0, 0), again.output
    assert "learnt 2023-10-29 to 2023-10-29 (1)" in again.output
    assert "1 of these days were known already; they are learnt anew" in again.output
