from __future__ import annotations

import numpy as np
import pytest

from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario import load_scenario
from envs.omnichannel.world.draws import make_seeds


@pytest.fixture(scope="session", autouse=True)
def compiled_kernels() -> None:
    """Compiles the simulator's loops once, so that no runner's first round waits for that."""
    env = BatchedEnv(load_scenario("tiny"), 1)
    env.reset(make_seeds("test", 0, 1))
    env.observe()
    skus = env.network.num_skus
    env.step(
        {
            module_id: np.zeros((1, module.num_agents, skus), np.int64)
            for module_id, module in env.layout.modules.items()
        }
    )
