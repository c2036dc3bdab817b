"""The orders of a morning: what was learnt decides, and the stock count's dates are understood."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from envs.errors import InputError
from envs.omnichannel.scenario import Scenario, load_scenario
from marl.commands.cli import app
from marl.planning.daily.state import ForecastState
from marl.planning.planner import Planner
from marl.planning.stock_count_file import read_stock_count
from tests.daily_chain import (
    DAYS,
    RECORD,
    STORES,
    learn,
    make_rule,
    write_sales,
    write_scenario,
    write_stock,
)


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    return load_scenario(write_scenario(tmp_path, RECORD))


def test_recommend__orders_what_sells_now_and_not_what_has_ended(
    scenario: Scenario, tmp_path: Path
) -> None:
    learnt = learn(scenario, tmp_path, RECORD, DAYS)
    planner = Planner(make_rule(scenario), scenario, forecast=learnt.state)
    count = read_stock_count(write_stock(tmp_path / "stock.csv", DAYS), planner.schema)
    found = planner.recommend(count)
    units = {
        (row.node, row.sku): row.units
        for row in found.decisions
        if row.decision in {"order", "shipment"}
    }
    outlook = {(row.node, row.sku): row for row in found.outlook}
    # Two days of 8 units a day and 1.5 standard deviations, nothing on hand.
    assert 16 < units["Berlin", "launched"] < 32
    assert 16 < units["Berlin", "justnew"] < 45
    assert units["Berlin", "rising"] > 4
    assert all(units[node, "ended"] == 0 for node in ("dc", *STORES))
    assert units["Koeln", "steady"] == 0
    assert outlook["Berlin", "launched"].stockout_probability == 1  # today nothing can arrive
    assert 0.02 < outlook["Koeln", "launched"].stockout_probability < 0.3
    assert outlook["dc", "steady"].stockout_probability == 0
    assert outlook["Koeln", "steady"].stockout_probability == 0


def test_recommend__a_plain_rule_knows_the_sales_that_were_learnt(
    scenario: Scenario, tmp_path: Path
) -> None:
    learnt = learn(scenario, tmp_path, RECORD, DAYS)
    planner = Planner(make_rule(scenario, "textbook"), scenario, forecast=learnt.state)
    count = read_stock_count(write_stock(tmp_path / "stock.csv", DAYS), planner.schema)
    units = {
        (row.node, row.sku): row.units
        for row in planner.recommend(count).decisions
        if row.decision in {"order", "shipment"}
    }
    assert 16 < units["Berlin", "justnew"] < 45  # it was not on sale in the scenario's record
    assert all(units[node, "ended"] == 0 for node in ("dc", *STORES))


def test_recommend__a_forecast_is_that_of_one_morning(scenario: Scenario, tmp_path: Path) -> None:
    state = ForecastState.from_record(scenario)
    planner = Planner(make_rule(scenario), scenario, forecast=state)
    count = read_stock_count(write_stock(tmp_path / "stock.csv", RECORD - 1), planner.schema)
    with pytest.raises(
        InputError, match=r"^day: 299 is not allowed; the forecast is that of day 3"
    ):
        planner.recommend(count)


def test_recommend__without_a_forecast_knows_the_whole_record(
    scenario: Scenario, tmp_path: Path
) -> None:
    path = write_stock(tmp_path / "stock.csv", RECORD)
    told = []
    for state in (None, ForecastState.from_record(scenario)):
        planner = Planner(make_rule(scenario), scenario, forecast=state)
        told.append(planner.recommend(read_stock_count(path, planner.schema)))
    assert told[0].decisions == told[1].decisions
    assert told[0].outlook == told[1].outlook


def test_stock_count__takes_dates_and_leaves_the_forecast_alone(
    scenario: Scenario, tmp_path: Path
) -> None:
    planner = Planner(make_rule(scenario), scenario)
    text = planner.schema.make_template()
    path = tmp_path / "stock.csv"
    path.write_text(text, encoding="utf-8")
    count = read_stock_count(path, planner.schema)
    assert text.splitlines()[1].startswith(
        "2023-10-29,dc,steady,"
    )  # the first day after the record
    assert count.day == RECORD
    assert np.isnan(count.smoothed).all()
    path.write_text(text.replace("2023-10-29", "2023-02-30"), encoding="utf-8")
    with pytest.raises(InputError, match="'2023-02-30' is not a day of the calendar"):
        read_stock_count(path, planner.schema)
    path.write_text(text.replace("2023-10-29", "2022-10-29"), encoding="utf-8")
    with pytest.raises(
        InputError, match="day 0 is the first of the scenario's calendar, 2023-01-02"
    ):
        read_stock_count(path, planner.schema)


def test_commands__from_sales_to_orders(
    scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sales = write_sales(tmp_path / "sales.csv", RECORD, DAYS)
    (tmp_path / "rule.json").write_text(make_rule(scenario).metadata.model_dump_json())
    write_stock(tmp_path / "stock.csv", DAYS)
    run = CliRunner().invoke
    own = ["--scenario", f"mine-{RECORD}.yaml"]
    learnt = run(app, ["learn-sales", *own, "--sales", str(sales), "--state", "state.json"])
    assert learnt.exit_code == 0, learnt.output
    assert "forecasts are for 2023-11-26 on" in learnt.output
    ordered = run(
        app,
        [
            "recommend", "--policy", "rule.json", *own, "--forecast", "state.json",
            "--state", "stock.csv", "--out", "orders.csv",
        ],
    )  # fmt: skip
    assert ordered.exit_code == 0, ordered.output
    orders = (tmp_path / "orders.csv").read_text(encoding="utf-8")
    assert "proposal_safety_stock" in orders.splitlines()[0]


def test_recommend__a_lead_time_may_be_longer_than_what_is_left_of_a_record(tmp_path: Path) -> None:
    demand = {"process": "trace", "file": "sales-60.csv.gz", "train_days": 48}
    network = {
        "dcs": [{"name": "dc", "supplier_lead_time": 14}],
        "stores": [{"name": name, "parent": "dc", "lead_time": 1} for name in STORES],
    }
    short = load_scenario(write_scenario(tmp_path, 60, demand=demand, network=network, horizon=7))
    planner = Planner(make_rule(short), short)
    for day in range(60, 67):
        count = read_stock_count(write_stock(tmp_path / "stock.csv", day), planner.schema)
        assert planner.recommend(count).day == day
