"""The environment for RLlib's stock algorithms, registered with Tune as `omnichannel`.

`marl.learning` does not use it: its runners step many copies as arrays. This is the way in for
other algorithms of RLlib.
"""

from __future__ import annotations

from typing import Any

from gymnasium.spaces import Box, Dict, Space
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from ray.tune.registry import register_env

from envs.omnichannel.agents.roster import module_of
from envs.omnichannel.pettingzoo_env import parallel_env
from envs.omnichannel.types import Float32Array, IntArray

ENV_NAME = "omnichannel"
Info = dict[str, Any]


class RLlibEnv(MultiAgentEnv):
    """`parallel_env` as RLlib's `MultiAgentEnv`; observations are flat, (K F,).

    RLlib's own wrapper for PettingZoo takes the agents from a set, so their order changes with
    the hash seed; here it is that of `possible_agents`.

    Args:
        config: `scenario` (name, path or value) and `split`, both optional.

    Raises:
        InputError: if the scenario is not known or not valid.
    """

    def __init__(self, config: Info | None = None) -> None:
        super().__init__()
        self.parallel_env = env = parallel_env(**(config or {}))
        self.possible_agents = env.possible_agents
        self.agents = env.possible_agents
        self.observation_spaces: dict[str, Space[Any]] = {}
        self.action_spaces: dict[str, Space[Any]] = {}
        for agent in env.possible_agents:
            rows = env.observation_space(agent)
            self.observation_spaces[agent] = Box(rows.low.ravel(), rows.high.ravel())
            self.action_spaces[agent] = env.action_space(agent)
        self.observation_space = Dict(self.observation_spaces)
        self.action_space = Dict(self.action_spaces)

    def reset(
        self, *, seed: int | None = None, options: Info | None = None
    ) -> tuple[dict[str, Float32Array], dict[str, Info]]:
        """Begins an episode; `seed` is that of all exogenous draws."""
        observations, infos = self.parallel_env.reset(seed, options)
        return _flatten(observations), infos

    def step(
        self, action_dict: dict[str, IntArray]
    ) -> tuple[
        dict[str, Float32Array],
        dict[str, float],
        dict[str, bool],
        dict[str, bool],
        dict[str, Info],
    ]:
        """Runs a period; `action_dict` holds one array of K options for every agent."""
        observations, rewards, terminations, truncations, infos = self.parallel_env.step(
            action_dict
        )
        terminations["__all__"] = False
        truncations["__all__"] = not self.parallel_env.agents
        return _flatten(observations), rewards, terminations, truncations, infos


def register_omnichannel() -> str:
    """Registers `RLlibEnv` with Tune and returns its name, for `config.environment`."""
    register_env(ENV_NAME, RLlibEnv)
    return ENV_NAME


def get_module_id(agent_id: str, *episode: object, **others: object) -> str:
    """Returns an agent's module: a `policy_mapping_fn` that shares parameters by role and level."""
    del episode, others  # RLlib passes them; an agent keeps its module
    return module_of(agent_id)


def _flatten(observations: dict[str, Float32Array]) -> dict[str, Float32Array]:
    return {agent: rows.ravel() for agent, rows in observations.items()}
