"""A view tells what may be known: no seed, no hidden truth and nothing of the draws to come."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario import list_scenarios, load_scenario
from envs.omnichannel.types import IntArray, State, View
from envs.omnichannel.world.draws import make_seeds
from marl.policies import make_policy

HIDDEN = {"seed", "return_rate", "log_drift", "record_error"}
TWINS = 400  # worlds with the same past and other seeds
PERIODS = 3


def make_env(name: str, copies: int = 2) -> BatchedEnv:
    """An environment after some periods."""
    scenario = load_scenario(name)
    env, policy = BatchedEnv(scenario, copies), make_policy("before", scenario)
    env.reset(make_seeds("view", 0, copies))
    for _ in range(PERIODS):
        policy.run_period(env)
    return env


def see(env: BatchedEnv, state: State) -> View:
    """The view of another state with the same past."""
    other = BatchedEnv(env.scenario, len(state.seed))
    past = env.view.select(np.zeros(len(state.seed), np.int64))
    other.restore(state, past.known, past.last_demand, env.goals)
    return other.view


def list_arrays(view: View) -> dict[str, np.ndarray]:
    return {
        f.name: getattr(view, f.name) for f in fields(view) if getattr(view, f.name) is not None
    }


def find_alike(env: BatchedEnv, state: State, view: View) -> IntArray:
    """Copies in which the same cuts and promotions are announced as in the first."""
    alike = np.ones(len(state.seed), bool)
    if view.confirmed is not None:
        alike &= (view.confirmed == view.confirmed[:1]).all(axis=(1, 2))
    demand = env.simulator.demand
    for ahead in range(demand.notice + 1):
        uplift = demand.compute_uplift(state, ahead)
        if uplift is not None:
            alike &= (uplift == uplift[:1]).all(axis=(1, 2, 3))
    return np.flatnonzero(alike)


@pytest.mark.parametrize("name", list_scenarios())
def test_view__has_no_hidden_field_and_no_seed(name: str) -> None:
    env = make_env(name)
    known = {field.name for field in fields(View)}
    assert not known & HIDDEN
    for field, array in list_arrays(env.view).items():
        assert isinstance(array, np.ndarray), field  # no record in which something could hide
        assert array.dtype in (np.int64, np.float64), field
        assert not np.isin(array.astype(np.uint64), env.state.seed).any(), field


@pytest.mark.parametrize("name", list_scenarios())
def test_view__does_not_depend_on_what_nobody_sees(name: str) -> None:
    env = make_env(name)
    first = env.state.select(np.zeros(TWINS, np.int64))
    rng, first_store = np.random.default_rng(0), env.network.num_dcs
    drift = first.log_drift
    hidden = replace(
        first,
        seed=np.concatenate([first.seed[:1], make_seeds("twin", 0, TWINS - 1)]),
        return_rate=rng.uniform(size=first.return_rate.shape),
        log_drift=None if drift is None else rng.normal(size=drift.shape),
    )
    if first.record_error is not None:
        # The shelves hold other units than they did, and the records show the same.
        gone = rng.integers(-5, first.on_hand[:, first_store:] + 1)
        on_hand = first.on_hand.copy()
        on_hand[:, first_store:] -= gone
        hidden = replace(hidden, on_hand=on_hand, record_error=first.record_error + gone)
        assert (on_hand != first.on_hand).any()
    view, expected = see(env, hidden), see(env, first)
    alike = find_alike(env, hidden, view)
    assert len(alike) > 1
    for field, array in list_arrays(view).items():
        np.testing.assert_array_equal(array[alike], getattr(expected, field)[alike], field)
    drawn = env.simulator.sample_demand(hidden.select(alike)).return_rounding
    assert (drawn[1:] != drawn[:1]).any(axis=(1, 2)).all()  # yet other draws are to come


def test_view__tells_nobody_what_tomorrow_brings() -> None:
    """A policy takes every number of its view for the seed and draws tomorrow's demand with it."""
    env = make_env("paper", copies=1)
    tomorrow = env.simulator.demand.sample_units(env.state)
    numbers = [array.ravel() for array in list_arrays(env.view).values()]
    guesses = np.concatenate(
        [*(n.astype(np.uint64) for n in numbers), *(n.view(np.uint64) for n in numbers)]
    )
    worlds = env.state.select(np.zeros(len(guesses), np.int64))
    drawn = env.simulator.demand.sample_units(replace(worlds, seed=guesses))
    assert not (drawn == tomorrow).all(axis=(1, 2, 3)).any()
    # With the seed it could.
    drawn = env.simulator.demand.sample_units(replace(env.state, seed=env.state.seed.copy()))
    np.testing.assert_array_equal(drawn, tomorrow)
