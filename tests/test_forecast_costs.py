"""What forecasts are worth: the oracle by hand, and methods compared by cost."""

import json
from pathlib import Path

import numpy as np
import pytest

from envs.errors import InputError
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.forecast.boosted import can_boost
from envs.omnichannel.forecast.foresight import Foresight
from envs.omnichannel.forecast.learner import Rates
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.world.demand.traces import TraceDemand
from envs.omnichannel.world.draws import make_seeds
from marl.commands.forecast import forecast
from marl.evaluation.forecast_costs import check_methods, compare_methods
from marl.evaluation.tables import make_forecast_table
from marl.forecasting.backtest import back_test_scenario
from marl.policies import make_policy
from tests.test_running_forecast import RETAIL, shorten

METHODS = check_methods(["all"])  # that are installed
SMALL = shorten(RETAIL, stores=3, skus=8)


def use(method: str, scenario: Scenario = SMALL) -> Scenario:
    settings = scenario.forecast.model_copy(update={"method": method})
    return scenario.model_copy(update={"forecast": settings})


def test_oracle__of_a_record_knows_the_units_of_each_coming_day() -> None:
    scenario = use("oracle")
    env = BatchedEnv(scenario, 2, "evaluate")
    env.reset(make_seeds("test", 0, 2))
    assert isinstance(env.forecast, Foresight)
    make_policy("before", scenario).run_period(env)
    view, demand = env.view, env.simulator.demand
    assert isinstance(demand, TraceDemand)
    assert (view.variance == 0).all()
    level = view.smoothed.sum(axis=-1)
    for b, day in enumerate(env.state.day):
        sold = demand.units[day : day + 7].sum(axis=-1)
        for days in (1, 4, 7):
            assert level[b] * view.ahead[b, days - 1] == pytest.approx(sold[:days].sum(axis=0))


def test_oracle__orders_what_will_be_sold_until_the_next_order_arrives() -> None:
    scenario = use("oracle")
    env = BatchedEnv(scenario, 2, "evaluate")
    env.reset(make_seeds("test", 0, 2))
    rule = make_policy("safety_stock", scenario)
    targets = rule.compute_targets(env.view)
    days = 5 + 1 + 1  # the supplier, the way on, and today
    for b, day in enumerate(env.state.day):
        sold = env.simulator.demand.units[day : day + days].sum(axis=(0, 1, 3))  # type: ignore[attr-defined]
        stock = env.view.on_hand[b].sum(axis=0)
        assert targets.supplier_gap[b, 0] == pytest.approx(sold - stock)


def test_compare_methods__is_by_cost_on_training_days_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tests.test_running_forecast import change_record

    said: list[str] = []
    found = compare_methods(SMALL, METHODS, said.append)
    assert [result.method for result in found.methods] == list(METHODS)
    assert len(said) == len(METHODS)
    assert found.chosen == min(found.methods, key=lambda result: result.cost.mean).method
    for result in found.methods:
        assert result.error.mean == pytest.approx(result.cost.mean - found.oracle.mean)
        assert result.error.low > 0  # nobody does better than who knows
        assert len(result.z) == 2
        best = next(r.cost.mean for r in found.methods if r.method == found.chosen)
        assert result.more.mean == pytest.approx(result.cost.mean - best)
        day, week = result.accuracy
        assert (day.periods, week.periods) == (1, 7)
        assert week.wape < day.wape
        assert 0.8 < day.held < 1
    change_record(SMALL, 273, monkeypatch)
    again = compare_methods(SMALL, METHODS, said.append)
    assert again == found
    change_record(SMALL, 272, monkeypatch)
    assert compare_methods(SMALL, METHODS, said.append) != found


def test_compare_methods__a_forecast_that_is_wrong_costs_more() -> None:
    slow = SMALL.model_copy(
        update={"forecast": SMALL.forecast.model_copy(update={"smoothing": 0.9})}
    )
    wrong, right = (compare_methods(s, ["running"], str).methods[0] for s in (slow, SMALL))
    assert wrong.cost.mean > right.cost.high
    assert wrong.accuracy[0].log_score > right.accuracy[0].log_score


def test_compare_methods__z_is_the_cheapest_on_the_days_before() -> None:
    found = []
    for lost_sale in (0.001, 100.0):
        costs = SMALL.costs.model_copy(update={"lost_sale": lost_sale, "late": lost_sale})
        scenario = SMALL.model_copy(update={"costs": costs})
        found.append(compare_methods(scenario, ["running"], str).methods[0].z)
    assert found == [(0.5, 0.5), (3.5, 3.5)]  # the ends of what is tried


def test_back_test__of_a_moving_average_is_as_sure_as_its_window() -> None:
    assert Rates(0.1, 0.05, "moving_average", 19).level_rate == 0.1
    assert Rates(0.3, 0.05).level_rate == 0.3
    scores = [back_test_scenario(use(method)).scores[0] for method in METHODS]
    assert len({score.log_score for score in scores}) == len(METHODS)
    assert all(0.85 < score.coverage["90%"] < 0.97 for score in scores)


def test_check_methods__names_what_is_allowed() -> None:
    assert METHODS[:4] == ("running", "moving_average", "intermittent", "empirical")
    assert METHODS[4:] == (("boosted",) if can_boost() else ())
    assert check_methods(["intermittent", "running", "intermittent"]) == ("intermittent", "running")
    with pytest.raises(InputError, match=r"--methods: 'magic' is not known; allowed: running, "):
        check_methods(["magic"])


def test_command__prints_the_costs_beside_the_scores(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(json.dumps(SMALL.model_dump(mode="json")))
    forecast(str(path), tmp_path / "found.json", ["running", "intermittent"])
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["scores"][0]["cells"] == "all"
    costs = found["costs"]
    assert [result["method"] for result in costs["methods"]] == ["running", "intermittent"]
    assert costs["chosen"] in {"running", "intermittent"}
    assert costs["methods"][0]["error"]["mean"] > 0
    table = make_forecast_table("small", compare_methods(SMALL, ["running"], str))
    assert table.row_count == 1
    assert np.isfinite(costs["oracle"]["mean"])
