"""The omni-channel inventory environment of Ma & Ding: simulator, agents, PettingZoo view."""

from envs.errors import InputError
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.parallel_env import parallel_env
from envs.omnichannel.scenario import Scenario, load_scenario

__all__ = ["BatchedEnv", "InputError", "Scenario", "load_scenario", "parallel_env"]
