"""Imagined futures: they know what is announced and nothing else of what will come."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from envs.errors import InputError
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.branches.futures import DriftBelief, FutureSampler
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.types import SeedArray, State
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.events.supply_cuts import CutSupply
from marl.policies import make_policy
from tests.conftest import known

SCARCE = load_scenario("scarce")  # two windows of 20 days in parts of 50, known 7 days ahead
SEEDS = make_seeds("test", 0, 500)
PERIODS = 4


def run(scenario: Scenario, periods: int, seeds: SeedArray) -> BatchedEnv:
    env = BatchedEnv(scenario, len(seeds))
    env.reset(seeds)
    before = make_policy("before", scenario)
    for _ in range(periods):
        before.run_period(env)
    return env


def find_unannounced(env: BatchedEnv, period: int) -> SeedArray:
    """Seeds whose first window has not been announced by a period."""
    confirmed = known(env.simulator.find(CutSupply)).announce(SEEDS, np.full(len(SEEDS), period))
    past = known(env.simulator.find(CutSupply)).look_ahead(
        SEEDS, np.zeros(len(SEEDS), np.int64), period + 1
    )
    assert confirmed is not None
    assert past is not None
    return SEEDS[(confirmed == 1).all(axis=(1, 2)) & (past == 1).all(axis=(1, 2))]


@pytest.mark.parametrize("period", [0, 13, 40, 99])
def test_imagine_ahead__keeps_what_is_announced(period: int) -> None:
    supply = known(BatchedEnv(SCARCE, 1).simulator.find(CutSupply))
    now = np.full(len(SEEDS), period)
    imagined = supply.imagine_ahead(SEEDS, now, 60, make_seeds("own", 0, len(SEEDS)))
    announced = supply.announce(SEEDS, now)
    assert imagined is not None
    assert announced is not None
    np.testing.assert_array_equal(imagined[..., :8], announced)
    started = (announced < 1).any(axis=-1)  # a known window keeps its end, too
    real = supply.look_ahead(SEEDS, now, 60)
    assert real is not None
    rest = np.minimum(50 - period % 50, 60)
    np.testing.assert_array_equal(imagined[started, :rest], real[started, :rest])


def test_imagine_ahead__unannounced_windows_are_uniform_on_the_days_that_are_left() -> None:
    env = BatchedEnv(SCARCE, 1)
    period = 12  # known up to day 19; the first window may begin on days 20 to 30
    unannounced = find_unannounced(env, period)
    now = np.full(len(unannounced), period)
    own = make_seeds("own", 0, len(unannounced))
    imagined = known(env.simulator.find(CutSupply)).imagine_ahead(unannounced, now, 38, own)
    assert imagined is not None
    first = period + (imagined[:, 0] < 1).argmax(axis=-1)
    counts = np.bincount(first, minlength=50)
    assert set(np.flatnonzero(counts)) == set(range(20, 31))
    assert counts[20:31].min() > 0.4 * len(unannounced) / 11
    elsewhere = known(env.simulator.find(CutSupply)).imagine_ahead(unannounced[::-1], now, 38, own)
    np.testing.assert_array_equal(imagined, elsewhere)  # the real place says nothing


def test_sample__does_not_depend_on_what_will_really_come() -> None:
    seeds = find_unannounced(BatchedEnv(SCARCE, 1), 6)[:2]
    env = run(SCARCE, 6, seeds)
    sampler = FutureSampler(env)
    states = (env.state, replace(env.state, seed=seeds[::-1]))
    real, swapped = (sampler.sample(env.view, s, SEEDS[:3], PERIODS) for s in states)
    for name in ("units", "next_log_drift", "lead_time", "confirmed", "return_rounding"):
        np.testing.assert_array_equal(
            getattr(real.demand, name), getattr(swapped.demand, name), err_msg=name
        )
    np.testing.assert_array_equal(real.signals.forecast, swapped.signals.forecast)
    np.testing.assert_array_equal(real.signals.confirmed, swapped.signals.confirmed)


def test_sample__starts_from_the_view_and_continues_what_is_known() -> None:
    env = run(SCARCE, 6, SEEDS[:2])
    futures = FutureSampler(env).look(env).sample(SEEDS[5:8], PERIODS)
    assert futures.num_copies == 6
    assert futures.num_entries == PERIODS * 6
    drawn = {"seed", "log_drift"}
    for field in fields(State):
        if field.name not in drawn:
            known = np.repeat(getattr(env.state, field.name), 3, axis=0)
            np.testing.assert_array_equal(getattr(futures.states, field.name), known)
    first = slice(0, 6)
    np.testing.assert_array_equal(futures.signals.forecast[first], env.view.forecast.repeat(3, 0))
    units = futures.demand.units.reshape(PERIODS, 2, 3, -1)
    assert (units[0, 0, 0] != units[0, 0, 1]).any()
    # Smoothed by the demand that the future brings.
    past, confirmed = futures.signals, futures.signals.confirmed
    after = env.forecast.update(past.select(first), futures.demand.units[first], futures.states)
    np.testing.assert_allclose(past.smoothed[6:12], after.smoothed)
    np.testing.assert_allclose(past.variance[6:12], after.variance)
    assert confirmed is not None
    assert futures.demand.confirmed is not None
    np.testing.assert_array_equal(confirmed[..., 0], futures.demand.confirmed)
    np.testing.assert_array_equal(confirmed[6:12, :, :-1], confirmed[:6, :, 1:])


def test_drift_belief__is_as_sure_as_it_is_right() -> None:
    env = run(SCARCE, 30, make_seeds("test", 9, 200))
    belief = DriftBelief(env.simulator, env.forecast)
    means = [known(belief.sample(env.view, make_seeds("own", i, 200))) for i in range(40)]
    expected, spread = np.mean(means, axis=0), np.std(means, axis=0).mean()
    missed = known(env.state.log_drift) - expected
    assert abs(missed.mean()) < 0.02
    assert missed.std() == pytest.approx(spread, rel=0.1)
    assert spread < 0.8 * 0.25  # less than nobody knows


def test_drift_belief__knows_nothing_on_the_first_day() -> None:
    env = run(SCARCE, 0, SEEDS[:2])
    belief = DriftBelief(env.simulator, env.forecast)
    drawn = np.stack([known(belief.sample(env.view, make_seeds("own", i, 2))) for i in range(200)])
    assert drawn.std(axis=0).mean() == pytest.approx(0.25, rel=0.1)


def test_drift_belief__without_drift_there_is_nothing_to_draw() -> None:
    env = run(load_scenario("tiny"), 0, SEEDS[:2])
    assert DriftBelief(env.simulator, env.forecast).sample(env.view, SEEDS[:2]) is None


@pytest.mark.parametrize(
    ("name", "demand", "message"),
    [
        ("retail", {}, "demand.process: trace is not allowed here"),
        ("tiny", {"promotions": {}}, "demand.promotions: not allowed here"),
    ],
)
def test_future_sampler__refuses_what_has_no_distribution(
    name: str, demand: dict[str, Any], message: str
) -> None:
    data = load_scenario(name).model_dump(mode="json")
    data["demand"] |= demand
    env = BatchedEnv(Scenario.model_validate(data), 1)
    with pytest.raises(InputError, match=message):
        FutureSampler(env)
