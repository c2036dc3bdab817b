"""The PettingZoo view: one copy, dictionaries by agent name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.spaces import Box, MultiDiscrete
from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils import parallel_to_aec

from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.layout import Agent
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.types import Float32Array, Options
from envs.omnichannel.world.demand import Split

Info = dict[str, Any]


class OmnichannelEnv(ParallelEnv[str, Float32Array, Options]):
    """The omni-channel network as a parallel multi-agent environment.

    - **Agents**: ordering, shipping and return agents, one high-level each, one low-level per DC
      (ordering) and store; for one DC and ten stores 34. Order: `possible_agents`.
    - **Observation**: `Box(-5, 5, (K, F), float32)`, a row of `agents.observation.FEATURES` per
      SKU, each divided by the location's own forecast.
    - **Action**: `MultiDiscrete([n_levels] * K)`, one level per SKU, decoded by
      `agents.actions.ActionDecoder`. High-level actions count every `review_period` periods.
    - **Reward**: the agent's share of eq. 8 (mean over its SKUs), without the constant alpha:
      0 is free of cost.
    - **Episode end**: truncation of all agents at the scenario's horizon; no termination.
    - **Info**: `team_reward`, the period's eq. 8 for the whole network.
    - **State**: `Box(-5, 5, (N + 1, K, F), float32)`, the rows of all DCs, stores and the network.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "name": "omnichannel_v0",
        "render_modes": [],
        "is_parallelizable": True,
    }

    def __init__(self, scenario: Scenario, split: Split = "train") -> None:
        self.batched_env = BatchedEnv(scenario, num_copies=1, split=split)
        self.render_mode = None
        layout = self.batched_env.layout
        self._agents: dict[str, Agent] = {agent.name: agent for agent in layout.agents}
        self.possible_agents = layout.names
        self.agents: list[str] = []
        box = (layout.num_skus, layout.num_features)
        self.observation_spaces = {
            name: Box(-5.0, 5.0, box, np.float32) for name in self.possible_agents
        }
        self.state_space = Box(-5.0, 5.0, (layout.num_rows, *box), np.float32)
        self.action_spaces = {
            agent.name: MultiDiscrete(
                [layout.modules[agent.module_id].num_options] * layout.num_skus
            )
            for agent in layout.agents
        }
        self._random = np.random.default_rng()

    def observation_space(self, agent: str) -> Box:
        """The same space object on every call, as PettingZoo asks."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> MultiDiscrete:
        """The same space object on every call, as PettingZoo asks."""
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: Info | None = None
    ) -> tuple[dict[str, Float32Array], dict[str, Info]]:
        """Begins an episode.

        Args:
            seed: of all exogenous draws; without one, the next of a seeded sequence.
            options: unused, for PettingZoo's signature.
        """
        del options
        if seed is None:
            episode_seed = self._random.integers(2**63, dtype=np.uint64)
        else:
            self._random = np.random.default_rng(seed)
            episode_seed = np.uint64(seed)
        self.batched_env.reset(np.array([episode_seed], np.uint64))
        self.agents = self.possible_agents[:]
        return self._observe(), {name: {} for name in self.agents}

    def step(
        self, actions: Mapping[str, Options]
    ) -> tuple[
        dict[str, Float32Array],
        dict[str, float],
        dict[str, bool],
        dict[str, bool],
        dict[str, Info],
    ]:
        """Runs a period; `actions` holds one array of K levels for every agent.

        Without live agents, before `reset` and after truncation, nothing happens.
        """
        if not self.agents:
            return {}, {}, {}, {}, {}
        env = self.batched_env
        levels = {
            name: np.empty((1, module.num_agents, env.layout.num_skus), np.int64)
            for name, module in env.layout.modules.items()
        }
        for name in self.agents:
            agent = self._agents[name]
            levels[agent.module_id][0, agent.index] = actions[name]
        step = env.step(levels)
        by_row = step.rewards[0].mean(axis=-1)
        team_reward = float(step.team_reward[0])
        rewards = {name: float(by_row[self._agents[name].row]) for name in self.agents}
        terminations = dict.fromkeys(self.agents, False)
        truncations = dict.fromkeys(self.agents, step.done)
        infos: dict[str, Info] = {name: {"team_reward": team_reward} for name in self.agents}
        observations = self._observe()
        if step.done:
            self.agents = []
        return observations, rewards, terminations, truncations, infos

    def state(self) -> Float32Array:
        """Returns what all agents together observe, (N + 1, K, F)."""
        return self.batched_env.observe()[0]

    def render(self) -> None:
        """There is no render mode: the report draws episodes."""

    def close(self) -> None:
        """Nothing is held open."""

    def _observe(self) -> dict[str, Float32Array]:
        rows = self.batched_env.observe()[0]
        return {name: rows[self._agents[name].row].copy() for name in self.agents}


def parallel_env(scenario: str | Scenario = "paper", split: Split = "train") -> OmnichannelEnv:
    """Makes the PettingZoo environment of a scenario, given by name, path or value.

    Raises:
        InputError: if the scenario is not known or not valid.
    """
    if not isinstance(scenario, Scenario):
        scenario = load_scenario(scenario)
    return OmnichannelEnv(scenario, split)


def aec_env(
    scenario: str | Scenario = "paper", split: Split = "train"
) -> AECEnv[str, Float32Array, Options | None]:
    """Makes the same environment under PettingZoo's AEC API: one agent after the other.

    The network moves on when the last agent has acted.

    Raises:
        InputError: if the scenario is not known or not valid.
    """
    return parallel_to_aec(parallel_env(scenario, split))
