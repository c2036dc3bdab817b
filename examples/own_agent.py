"""An agent of your own: one DC's orders by your rule, all other agents as they start."""

import numpy as np

from envs.omnichannel import parallel_env
from envs.omnichannel.types import Float32Array, IntArray

env = parallel_env("tiny")
layout = env.batched_env.layout
DC_COVER = np.array(env.batched_env.scenario.actions.dc_cover)
SEASON_AHEAD = env.batched_env.observation.features.index("season_ahead")


def order(observation: Float32Array) -> IntArray:
    """Days of cover from the DC's own row, (K, F): more when the season is about to rise."""
    rising = observation[:, SEASON_AHEAD] > 0
    cover = np.where(rising, 10, 7)
    return np.abs(DC_COVER[:, None] - cover).argmin(axis=0)  # the nearest option


def run_episode(*, own: bool) -> float:
    """Runs one episode and returns the mean reward of the network, eq. 8."""
    observations, _ = env.reset(seed=0)
    options = {a.name: layout.modules[a.module_id].initial_option for a in layout.agents}
    rewards = []
    while env.agents:
        actions = {name: np.full(2, options[name]) for name in env.agents}
        if own:
            actions["ordering_dc_0"] = order(observations["ordering_dc_0"])
        observations, _, _, _, infos = env.step(actions)
        rewards.append(infos["ordering_dc_0"]["team_reward"])
    return float(np.mean(rewards))


if __name__ == "__main__":
    print(f"as they start:    reward {run_episode(own=False):.4f}")
    print(f"with your orders: reward {run_episode(own=True):.4f}")
