"""Stable-Baselines3's DQN on all agents at once, through SuperSuit's vector environments.

Needs `pip install supersuit stable-baselines3`. Every agent and SKU is a copy for the learner, so
one network serves them all.
"""

import supersuit
from stable_baselines3 import DQN

from envs.omnichannel import cell_env


def train(timesteps: int = 400) -> int:
    """Trains for a moment and returns how many decisions it learned from."""
    cells = cell_env("tiny", action_mask=True, flatten=True)
    copies = supersuit.pettingzoo_env_to_vec_env_v1(cells)
    env = supersuit.concat_vec_envs_v1(copies, 2, base_class="stable_baselines3")
    model = DQN("MlpPolicy", env, learning_starts=80, buffer_size=2_000)
    model.learn(timesteps)
    return model.num_timesteps


if __name__ == "__main__":
    print(f"learned from {train()} decisions")
