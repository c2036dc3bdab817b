"""Trajectories of the scenarios without options, pinned: an option that is off changes no unit."""

import hashlib

import numpy as np
import pytest

from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario import load_scenario
from envs.omnichannel.world.draws import make_seeds

# By name, so that fields which options add do not count.
STATE = ("on_hand", "in_transit", "in_inspection", "backorders", "returns_due")
FLOWS = (
    "supplied", "requested", "shipped", "demand", "sold_store", "online_from_store",
    "online_from_dc", "on_time", "lost", "waiting", "returned", "restocked", "consolidated",
    "liquidated", "scrapped", "on_hand",
)  # fmt: skip
MONEY = ("holding", "late", "lost_sales", "ordering", "overflow", "returns", "transport")
MODULES = (
    "ordering_high", "shipping_high", "return_high", "ordering_low", "shipping_low", "return_low",
)  # fmt: skip


def compute_digest(name: str, periods: int = 12) -> str:
    """A digest of three copies under random levels: states, flows, and money to 6 digits."""
    env, rng = BatchedEnv(load_scenario(name), 3), np.random.default_rng(0)
    env.reset(make_seeds("regression", 0, 3))
    digest = hashlib.sha256()
    for _ in range(periods):
        shape = {m: (3, env.layout.modules[m].num_agents, env.network.num_skus) for m in MODULES}
        step = env.step(
            {m: rng.integers(0, env.layout.modules[m].num_options, s) for m, s in shape.items()}
        )
        for record, names in ((env.simulator.show(env.state), STATE), (step.flows, FLOWS)):
            for field in names:
                units = np.ascontiguousarray(getattr(record, field), np.int64)
                digest.update(repr((field, units.shape)).encode() + units.tobytes())
        money = [f"{step.costs[term].sum():.6g}" for term in MONEY]
        digest.update("".join([*money, f"{step.team_reward.sum():.6g}"]).encode())
    return digest.hexdigest()[:16]


PINNED = {
    "paper": "5b435a2c9179296a",
    "tiny": "6624ab2d1624d07c",
    "retail": "c68ac7725951d381",
}


@pytest.mark.parametrize("name", PINNED)
def test_simulate_period__without_options_moves_the_same_units_as_ever(name: str) -> None:
    assert compute_digest(name) == PINNED[name]
