"""Forecasts of recorded demand: by hand, causal, and the rules that order by them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from envs.errors import InputError
from envs.omnichannel.agents.protection import pick_days, thin_variance
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.forecast.history import History
from envs.omnichannel.forecast.learner import Learner, Rates
from envs.omnichannel.forecast.make import make_forecast
from envs.omnichannel.forecast.moments import update_moments
from envs.omnichannel.forecast.running import Running
from envs.omnichannel.forecast.variance_law import shrink_variance
from envs.omnichannel.forecast.weekdays import estimate_profile
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.scenario.agents import Observation
from envs.omnichannel.scenario.demand import ForecastSettings, Trace
from envs.omnichannel.types import BoolArray, FloatArray, IntArray, Known
from envs.omnichannel.world.demand.traces import TraceDemand
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.simulator import Simulator
from marl.evaluation.choice import make_folds, make_runner
from marl.policies import BASELINES, list_running, make_policy
from marl.policies.base import Setting
from marl.policies.families import SafetyStocks, Textbook


def roll(record: FloatArray, in_stock: BoolArray | None = None) -> History:
    return History.roll(record, Rates(0.1, 0.05), in_stock)


def learn(days: Sequence[float], factors: Sequence[float] | None = None) -> list[float]:
    """Level, variance and weight of one cell after these days."""
    level, variance, weight = np.zeros((1, 1, 1, 1)), np.zeros((1, 1, 1)), np.zeros((1, 1, 1))
    seen = np.ones((1, 1, 1), np.bool_)
    for day, factor in zip(days, factors or [1.0] * len(days), strict=True):
        units, share = np.full((1, 1, 1, 1), day), np.full((1, 1), factor)
        update_moments(level, variance, weight, units, share, seen, 0.1, 0.05)
    return [float(array.ravel()[0]) for array in (level, variance, weight)]


def test_update_moments__is_the_plain_mean_of_the_first_days() -> None:
    assert learn([4, 8, 6]) == [6, 8, 3]  # missed by 4 and by 0: 16, then (16 + 0) / 2
    assert learn([4, 8, 6, 10]) == [7, pytest.approx(8 + (16 - 8) / 3), 4]


def test_update_moments__moves_by_the_rate_once_the_days_are_many() -> None:
    level, variance, weight = learn([5] * 40 + [15])
    assert (level, weight) == (6, 41)  # 5 + 0.1 x 10
    assert variance == pytest.approx(5)  # 0.05 x 100


def test_update_moments__takes_the_weekday_out_and_learns_nothing_on_closed_days() -> None:
    assert learn([4, 0, 12], [0.5, 0.0, 1.5]) == [8, 0, 2]


def test_estimate_profile__draws_a_skus_week_towards_that_of_all() -> None:
    # Four weeks; one SKU sells on weekday 0 alone, the other every day the same, 7 times as much.
    units = np.ones((7, 2)) * [0, 50]
    units[0, 0] = 50
    profile = estimate_profile(units, np.full((7, 2), 4.0))
    pooled = 1 + (np.array([2, 1, 1, 1, 1, 1, 1]) * 7 / 8 - 1) * 400 / 450
    own = np.array([7.0, 0, 0, 0, 0, 0, 0])
    # Four weeks are trusted by a half, 50 units by a half of that.
    assert profile[:, 0] == pytest.approx(pooled + (own - pooled) / 4)
    assert profile[:, 1] == pytest.approx(pooled + (1 - pooled) / 2 * 350 / 400)


def test_history__profiles_say_nothing_before_the_first_whole_week() -> None:
    week = np.array([7.0, 0, 0, 0, 0, 0, 0])
    profile = roll(np.tile(week, 3)[:, None, None, None]).profile
    assert (profile[:7] == 1).all()
    # Seven units weigh 7 / 57, of the SKU and of all; so does a week 1 / 5.
    pooled = 1 + (week - 1) * 7 / 57
    assert profile[7, :, 0] == pytest.approx(pooled + (week - pooled) / 5 * 7 / 57)


def test_shrink_variance__leaves_what_follows_the_law_and_halves_what_departs() -> None:
    level = np.geomspace(0.1, 20, 40).reshape(8, 5)
    law = 1.7 * level**1.3
    assert shrink_variance(level, law, np.full((8, 5), 90.0)) == pytest.approx(law)
    one = law.copy()
    one[3, 2] *= 1.0001  # too little to move the law
    drawn = shrink_variance(level, one, np.full((8, 5), 90.0))
    assert drawn[3, 2] / law[3, 2] - 1 == pytest.approx(5e-5, rel=0.1)
    few = shrink_variance(level, one, np.full((8, 5), 15.0))  # 15 days weigh half the prior's 30
    assert few[3, 2] / law[3, 2] - 1 == pytest.approx(1e-4 / 3, rel=0.1)


def test_learner__the_variance_of_a_day_is_that_of_its_factor() -> None:
    factor = np.array([0.1, 0.4, 1.0, 1.5, 1.5, 1.5, 1.0])
    generator = np.random.default_rng(0)
    record = generator.poisson(20 * factor[np.arange(420) % 7, None, None], (420, 1, 40))[..., None]
    learner = Learner.start(1, 40, 1)
    for sold in record.astype(float):
        learner.learn(sold, Rates(0.01, 0.02))
    found = learner.read()
    # Poisson's: on each day the mean, so by day the level times the factor.
    assert found.variance.mean() == pytest.approx(20, rel=0.07)
    assert found.smoothed.mean() == pytest.approx(20, rel=0.02)


def draw_record(seed: int, mean: float) -> FloatArray:
    generator = np.random.default_rng(seed)
    return generator.poisson(mean, (90, 2, 9, 2)).astype(float)


@pytest.mark.parametrize("mean", [0.01, 2.5])
@pytest.mark.parametrize("day", [0, 1, 13, 27, 28, 40])
def test_history__rests_on_the_days_before_alone(day: int, mean: float) -> None:
    record, other = draw_record(0, mean), draw_record(0, mean)
    other[day:] = draw_record(1, mean)[day:]
    found, changed = roll(record), roll(other)
    for name, values in vars(found).items():
        same = vars(changed)[name]
        np.testing.assert_array_equal(values[: day + 1], same[: day + 1], err_msg=name)
        if name != "weight" and values.size:  # `running` remembers nothing beside
            assert not np.array_equal(values[day + 14 :], same[day + 14 :]), name


def test_history__plain_mean_is_that_of_all_days_before() -> None:
    record = np.broadcast_to(np.arange(30.0)[:, None, None, None], (30, 2, 3, 2)).copy()
    found = roll(record)
    assert (found.profile[:7] == 1).all()
    assert found.plain_mean[7, 0, 0, 0] == pytest.approx(3)
    assert found.weight[7, 0, 0] == 7


def test_history__a_new_item_starts_with_its_first_sale_and_empty_shelves_teach_nothing() -> None:
    record = np.full((70, 1, 2, 1), 4.0)
    record[:50, :, 0] = 0  # new on day 50
    in_stock = np.ones((70, 1, 2), np.bool_)
    record[30:60, :, 1], in_stock[30:60, :, 1] = 0, False  # nothing to sell
    found = roll(record, in_stock)
    assert found.weight[-1, 0].tolist() == [20, 40]
    assert found.smoothed[-1, 0, :, 0] == pytest.approx(4, rel=0.1)
    assert found.smoothed[50, 0, 0, 0] == 0
    pulled = roll(record)
    assert pulled.smoothed[60, 0, 1, 0] < 0.5


def test_learner__items_that_end_and_items_that_begin() -> None:
    record = np.full((300, 2, 3, 1), 2.0)
    record[60:, :, 0] = 0  # ended
    record[:290, :, 1] = 0  # began
    record[200:, 1, 2] = 0  # ended in one store
    learner = Learner.start(2, 3, 1)
    for sold in record:
        learner.learn(sold, Rates(0.02, 0.01))
    found = learner.read()
    assert found.has_ended.tolist() == [[True, False, False], [True, False, True]]
    assert found.is_new.tolist() == [[False, True, False], [False, True, False]]
    assert (found.smoothed[found.has_ended] == 0).all()
    assert found.smoothed[:, 1, 0] == pytest.approx(2, rel=0.2)


def test_learner__a_slow_item_has_not_ended_in_a_month() -> None:
    record = np.zeros((120, 1, 1, 1))
    record[::20] = 1  # one in twenty days; the last one on day 100
    learner = Learner.start(1, 1, 1)
    for sold in record[:90]:
        learner.learn(sold, Rates(0.02, 0.01))
    for _ in range(180):
        learner.learn(np.zeros((1, 1, 1)), Rates(0.02, 0.01))
    assert not learner.read().has_ended.any()
    for _ in range(180):
        learner.learn(np.zeros((1, 1, 1)), Rates(0.02, 0.01))
    assert learner.read().has_ended.all()


RETAIL = load_scenario("retail")


def shorten(scenario: Scenario, stores: int = 2, skus: int = 3, **changes: object) -> Scenario:
    """A corner of `retail`."""
    network = scenario.network.model_copy(update={"stores": scenario.network.stores[:stores]})
    own = {"network": network, "skus": scenario.skus[:skus], "horizon": 30}
    return scenario.model_copy(update=own | changes)


SMALL = shorten(RETAIL)


def test_running__an_episode_begins_and_goes_on_as_the_record_says() -> None:
    env = BatchedEnv(SMALL, 3, "evaluate")
    env.reset(make_seeds("test", 0, 3))
    history, day = env.forecast.history, env.state.day  # type: ignore[attr-defined]
    assert (day >= 273).all()
    np.testing.assert_array_equal(env.view.smoothed, history.smoothed[day])
    np.testing.assert_array_equal(env.view.variance, history.variance[day])
    env.apply(make_policy("before", SMALL).compute_targets(env.view))
    total = env.view.smoothed.sum(axis=-1)  # the split into channels is drawn
    assert total == pytest.approx(history.smoothed[day + 1].sum(axis=-1), rel=1e-5)
    assert (env.view.weight == day[:, None, None] + 1).all()
    assert (env.view.origin == day).all()


def test_look_ahead__adds_the_weekdays_up() -> None:
    record = np.tile(np.array([4.0, 1, 1, 1, 1, 1, 1]), 40)[:, None, None, None]
    forecast = Running(roll(record), ForecastSettings(method="running"), 9)
    state = Simulator(SMALL).make_state(make_seeds("test", 0, 1))
    known = forecast.begin(np.array([210]))
    ahead = forecast.look_ahead(known, replace(state, day=np.array([216])))[0, :, 0, 0]
    factor = np.roll(roll(record).profile[210, :, 0], -6)  # from the last weekday on
    assert factor[1] > 3 * factor[0]
    assert ahead == pytest.approx(np.cumsum(np.append(factor, factor[:2])))
    week = forecast.predict_week(known, state)
    assert week == pytest.approx(10 / 7, rel=0.05)
    assert known.smoothed[0, 0, 0, 0] * ahead[6] == pytest.approx(10, rel=0.05)


def test_make_forecast__running_needs_a_record(tiny: Scenario) -> None:
    simulator = Simulator(tiny)
    with pytest.raises(InputError, match=r"^forecast\.method: 'running' is not allowed; it learns"):
        make_forecast(simulator.demand, ForecastSettings(method="running"), simulator.network)


def test_thin_variance__of_poisson_stays_poisson_and_of_all_is_all() -> None:
    assert thin_variance(np.array(8.0), np.array(8.0), np.array(0.25)) == 2
    assert thin_variance(np.array(8.0), np.array(24.0), np.array(0.5)) == 4 + 4
    assert thin_variance(np.array(8.0), np.array(24.0), np.array(1.0)) == 24


def test_pick_days__takes_each_stores_own_span() -> None:
    ahead = np.arange(1.0, 6)[None, :, None, None] * np.ones((2, 1, 1, 3))
    assert pick_days(ahead, np.array([1, 4]))[1].tolist() == [[1, 1, 1], [4, 4, 4]]
    by_store = ahead * np.array([1.0, 10.0])[:, None]
    assert pick_days(by_store, np.array([1, 4]))[0, :, 0].tolist() == [1, 40]


def test_safety_stock__is_mean_and_spread_until_the_next_order_arrives() -> None:
    env = BatchedEnv(SMALL, 2, "evaluate")
    env.reset(make_seeds("test", 0, 2))
    setting, view = Setting.from_scenario(SMALL), env.view
    values = SafetyStocks.make_space(setting).initial | {"store_z_0": 2.0, "online_share": 0.0}
    targets = SafetyStocks(setting, values).compute_targets(view)
    days = view.ahead[:, 1]  # a lead time of one day, and today
    walk_in, total = view.smoothed[..., 0], view.smoothed.sum(axis=-1)
    spread = np.sqrt(thin_variance(total, view.variance, np.array(0.8)) * days)
    expected = walk_in * days + 2 * spread - view.on_hand[:, 1:]
    assert targets.shipment_gap == pytest.approx(expected)
    days = view.ahead[:, 5 + 1, 0]  # the supplier's lead time, the way on, and today
    up_to = total.sum(axis=1) * days + 1.5 * np.sqrt(view.variance.sum(axis=1) * days)
    assert targets.supplier_gap[:, 0] == pytest.approx(up_to - view.on_hand.sum(axis=1))


def test_textbook__does_not_learn_within_an_episode() -> None:
    setting = Setting.from_scenario(SMALL)
    rule = Textbook(setting, Textbook.make_space(setting).initial)
    env = BatchedEnv(SMALL, 2, "evaluate")
    env.reset(make_seeds("test", 0, 2))
    same = replace(env.view, smoothed=env.view.smoothed * 3, variance=env.view.variance + 9)
    for name, values in vars(rule.compute_targets(env.view)).items():
        np.testing.assert_array_equal(values, vars(rule.compute_targets(same))[name])


def change_record(scenario: Scenario, day: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a day on, the stores sell something else."""
    own = TraceDemand.__init__

    def begin(self: TraceDemand, scenario: Scenario, process: Trace) -> None:
        import envs.omnichannel.world.demand.traces as module

        recorded = module.load_records(process)
        units = recorded.units.copy()
        units[day:] = np.random.default_rng(1).poisson(3.0, units[day:].shape)
        monkeypatch.setattr(module, "load_records", lambda _: replace(recorded, units=units))
        own(self, scenario, process)
        monkeypatch.setattr(module, "load_records", lambda _: recorded)

    monkeypatch.setattr(TraceDemand, "__init__", begin)


