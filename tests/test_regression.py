"""Pins short episodes: what a scenario does not use must not change what it does.

Units are pinned to the last one by a digest; features and rewards by checksums, because the last
bits of `sin` and `log` differ between processors.
"""

import hashlib

import numpy as np
import pytest

from envs.omnichannel import BatchedEnv
from envs.omnichannel.agents.coordinator import make_feasible
from envs.omnichannel.flows import Flows, Targets
from envs.omnichannel.scenario import load_scenario
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.simulator import Simulator

COPIES, PERIODS, NUM_FEATURES = 3, 14, 34
# Named, so that new fields of the ledger leave the pins alone.
LEDGER = (
    "supplied", "requested", "shipped", "demand", "sold_store", "online_from_store",
    "online_from_dc", "on_time", "lost", "waiting", "returned", "restocked", "consolidated",
    "liquidated", "scrapped", "on_hand",
)  # fmt: skip

# Scenario: digest of the simulator under fixed decisions, digest of the environment under fixed
# levels, checksum of its observations, sum of its team rewards.
PINNED = {
    "paper": ("092e6917a2a16d2e", "74d43ed52babd0bb", -55.236531, 39.0430356),
    "retail": ("f9b01a58712efa44", "7d9f110e9d78d513", -635.2390870, 29.5038525),
    "tiny": ("93aa2d91e8642a82", "0d15db8e7ff522a0", 10.0775904, 32.9559048),
}


def add_flows(digest: "hashlib._Hash", flows: Flows) -> None:
    for name in LEDGER:
        digest.update(np.ascontiguousarray(getattr(flows, name), dtype=np.int64).tobytes())


def run_simulator(name: str) -> str:
    """Mean demand is ordered and shipped in every period."""
    simulator, digest = Simulator(load_scenario(name)), hashlib.sha256()
    shape = (COPIES, simulator.network.num_stores, simulator.network.num_skus)
    mean = np.broadcast_to(simulator.demand.mean.sum(axis=-1), shape)
    decisions = make_feasible(
        Targets(
            supplier_gap=simulator.network.sum_by_dc(mean),
            shipment_gap=mean,
            online_share=np.full(shape, 0.4),
            disposition=np.broadcast_to([0.5, 0.3, 0.2], (*shape, 3)),
        )
    )
    state = simulator.make_state(make_seeds("test", 1, COPIES))
    for _ in range(PERIODS):
        state, flows = simulator.simulate_period(state, decisions, simulator.sample_demand(state))
        add_flows(digest, flows)
    return digest.hexdigest()[:16]


def run_environment(name: str) -> tuple[str, float, float]:
    """Options that differ by period, agent and SKU."""
    env, digest = BatchedEnv(load_scenario(name), COPIES, "evaluate"), hashlib.sha256()
    env.reset(make_seeds("test", 2, COPIES))
    observed, earned = 0.0, 0.0
    for period in range(PERIODS):
        levels = {}
        for m, module in env.layout.modules.items():
            shape, count = (COPIES, module.num_agents, env.network.num_skus), module.num_options
            levels[m] = (np.arange(np.prod(shape)).reshape(shape) * 7 + period) % count
        observations = env.observe()[..., :NUM_FEATURES].astype(np.float64)
        weights = np.cos(np.arange(observations.size)).reshape(observations.shape)
        observed += float((weights * observations).sum())
        step = env.step(levels)
        add_flows(digest, step.flows)
        earned += float(step.team_reward.sum())
    return digest.hexdigest()[:16], observed, earned


@pytest.mark.parametrize("name", PINNED)
def test_simulator__flows_are_those_of_the_narrow_world(name: str) -> None:
    assert run_simulator(name) == PINNED[name][0]


@pytest.mark.parametrize("name", PINNED)
def test_batched_env__episode_is_that_of_the_narrow_world(name: str) -> None:
    digest, observed, earned = run_environment(name)
    assert digest == PINNED[name][1]
    assert (observed, earned) == pytest.approx(PINNED[name][2:], rel=1e-5)
