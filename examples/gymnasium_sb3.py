"""Stable-Baselines3's PPO on the single-agent view: needs `pip install stable-baselines3`."""

import gymnasium
import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

import envs.omnichannel  # noqa: F401  registers omnichannel/Joint-v0


def train(timesteps: int = 256) -> float:
    """Trains for a moment and returns the mean return of two episodes."""
    env = gymnasium.make("omnichannel/Joint-v0", scenario="tiny")
    model = PPO("MlpPolicy", env, n_steps=64, batch_size=64, n_epochs=2, seed=0)
    model.learn(timesteps)
    returns, _ = evaluate_policy(model, Monitor(env), 2, return_episode_rewards=True)
    return float(np.mean(returns))


if __name__ == "__main__":
    print(f"mean return after 256 steps: {train():.2f}")
