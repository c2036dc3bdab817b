"""Options that are off change nothing: trajectories pinned before the options existed."""

import hashlib

import numpy as np
import pytest

from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario import load_scenario
from envs.omnichannel.world.draws import make_seeds

LEDGER = (
    "supplied", "requested", "shipped", "demand", "sold_store", "online_from_store",
    "online_from_dc", "on_time", "lost", "waiting", "returned", "restocked", "consolidated",
    "liquidated", "scrapped", "on_hand",
)  # fmt: skip


def compute_digest(name: str) -> tuple[str, float]:
    """Returns a digest of all units moved under random levels, and the mean reward."""
    copies, periods = 3, 40
    env = BatchedEnv(load_scenario(name), copies)
    env.reset(make_seeds("test", 0, copies))
    rng = np.random.default_rng(0)
    digest, rewards = hashlib.sha256(), []
    for _ in range(periods):
        levels = {
            m: rng.integers(
                0, module.num_options, (copies, module.num_agents, env.network.num_skus)
            )
            for m, module in env.layout.modules.items()
        }
        step = env.step(levels)
        for field in LEDGER:
            digest.update(np.ascontiguousarray(getattr(step.flows, field), np.int64).tobytes())
        rewards.append(step.team_reward.mean())
    return digest.hexdigest()[:16], float(np.mean(rewards))


@pytest.mark.parametrize(
    ("name", "digest", "reward"),
    [
        ("paper", "2ac0fd3793234d6d", 0.9294556666666667),
        ("tiny", "e00e04911ca43f50", 0.7881095238095238),
        ("retail", "1d9ea2bee92b6af4", 0.7225028486843323),
    ],
)
def test_trajectory__is_what_it_was(name: str, digest: str, reward: float) -> None:
    found, mean_reward = compute_digest(name)
    assert found == digest
    assert mean_reward == pytest.approx(reward, rel=1e-12)
