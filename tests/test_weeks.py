"""Scenarios whose period is a week: their records, forecasts, rules and words."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pettingzoo.test import parallel_api_test

from envs.errors import InputError
from envs.omnichannel import parallel_env
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.forecast.learner import Learner, Rates
from envs.omnichannel.forecast.strategies import count_days_ahead
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.types import Network
from envs.omnichannel.world.demand.recorded import RecordedDemand
from envs.omnichannel.world.demand.trace_file import encode_trace, load_trace
from envs.omnichannel.world.demand.traces import TraceDemand
from envs.omnichannel.world.draws import make_seeds
from marl.evaluation.choice import make_folds
from marl.evaluation.evaluate import evaluate_policies
from marl.evaluation.tuning import load_or_tune
from marl.forecasting.backtest import back_test_scenario
from marl.planning.daily.learn_sales import learn_sales
from marl.planning.daily.state import ForecastState
from marl.planning.planner import Planner
from marl.planning.rule_file import RuleMetadata, RulePolicy
from marl.planning.stock_count_file import read_stock_count
from marl.policies import make_policy
from marl.policies.base import Setting, TargetRule
from marl.policies.choices import SupplierOrder
from marl.policies.families import get_family
from marl.policies.plan import Plan
from marl.policies.tuned import TunedRule

FIRST, WEEKS = date(2023, 1, 2), 60  # a Monday
SKUS = ("hat", "coat")
UNITS = np.random.default_rng(5).poisson([[[6.0], [1.0]], [[12.0], [3.0]]], (WEEKS, 2, 2, 1))


def write_scenario(folder: Path, step: int = 7, **changes: Any) -> Path:
    """One DC, two stores, two SKUs, a record of sixty weeks, of which forty train."""
    records = RecordedDemand(FIRST, ["S1", "S2"], ["hat", "coat"], ["store"], UNITS, step)
    (folder / "sales.csv.gz").write_bytes(encode_trace(records))
    data: dict[str, Any] = {
        "name": "weeks",
        "period": "week",
        "horizon": 8,
        "review_period": 2,
        "network": {
            "dcs": [{"name": "dc", "supplier_lead_time": 2}],
            "stores": [{"name": "S1", "parent": "dc"}, {"name": "S2", "parent": "dc"}],
        },
        "skus": [{"name": "hat", "category": "all"}, {"name": "coat", "category": "all"}],
        "categories": {"all": {"return_rate": 0.0}},
        "demand": {"process": "trace", "file": "sales.csv.gz", "train_days": 40},
        "forecast": {"method": "running"},
    }
    path = folder / "weeks.yaml"
    path.write_text(yaml.safe_dump(data | changes), encoding="utf-8")
    return path


@pytest.fixture
def weekly(tmp_path: Path) -> Scenario:
    return load_scenario(write_scenario(tmp_path))


def test_trace_file__of_weeks_has_dates_seven_days_apart(tmp_path: Path) -> None:
    write_scenario(tmp_path)
    found = load_trace(tmp_path / "sales.csv.gz", None)
    assert (found.step, found.first_day) == (7, FIRST)
    np.testing.assert_array_equal(found.units, UNITS)


@pytest.mark.parametrize(
    ("step", "period", "message"),
    [
        (7, "day", "period: 'day' is not allowed; the demand's record has a row a week, so"),
        (1, "week", "period: 'week' is not allowed; the demand's record has a row a day, so"),
    ],
)
def test_period__is_that_of_the_record(
    step: int, period: str, message: str, tmp_path: Path
) -> None:
    scenario = load_scenario(write_scenario(tmp_path, step, period=period))
    with pytest.raises(InputError, match=message):
        BatchedEnv(scenario, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"demand": {"process": "poisson", "calendar": {"closed": [6]}}}, "demand.calendar: not"),
        (
            {"returns": {"delay": {"kind": "recorded", "source": "online_gifts"}}},
            "returns.delay.kind: 'recorded' is not allowed with period week",
        ),
        ({"period": "month"}, "period: 'month' is not allowed"),
    ],
)
def test_period__refuses_what_is_about_days(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        load_scenario(write_scenario(tmp_path, **changes))


def test_period__leaves_the_hash_of_daily_scenarios(tiny: Scenario) -> None:
    daily = tiny.model_copy(update={"period": "day"})
    assert daily.hash() == tiny.hash() == "e7792e03dc55"
    assert tiny.model_copy(update={"period": "week"}).hash() != tiny.hash()


def test_learner__of_weeks_has_no_profile_and_settles_in_four_of_them() -> None:
    learner = Learner.start(1, 2, 1, cycle=1)
    for week in range(10):
        sold = np.array([[[float(1 + week % 3)], [5.0 if week >= 4 else 0.0]]])
        learner.learn(sold, Rates(0.1, 0.05))
    found = learner.read()
    np.testing.assert_array_equal(found.profile, np.ones((1, 2)))
    assert found.weight.tolist() == [[10, 6]]  # what came in week four is new from then on
    assert found.plain_mean[0, :, 0].tolist() == pytest.approx([1.9, 5.0])
    assert not found.is_new.any()  # no longer: it has sold for six weeks
    assert learner.first_sale.tolist() == [0, 4]


def test_learner__of_weeks_takes_an_item_for_ended_after_fifteen_without_a_sale() -> None:
    learner = Learner.start(1, 1, 1, cycle=1)
    ended = []
    for week in range(40):
        learner.learn(np.full((1, 1, 1), 3.0 if week < 20 else 0.0), Rates(0.1, 0.05))
        ended.append(bool(learner.find_ended()[0, 0]))
    assert ended.index(True) == 20 + 15 - 1


def test_trace__of_weeks_knows_eight_of_them_when_an_episode_begins(weekly: Scenario) -> None:
    demand = BatchedEnv(weekly, 1).simulator.demand
    assert isinstance(demand, TraceDemand)
    assert (demand.burn_in, demand.cycle) == (8, 1)
    assert demand.season == pytest.approx(np.ones((WEEKS, 2, 2)))
    assert demand.mean[..., 0] == pytest.approx(UNITS[:8, ..., 0].mean(axis=0))


def test_forecast__of_weeks_foresees_the_next_one(weekly: Scenario) -> None:
    env = BatchedEnv(weekly, 1, "evaluate")
    env.reset(make_seeds("weeks", 0, 1))
    view = env.view
    assert count_days_ahead(Network.from_scenario(weekly)) == 4  # two weeks, one, and the order's
    np.testing.assert_array_equal(view.ahead[0, :, 0, 0], [1, 2, 3, 4])
    np.testing.assert_array_equal(view.forecast, view.smoothed)


def test_naive__tops_up_every_week_by_the_last_four(weekly: Scenario) -> None:
    env = BatchedEnv(weekly, 1)
    env.reset(make_seeds("weeks", 0, 1))
    rule = make_policy("naive", weekly)
    assert isinstance(rule, TargetRule)
    mean = UNITS[:8, :, :, 0].mean(axis=0)
    targets = rule.compute_targets(env.view)
    # Until the delivery after next (one week on the way, one until the order) and one of safety.
    gap = 3 * mean - env.view.on_hand[0, 1:]
    assert targets.shipment_gap[0] == pytest.approx(gap)
    sold = [rule.run_period(env).flows.served[0, ..., 0] for _ in range(5)]
    targets = rule.compute_targets(env.view)
    stock = env.view.on_hand[0, 1:] + env.view.in_transit[0, :, 1:].sum(axis=0)
    assert targets.shipment_gap[0] == pytest.approx(3 * np.mean(sold[1:], axis=0) - stock)


def test_folds__of_weeks_are_cut_from_forty_of_them(weekly: Scenario) -> None:
    folds = make_folds(weekly)
    assert [(fold.demand.train_days, fold.horizon) for fold in folds] == [(20, 8), (30, 8)]  # type: ignore[union-attr]


def test_back_test__of_weeks_foresees_one_and_four_of_them(weekly: Scenario) -> None:
    found = back_test_scenario(weekly)
    assert {score.days for score in found.scores} == {1, 4}


def write_sales(folder: Path, dates: list[str]) -> Path:
    path = folder / "recent.csv"
    rows = [f"{day},{store},{sku},7" for day in dates for store in ("S1", "S2") for sku in SKUS]
    path.write_text("\n".join(["date,store,sku,units", *rows]), encoding="utf-8")
    return path


# The record ends with the week of 2024-02-19.
def test_learn_sales__of_weeks_takes_their_first_days(weekly: Scenario, tmp_path: Path) -> None:
    sales = write_sales(tmp_path, ["2024-02-26", "2024-03-04"])
    learnt = learn_sales(weekly, sales, tmp_path / "state.json")
    assert (learnt.state.learner.day, learnt.state.next_day) == (62, date(2024, 3, 11))
    told = list(learnt.describe())
    assert told[1].startswith("learnt 2024-02-26 to 2024-03-10 (2): 8 rows, 56 units")
    again = ForecastState.read(tmp_path / "state.json", weekly)
    assert again.next_day == learnt.state.next_day
    np.testing.assert_array_equal(again.learner.smoothed, learnt.state.learner.smoothed)
    np.testing.assert_array_equal(again.learner.sold, [UNITS.sum(axis=(0, 1, 3)) + 28])


@pytest.mark.parametrize(
    ("dates", "message"),
    [
        (["2024-02-27"], "line 2, column date: '2024-02-27' is not the first day of a week"),
        (["2024-03-04"], "no row for 2024-02-26, which is to be learnt next; each week needs one"),
    ],
)
def test_learn_sales__of_weeks_refuses_other_days(
    dates: list[str], message: str, weekly: Scenario, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message) as error:
        learn_sales(weekly, write_sales(tmp_path, dates), tmp_path / "state.json")
    assert "\n" not in str(error.value)


def count_stock(folder: Path, day: str) -> Path:
    lines = ["day,node,sku,on_hand,in_transit_1"]
    lines += [f"{day},{node},{sku},5,0" for node in ("dc", "S1", "S2") for sku in SKUS]
    path = folder / "stock.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def make_planner(weekly: Scenario, family: str = "safety_stock") -> Planner:
    space = get_family(family).make_space(Setting.from_scenario(weekly))
    rule = TunedRule(family=family, parameters=space.initial)
    metadata = RuleMetadata(
        scenario=weekly.name, scenario_hash=weekly.hash(), rule=rule, classical=[rule]
    )
    state = ForecastState.from_record(weekly)
    return Planner(RulePolicy(metadata), weekly, num_futures=20, forecast=state)


def test_recommend__of_weeks_orders_for_two_of_them(weekly: Scenario, tmp_path: Path) -> None:
    planner = make_planner(weekly)
    count = read_stock_count(count_stock(tmp_path, "2024-02-26"), planner.schema)
    assert count.day == WEEKS
    found = planner.recommend(count)
    known = planner.today.forecast.begin(np.array([WEEKS]))
    mean, variance = known.smoothed[0, :, 0, 0], known.variance[0, :, 0]
    # Walk-ins alone; the week on the way and that until the next order, z = 1.5.
    target = 2 * mean + 1.5 * np.sqrt(2 * variance)
    asked = [row.requested for row in found.decisions if row.decision == "shipment"]
    assert asked[::2] == np.rint(target - 5).tolist()
    told = found.explain("S1", "hat")
    assert "units a week\n" in told
    assert "weeks before" in told
    assert "within the 2 weeks until next week's decision can arrive" in told
    assert "day" not in told


def test_recommend__of_weeks_refuses_days_between_them(weekly: Scenario, tmp_path: Path) -> None:
    schema = make_planner(weekly).schema
    assert schema.make_template().splitlines()[1].startswith("2024-02-26,dc,hat,")
    with pytest.raises(InputError, match=r"'2024-02-28' is not allowed; a period is a week, and"):
        read_stock_count(count_stock(tmp_path, "2024-02-28"), schema)


def test_parallel_env__of_weeks_passes_the_conformance_suite(weekly: Scenario) -> None:
    parallel_api_test(parallel_env(weekly), num_cycles=20)
    env = parallel_env(weekly, render_mode="ansi")
    env.reset(seed=0)
    assert str(env.render()).startswith("Week 1 of 8, the high level decides today\n")


def test_tune_and_evaluate__of_weeks(weekly: Scenario) -> None:
    rule = load_or_tune("safety_stock", weekly, trials=8).make(weekly)
    found = evaluate_policies({"tuned": rule, "naive": make_policy("naive", weekly)}, weekly, 4, 0)
    assert found.held_back
    for metrics in found.policies.values():
        assert 0.5 < metrics["on_time"].mean <= 1


def test_turnover__is_that_of_a_year(weekly: Scenario) -> None:
    env = BatchedEnv(weekly, 1, "evaluate")
    env.reset(make_seeds("weeks", 0, 1))
    rule = make_policy("naive", weekly)
    flows = [rule.run_period(env).flows for _ in range(3)]
    sold = sum(int(f.served.sum()) for f in flows) / 3
    stock = sum(int(f.on_hand.sum()) for f in flows) / 3
    metrics = env.compute_metrics()
    assert metrics["turnover"] == pytest.approx(sold * 365 / 7 / stock)
    assert metrics["days_of_cover"] == pytest.approx(
        stock / (sum(int(f.demand.sum()) for f in flows) / 3)
    )


def test_residual_orders__of_weeks_move_by_as_many_days(weekly: Scenario) -> None:
    env = BatchedEnv(weekly, 1)
    env.reset(make_seeds("weeks", 0, 1))
    plan = Plan.start(env.view, Setting.from_scenario(weekly))
    plan.up_to_gap[0, 0] = [10, 0]
    plan.system_rate[0, 0] = [14, 7]  # units a week
    options = SupplierOrder(Setting.from_scenario(weekly)).list_options(plan)[0, 0, 2:]
    assert options == pytest.approx([10 - 8, 10 - 4, 10, 10 + 4, 10 + 8, 10 + 14])


@pytest.mark.parametrize("method", ["moving_average", "intermittent", "smoothing"])
def test_forecast_methods__of_weeks(method: str, tmp_path: Path) -> None:
    forecast = {"method": method, **({"window": 8} if method == "moving_average" else {})}
    scenario = load_scenario(write_scenario(tmp_path, forecast=forecast))
    env = BatchedEnv(scenario, 1, "evaluate")
    env.reset(make_seeds("weeks", 0, 1))
    np.testing.assert_allclose(env.view.ahead[0, :, 0, 0], [1, 2, 3, 4])
    day = int(env.view.day[0])
    assert day >= 40
    if method == "moving_average":
        expected = UNITS[day - 8 : day].mean(axis=0)
        assert env.view.forecast[0, ..., 0] == pytest.approx(expected[..., 0], rel=1e-6)
