"""The daily loop: sales in, the state of the forecasts out, and the orders that follow."""

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from envs.errors import InputError
from envs.omnichannel.forecast.learner import Rates
from envs.omnichannel.forecast.make import roll_record
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.world.demand.trace_file import RecordedDemand, encode_trace
from envs.omnichannel.world.demand.traces import TraceDemand
from marl.commands.cli import app
from marl.planning.daily.learn_sales import Learnt, learn_sales
from marl.planning.daily.state import ForecastState
from marl.planning.planner import Planner
from marl.planning.rule_file import RuleMetadata, RulePolicy
from marl.planning.stock_count_file import read_stock_count
from marl.policies.base import Setting
from marl.policies.families import get_family
from marl.policies.tuned import TunedRule

FIRST = date(2023, 1, 2)
STORES, SKUS = ["Berlin", "Koeln"], ["steady", "slow", "launched", "justnew", "ended", "rising"]
DAYS, RECORD = 328, 300  # days of the back-test, and of them in the scenario's record


def draw_units() -> np.ndarray:
    """Items with the lives that real ones have, (days, stores, SKUs, 1)."""
    generator = np.random.default_rng(3)
    mean = np.empty((DAYS, len(STORES), len(SKUS)))
    mean[:] = [4, 0.1, 8, 8, 6, 0.5]
    mean[: DAYS - 60, :, 2] = 0
    mean[: DAYS - 10, :, 3] = 0
    mean[100:, :, 4] = 0
    mean[DAYS - 28 :, :, 5] = 4
    return generator.poisson(mean)[..., None]


UNITS = draw_units()


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    return load_scenario(write_scenario(tmp_path, RECORD))


def write_scenario(folder: Path, days: int, **changes: Any) -> Path:
    records = RecordedDemand(FIRST, STORES, SKUS, ["store"], UNITS[:days])
    (folder / f"sales-{days}.csv.gz").write_bytes(encode_trace(records))
    trace = {"process": "trace", "file": f"sales-{days}.csv.gz", "train_days": 240}
    data = {
        "name": "mine",
        "horizon": 28,
        "network": {
            "dcs": [{"name": "dc", "supplier_lead_time": 3}],
            "stores": [{"name": name, "parent": "dc", "lead_time": 1} for name in STORES],
        },
        "skus": [{"name": name, "category": "all"} for name in SKUS],
        "categories": {"all": {"return_rate": 0.0}},
        "demand": trace,
        "forecast": {"method": "running", "smoothing": 0.02, "variance_smoothing": 0.01},
    } | changes
    path = folder / f"mine-{days}.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return path


def write_sales(path: Path, first: int, end: int, header: str = "date,store,sku,units") -> Path:
    lines = [header]
    for day, store, sku, _ in np.argwhere(UNITS[first:end] > 0):
        units = UNITS[first + day, store, sku, 0]
        when = FIRST + timedelta(int(first + day))
        lines.append(f"{when},{STORES[store]},{SKUS[sku]},{units}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def learn(scenario: Scenario, folder: Path, first: int, end: int, **options: Any) -> Learnt:
    sales = write_sales(folder / "sales.csv", first, end)
    return learn_sales(scenario, sales, folder / "state.json", **options)


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
    assert any("they teach nothing: 2 such days" in line for line in learnt.describe())
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


def damage(content: dict[str, Any], how: str) -> None:
    arrays = content["arrays"]
    match how:
        case "missing":
            del arrays["weight"]
        case "shape":
            arrays["weight"]["shape"] = [9, 9]
        case "data":
            arrays["weight"]["data"] = "AAAA"
        case "other":
            content["skus"][0] = "coat"
        case "version":
            content["version"] = 2
        case "first":
            content["first_day"] = "2020-01-01"
        case "nan":
            arrays["weight"] = arrays["weight"] | encode(np.full((2, 6), np.nan))


def encode(array: np.ndarray) -> dict[str, str]:
    import base64
    import zlib

    return {"data": base64.b64encode(zlib.compress(array.tobytes())).decode()}


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("missing", "arrays.weight is missing; the file is not whole"),
        ("shape", "arrays.weight: float64 of shape [9, 9] found; float64 of shape [2, 6]"),
        ("data", "arrays.weight: the data are damaged"),
        ("other", "skus: not that of scenario mine"),
        ("version", "version: 2 is not allowed"),
        ("first", "first_day: '2020-01-01' is not allowed; the scenario's record begins on 2023"),
        ("nan", "arrays.weight: numbers from 0 to 1e+15 are needed"),
    ],
)
def test_read_state__what_is_wrong_is_one_line(
    scenario: Scenario, tmp_path: Path, how: str, message: str
) -> None:
    path = tmp_path / "state.json"
    ForecastState.from_record(scenario).write(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    damage(content, how)
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(InputError) as error:
        ForecastState.read(path, scenario)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_forecast_state__drawn_demand_has_no_record(tiny: Scenario) -> None:
    with pytest.raises(InputError, match=r"^--scenario: tiny is not allowed; its demand is drawn"):
        ForecastState.from_record(tiny)


def make_rule(scenario: Scenario, family: str = "safety_stock") -> RulePolicy:
    setting = Setting.from_scenario(scenario)
    rule, rival = (
        TunedRule(family=name, parameters=get_family(name).make_space(setting).initial)
        for name in (family, "textbook")
    )
    return RulePolicy(
        RuleMetadata(
            scenario=scenario.name, scenario_hash=scenario.hash(), rule=rule, classical=[rival]
        )
    )


# On hand at the DC, in Berlin and in Koeln.
STOCK = {
    "steady": (150, 9, 400), "slow": (4, 1, 0), "launched": (300, 0, 12), "justnew": (300, 0, 12),
    "ended": (20, 3, 0), "rising": (60, 0, 0),
}  # fmt: skip


def write_stock(path: Path, day: int) -> Path:
    lines = ["day,node,sku,on_hand"]
    for sku, stock in STOCK.items():
        for node, units in zip(("dc", *STORES), stock, strict=True):
            lines.append(f"{day},{node},{sku},{units}")
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


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
