"""Pairs of an agent and a SKU in the pool: which are drawn, and how often."""

import numpy as np
import pytest

from envs.errors import InputError
from envs.omnichannel.agents.roster import MODULES
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.world.draws import make_seeds
from marl.config import load_config
from marl.learning.dqn.agents import AgentsMethod
from marl.learning.pool.experience_pool import Fragment
from marl.learning.pool.pairs import Pairs


def make_episodes(env: BatchedEnv) -> Fragment:
    """Whole episodes of options 0."""
    layout, copies = env.layout, env.num_copies
    rows = layout.num_dcs + layout.num_stores + 1
    shape = copies, layout.horizon, rows, layout.num_skus
    times = {m: len(range(0, layout.horizon, layout.modules[m].cadence)) for m in MODULES}
    return Fragment(
        observations=np.zeros((copies, layout.horizon + 1, *shape[2:], layout.num_features), "e"),
        actions={
            m: np.zeros((copies, times[m], layout.modules[m].num_agents, layout.num_skus), np.uint8)
            for m in MODULES
        },
        rewards=np.zeros(shape, np.float32),
    )


def test_pairs__are_drawn_evenly() -> None:
    carried = np.array([[True, False, True], [False, True, True]])
    pairs = Pairs.of(carried, None)
    drawn = pairs.draw(2 * 6, (100, 100), np.random.default_rng(0))
    places, counts = np.unique(drawn, return_counts=True)
    assert places.tolist() == [0, 2, 4, 5, 6, 8, 10, 11]  # of two decisions
    assert counts.min() > 1100
    assert Pairs.of(carried, 1).draw(12, (5, 40), np.random.default_rng(0)).min() == 4
    assert pairs.exists(np.array([0, 1, 7, 11])).tolist() == [True, False, False, True]


def test_pairs__are_drawn_by_their_odds() -> None:
    carried = np.array([[True, False, True], [False, True, True]])
    odds = np.array([[1.0, 9.0, 3.0], [9.0, 2.0, 4.0]])
    pairs = Pairs.of(carried, None, odds)
    drawn = pairs.draw(2 * 6, (100, 1000), np.random.default_rng(0))
    places, counts = np.unique(drawn, return_counts=True)
    assert places.tolist() == [0, 2, 4, 5, 6, 8, 10, 11]
    np.testing.assert_allclose(counts / drawn.size, np.array([1, 3, 2, 4] * 2) / 20, atol=0.005)
    assert set(Pairs.of(carried, 1, odds).draw(6, (5, 40), np.random.default_rng(0)).flat) == {4, 5}


def test_demand_exponent__draws_stores_and_skus_by_their_demand(tiny: Scenario) -> None:
    # Two units a day of one cell are as many as of two cells of a unit each.
    settings = ["pool.demand_exponent=1", "pool.capacity_env_steps=100"]
    pool = AgentsMethod(tiny, load_config("default", settings)).make_pool()
    env = BatchedEnv(tiny, 2)
    env.reset(make_seeds("train", 0, 2))
    demand = env.simulator.demand.mean.sum(axis=-1)
    layout = pool.shape.layout
    low = layout.modules["ordering_low"].rows
    expected = np.concatenate([demand.sum(axis=0, keepdims=True), demand])[low].ravel()
    pool.add(make_episodes(env))
    held = pool.num_transitions("ordering_low")
    drawn = pool._draw_cells("ordering_low", None, (100, 1000)) % expected.size
    assert held == 2 * tiny.horizon * expected.size
    shares = np.bincount(drawn.ravel(), minlength=expected.size) / drawn.size
    np.testing.assert_allclose(shares, expected / expected.sum(), atol=0.01)


def test_demand_exponent__is_refused_beside_priorities() -> None:
    with pytest.raises(InputError, match=r"demand_exponent: 0.5 is not allowed with prioritized"):
        load_config("default", ["pool.demand_exponent=0.5", "pool.prioritized={}"])