def record_decisions(
    name: str, split: str, seeds: IntArray, scenario: Scenario = SMALL
) -> tuple[list[FloatArray], IntArray]:
    seeing = scenario.model_copy(update={"observation": Observation(spread=True)})
    env = BatchedEnv(seeing, len(seeds), split)  # type: ignore[arg-type]
    env.reset(seeds)  # type: ignore[arg-type]
    policy, decided = make_policy(name, seeing), []
    observed = [env.observe()]
    first = env.state.day.copy()
    for _ in range(scenario.horizon):
        step = policy.run_period(env)
        observed.append(env.observe())
        decided.append(
            np.concatenate([step.flows.requested, step.flows.supplied], axis=1).astype(float)
        )
    return [np.stack(decided), np.stack(observed[:-1])], first


@pytest.mark.parametrize("split", ["train", "evaluate"])
@pytest.mark.parametrize("name", BASELINES)
def test_no_policy_knows_what_demand_will_be(
    name: str, split: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = make_seeds("leak", 0, 4)
    before, first = record_decisions(name, split, seeds)  # type: ignore[arg-type]
    day = int(first.max()) + 10
    change_record(SMALL, day, monkeypatch)
    after, again = record_decisions(name, split, seeds)  # type: ignore[arg-type]
    np.testing.assert_array_equal(first, again)
    changed = False
    for b, start in enumerate(first):
        known = min(day - start + 1, SMALL.horizon)  # the morning of the day itself included
        for found, other in zip(before, after, strict=True):
            np.testing.assert_array_equal(found[:known, b], other[:known, b])
            changed = changed or not np.array_equal(found[:, b], other[:, b])
    assert changed


def test_make_folds__keep_the_days_that_score_from_those_that_tune() -> None:
    folds = make_folds(RETAIL)
    traces = [TraceDemand(fold, fold.demand) for fold in folds if isinstance(fold.demand, Trace)]
    assert [(t.train_days, len(t.units)) for t in traces] == [(136, 205), (205, 273)]
    assert [fold.horizon for fold in folds] == [69, 68]
    paper = load_scenario("paper")
    assert make_folds(paper) == (paper,)


def test_known__is_what_the_view_says() -> None:
    env = BatchedEnv(SMALL, 2)
    env.reset(make_seeds("test", 0, 2))
    assert isinstance(env.view.known, Known)
    names = {"smoothed", "variance", "weight", "origin", "zero_share", "silent", "memory"}
    assert set(vars(env.view.known)) == names
    assert env.view.zero_share is env.view.silent is None


def test_trace__the_stock_at_the_start_is_that_of_the_days_before() -> None:
    simulator = Simulator(SMALL)
    state = simulator.make_state(make_seeds("test", 0, 2), "evaluate")
    demand = simulator.demand
    assert isinstance(demand, TraceDemand)
    for b, day in enumerate(state.day):
        mean = demand.units[:day].sum(axis=-1).mean(axis=0)
        np.testing.assert_array_equal(state.on_hand[b, 1:], np.rint(3 * mean))


def test_list_running__names_the_safety_stocks_of_recorded_demand(tiny: Scenario) -> None:
    assert list_running(RETAIL) == ("safety_stock_by_stock",)
    assert list_running(tiny) == ()
    costs = RETAIL.costs.model_copy(update={"truck_capacity": 80})
    trucks = RETAIL.model_copy(update={"costs": costs})
    assert list_running(trucks) == ("safety_stock_full_truck",)
    fresh = RETAIL.model_copy(
        update={"skus": [RETAIL.skus[0].model_copy(update={"shelf_life": 4}), *RETAIL.skus[1:]]}
    )
    assert list_running(fresh) == ("safety_stock_fresh",)


def test_choose__a_record_too_short_for_a_fold_is_scored_on_its_training_days() -> None:
    assert isinstance(RETAIL.demand, Trace)
    demand = RETAIL.demand.model_copy(update={"train_days": 16})
    short = shorten(RETAIL, demand=demand, horizon=7)
    (fold,) = make_folds(short)
    assert fold is short
    splits = {env.split for env in make_runner(fold).envs.values()}
    assert splits == {"train"}
