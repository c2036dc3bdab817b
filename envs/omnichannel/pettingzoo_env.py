"""The PettingZoo view: one copy, dictionaries by agent name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.spaces import Box, MultiDiscrete
from pettingzoo import AECEnv
from pettingzoo.utils import parallel_to_aec

from envs.omnichannel.interface.arguments import (
    RENDER_MODES,
    check_agents,
    check_options,
)
from envs.omnichannel.interface.episodes import EpisodeEnv
from envs.omnichannel.interface.infos import Mask
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import Float32Array, IntArray, Options
from envs.omnichannel.world.demand import Split


class OmnichannelEnv(EpisodeEnv[Float32Array, Options]):
    """The omni-channel network as a parallel multi-agent environment.

    - **Agents**: ordering, shipping and return agents, one high-level each, one low-level per DC
      (ordering) and store; for one DC and ten stores 34. Order: `possible_agents`.
    - **Observation**: `Box(-5, 5, (K, F), float32)`, a row of `agents.observation.FEATURES` per
      SKU, each divided by the location's own forecast.
    - **Action**: `MultiDiscrete([n_options] * K)`, one option per SKU, decoded by
      `agents.decisions`. High-level actions count every `review_period` periods.
    - **Reward**: the agent's share of eq. 8 (mean over its SKUs), without the constant alpha:
      0 is free of cost.
    - **Episode end**: truncation of all agents at the scenario's horizon or after `max_cycles`
      periods; no termination.
    - **Info**, of the period that passed, zeros after `reset`: `team_reward`, the period's eq. 8
      for the whole network; `service`, `inventory`, `returns`, `transport`, the terms of eq. 8
      that sum to the agent's reward; `demand`, `on_time`, `served`, units at the agent's
      locations. Of the coming period: `is_review`, whether the high level decides, and
      `action_mask`, for each SKU 1 where an option counts. Between reviews a high-level agent
      holds its option, and that one alone counts.
    - **State**: `Box(-5, 5, (N + 1, K, F), float32)`, the rows of all DCs, stores and the network.

    Args: as of `EpisodeEnv`.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "name": "omnichannel_v0",
        "render_modes": list(RENDER_MODES),
        "is_parallelizable": True,
    }
    _by_sku = False

    def __init__(
        self,
        scenario: str | Scenario = "paper",
        split: Split = "train",
        *,
        max_cycles: int | None = None,
        horizon: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(
            scenario, split, max_cycles=max_cycles, horizon=horizon, render_mode=render_mode
        )
        layout = self.batched_env.layout
        self.possible_agents = layout.names
        box = (layout.num_skus, layout.num_features)
        self.observation_spaces = {
            name: Box(-5.0, 5.0, box, np.float32) for name in self.possible_agents
        }
        self.state_space = Box(-5.0, 5.0, (layout.num_rows, *box), np.float32)
        self._modules = [agent.module_id for agent in layout.agents]
        numbers = [layout.modules[m].num_options for m in self._modules]
        self._counts = np.repeat(np.array(numbers)[:, None], layout.num_skus, axis=1)
        self.action_spaces = {
            name: MultiDiscrete(counts)
            for name, counts in zip(self.possible_agents, self._counts, strict=True)
        }
        self._parts = [agent.row for agent in layout.agents]
        self._rows = np.array(self._parts)

    def observation_space(self, agent: str) -> Box:
        """The same space object on every call, as PettingZoo asks."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> MultiDiscrete:
        """The same space object on every call, as PettingZoo asks."""
        return self.action_spaces[agent]

    def state(self) -> Float32Array:
        """Returns what all agents together observe, (N + 1, K, F).

        Raises:
            InputError: if no episode has begun.
        """
        return self._observe_rows("state")

    def _read(self, actions: Mapping[str, Options]) -> IntArray:
        try:
            options = np.array([actions[name] for name in self.agents])
            is_right = options.shape == self._counts.shape and options.dtype == np.int64
        except (LookupError, TypeError, ValueError):
            is_right = False
        if is_right and len(actions) == len(options) and not self._exceed(options):
            return options
        check_agents(actions, self.agents)
        checked = [
            check_options(f"actions[{name!r}]", actions[name], counts)
            for name, counts in zip(self.agents, self._counts, strict=True)
        ]
        return np.stack(checked)

    def _exceed(self, options: IntArray) -> bool:
        # As unsigned numbers negative ones are the largest.
        return bool((options.view(np.uint64) >= self._counts.view(np.uint64)).any())

    def _make_masks(self, by_module: dict[str, Mask]) -> list[tuple[Mask, ...]]:
        by_sku = {m: tuple(masks) for m, masks in by_module.items()}
        return [by_sku[m] for m in self._modules]

    def _observe(self, masks: list[tuple[Mask, ...]]) -> dict[str, Float32Array]:
        del masks
        rows = self._observe_rows("observe")[self._rows]
        return dict(zip(self.possible_agents, rows, strict=True))

    def _pool(self, rewards: Float32Array) -> list[float]:
        # As `mean` does it, without its checks.
        return (np.add.reduce(rewards, axis=1) / np.float32(rewards.shape[1])).tolist()


parallel_env = OmnichannelEnv


def aec_env(
    scenario: str | Scenario = "paper",
    split: Split = "train",
    *,
    max_cycles: int | None = None,
    horizon: int | None = None,
    render_mode: str | None = None,
) -> AECEnv[str, Float32Array, Options | None]:
    """Makes the same environment under PettingZoo's AEC API: one agent after the other.

    The network moves on when the last agent has acted.

    Args: as of `parallel_env`.

    Raises:
        InputError: if the scenario is not known or not valid, or an argument is not allowed.
    """
    env = parallel_env(
        scenario, split, max_cycles=max_cycles, horizon=horizon, render_mode=render_mode
    )
    return parallel_to_aec(env)
