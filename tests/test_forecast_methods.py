"""Methods that learn from a record: by hand, causal, in the simulator and every day."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.forecast.history import History
from envs.omnichannel.forecast.learner import Learner, Rates
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.types import FloatArray
from envs.omnichannel.world.draws import make_seeds
from marl.policies import make_policy
from tests.test_running_forecast import change_record, record_decisions, shorten

MOVING = Rates(0.1, 0.05, "moving_average", 3)
INTERMITTENT = Rates(0.5, 0.05, "intermittent")
EMPIRICAL = Rates(0.1, 0.05, "empirical", 2)
METHODS = ("moving_average", "intermittent", "empirical")
RETAIL = load_scenario("retail")


def follow(
    days: Sequence[float | None], rates: Rates, factors: Sequence[float] | None = None
) -> list[float]:
    """Levels of one cell after each of these days; None: an empty shelf."""
    level, variance, weight = np.zeros((1, 1, 1, 1)), np.zeros((1, 1, 1)), np.zeros((1, 1, 1))
    memory = np.zeros((1, 1, 1, rates.count_memory(1)))
    levels = []
    for units, factor in zip(days, factors or [1.0] * len(days), strict=True):
        seen = np.full((1, 1, 1), units is not None)
        day = np.full((1, 1, 1, 1), 0.0 if units is None else units)
        rates.update(level, variance, weight, memory, day, np.full((1, 1), factor), seen)
        levels.append(level.item())
    return levels


def test_intermittent__follows_the_recursion_of_its_paper() -> None:
    # p: 0, 1/2, 1/4, 1/8, 9/16, 9/32, 41/64, 41/128; z: 3 from the second day on, 4, then 3.
    found = follow([0, 3, 0, 0, 5, 0, 2, 0], INTERMITTENT)
    p = np.array([0, 1 / 2, 1 / 4, 1 / 8, 9 / 16, 9 / 32, 41 / 64, 41 / 128])
    assert found == (p * [0, 3, 3, 3, 4, 4, 3, 3]).tolist()


def test_intermittent__a_busy_weekday_is_taken_out_and_an_empty_shelf_teaches_nothing() -> None:
    assert follow([6, None, 0], INTERMITTENT, [2.0, 1.0, 0.5]) == [3, 3, 1.5]


def test_intermittent__levels_that_a_planner_sets_move_by_what_is_sold() -> None:
    level = np.full((1, 1, 1, 1), 10.0)
    memory = np.array([0.5, 2.0, 4.0]).reshape(1, 1, 1, 3)  # p z = 2, the planner says 10
    weight, day = np.full((1, 1, 1), 9.0), np.zeros((1, 1, 1, 1))
    seen = np.ones((1, 1, 1), np.bool_)
    INTERMITTENT.update(level, weight.copy(), weight, memory, day, np.ones((1, 1)), seen)
    assert level.item() == 9  # p falls by 1/4, and p z by 1


def test_moving_average__is_the_mean_of_the_last_days_in_stock() -> None:
    found = follow([4, 8, 6, 10, None, 2], MOVING)
    assert found == pytest.approx([4, 6, 6, 8, 8, 6])


def test_moving_average__weekdays_are_taken_out() -> None:
    assert follow([2, 6, 12], MOVING, [0.5, 1.5, 3.0]) == pytest.approx([4, 4, 4])


@pytest.mark.parametrize("rates", [MOVING, INTERMITTENT])
def test_update__the_variance_is_the_mean_of_squared_errors(rates: Rates) -> None:
    level, variance, weight = np.zeros((1, 1, 1, 2)), np.zeros((1, 1, 1)), np.zeros((1, 1, 1))
    memory = np.zeros((1, 1, 1, rates.count_memory(2)))
    seen, levels = np.ones((1, 1, 1), np.bool_), []
    for day in ([3.0, 1.0], [5.0, 3.0], [1.0, 1.0]):
        levels.append(level.sum())
        units = np.array(day).reshape(1, 1, 1, 2)
        rates.update(level, variance, weight, memory, units, np.ones((1, 1)), seen)
    assert levels[1] == pytest.approx(4)
    errors = np.array([8, 2]) - levels[1:]
    assert variance.item() == pytest.approx((errors**2).mean())


def test_empirical__the_variance_is_that_of_past_sums() -> None:
    level, variance, weight = np.zeros((1, 1, 1, 2)), np.zeros((1, 1, 1)), np.zeros((1, 1, 1))
    memory = np.zeros((1, 1, 1, EMPIRICAL.count_memory(2)))
    seen, found = np.ones((1, 1, 1), np.bool_), []
    # Levels before the days: 0, 4, 6, 5; the third is a day of half, the last one of double demand.
    for units, factor in (([3.0, 1.0], 1.0), ([5.0, 3.0], 1.0), ([0.5, 1.0], 0.5), ([2, 10], 2.0)):
        day, share = np.array(units).reshape(1, 1, 1, 2), np.full((1, 1), factor)
        EMPIRICAL.update(level, variance, weight, memory, day, share, seen)
        found.append(variance.item())
    second = (8 - 4) ** 2  # a day alone
    third = (8 + 1.5 - 4 * 1.5) ** 2 / 1.5  # both days as the second morning foresaw them
    fourth = (1.5 + 12 - 6 * 2.5) ** 2 / 2.5
    expected = [0, second, (second + third) / 2, (second + third + fourth) / 3]
    assert found == pytest.approx(expected)


def test_empirical__steady_demand_that_alternates_has_no_spread_over_two_days() -> None:
    alternating = np.tile([1.0, 3.0], 200)[:, None, None, None]
    # The law of one cell is Poisson's, 2; it weighs 30 days beside 400, and a half of `running`.
    for rates, spread in ((EMPIRICAL, 2 * 30 / 430), (Rates(0.1, 0.05), (1 + 2) / 2)):
        record = History.roll(alternating, rates._replace(level=0.001), cycle=1)
        assert record.variance[-1].item() == pytest.approx(spread, abs=0.02)


def draw_record(seed: int) -> FloatArray:
    return np.random.default_rng(seed).poisson(0.7, (90, 2, 9, 2)).astype(float)


@pytest.mark.parametrize("rates", [MOVING, INTERMITTENT, EMPIRICAL])
@pytest.mark.parametrize("day", [0, 13, 28, 40])
def test_history__rests_on_the_days_before_alone(day: int, rates: Rates) -> None:
    record, other = draw_record(0), draw_record(0)
    other[day:] = draw_record(1)[day:]
    found, changed = History.roll(record, rates), History.roll(other, rates)
    for name, values in vars(found).items():
        np.testing.assert_array_equal(values[: day + 1], vars(changed)[name][: day + 1], name)
    assert not np.array_equal(found.memory[-1], changed.memory[-1])


@pytest.mark.parametrize("rates", [MOVING, INTERMITTENT, EMPIRICAL])
def test_learner__of_an_ended_item_nothing_is_remembered(rates: Rates) -> None:
    learner = Learner.start(1, 2, 1, memory=rates.count_memory(1))
    for day in range(120):
        learner.learn(np.array([[[2.0 * (day < 60)], [2.0]]]), rates)
    found = learner.read()
    assert found.has_ended.tolist() == [[True, False]]
    assert (found.memory[0, 0] == 0).all()
    assert found.smoothed[0, :, 0].tolist() == pytest.approx([0, 2], rel=0.01)


def make_scenario(method: str) -> Scenario:
    forecast = RETAIL.forecast.model_copy(update={"method": method, "window": 28})
    return shorten(RETAIL, forecast=forecast)


@pytest.mark.parametrize("method", METHODS)
def test_forecast__an_episode_begins_and_goes_on_as_the_record_says(method: str) -> None:
    scenario = make_scenario(method)
    env = BatchedEnv(scenario, 3, "evaluate")
    env.reset(make_seeds("test", 0, 3))
    history = env.forecast.history  # type: ignore[attr-defined]
    rule = make_policy("safety_stock", scenario)
    for _ in range(8):  # its weekday profile stays that of its first day
        day = env.state.day
        # The split into channels is drawn.
        total = env.view.smoothed.sum(axis=-1)
        assert total == pytest.approx(history.smoothed[day].sum(axis=-1), rel=0.02, abs=0.01)
        rule.run_period(env)
    plain = BatchedEnv(replace_method(scenario), 3, "evaluate")
    plain.reset(make_seeds("test", 0, 3))
    own = "variance" if method == "empirical" else "smoothed"  # its levels are those of `running`
    found, other = getattr(history, own)[plain.state.day], getattr(plain.view, own)
    assert not np.allclose(other, found, rtol=0.01)


def replace_method(scenario: Scenario) -> Scenario:
    forecast = scenario.forecast.model_copy(update={"method": "running"})
    return scenario.model_copy(update={"forecast": forecast})


@pytest.mark.parametrize("method", METHODS)
def test_forecast__knows_nothing_of_the_day_it_is_made_for(method: str) -> None:
    env = BatchedEnv(make_scenario(method), 2)
    env.reset(make_seeds("test", 0, 2))
    known = env.view.known
    busy = np.full((2, 2, 3, 2), 50)
    before = [array.copy() for array in (known.smoothed, known.variance, known.memory)]  # type: ignore[union-attr]
    after = env.forecast.update(known, busy, env.state)
    for array, same in zip((known.smoothed, known.variance, known.memory), before, strict=True):
        np.testing.assert_array_equal(array, same)  # states are values
    assert (after.smoothed > known.smoothed).all()
    assert (replace(after, memory=None).weight == known.weight + 1).all()


@pytest.mark.parametrize("method", METHODS)
def test_forecast__no_rule_knows_what_demand_will_be(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario, seeds = make_scenario(method), make_seeds("leak", 0, 4)
    before, first = record_decisions("safety_stock", "evaluate", seeds, scenario)  # type: ignore[arg-type]
    day = int(first.max()) + 10
    change_record(scenario, day, monkeypatch)
    after, again = record_decisions("safety_stock", "evaluate", seeds, scenario)  # type: ignore[arg-type]
    np.testing.assert_array_equal(first, again)
    for b, start in enumerate(first):
        known = day - start + 1
        for found, other in zip(before, after, strict=True):
            np.testing.assert_array_equal(found[:known, b], other[:known, b])
    assert not np.array_equal(before[0], after[0])
