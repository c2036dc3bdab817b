"""The cell view: every agent and SKU is an agent with a flat observation and one `Discrete`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, Space

from envs.omnichannel.interface.arguments import (
    RENDER_MODES,
    check_agents,
    check_options,
)
from envs.omnichannel.interface.episodes import EpisodeEnv
from envs.omnichannel.interface.infos import Mask
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import Float32Array, IntArray
from envs.omnichannel.world.demand import Split

Observation = Float32Array | dict[str, Any]


class CellEnv(EpisodeEnv[Observation, int]):
    """The network as agents that each decide for one SKU, which every library can train.

    - **Agents**: those of `OmnichannelEnv`, once for each SKU: `ordering_store_3_sku_1`. Order:
      `possible_agents`, SKUs fastest. `module_of` tells which of them share parameters.
    - **Observation**: `Box(-5, 5, (F,), float32)`, the SKU's row of `agents.observation.FEATURES`.
      With `action_mask` it is `Dict(observation, action_mask)`, or with `flatten` one
      `Box(-5, 5, (F + options,))` that ends in the mask.
    - **Action**: `Discrete`, an option. With `pad` all agents have as many as the one with most;
      those beyond an agent's own are masked, and begin again at its first one when taken.
    - **Reward**: the SKU's own share of eq. 8; an agent's of `OmnichannelEnv` is the mean.
    - **Episode end**, **info**: as of `OmnichannelEnv`, for the SKU. `action_mask` is one array.
    - **State**: `Box(-5, 5, ((N + 1) K F,), float32)`.

    Args, as of `EpisodeEnv`, and:
        pad: whether all action spaces have the same size; False: each has the agent's own options.
        flatten: whether a mask in the observation is appended to it, so that it stays one `Box`.
        action_mask: whether the observation holds the mask, which `infos` always do.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "name": "omnichannel_cells_v0",
        "render_modes": list(RENDER_MODES),
        "is_parallelizable": True,
    }
    _by_sku = True

    def __init__(
        self,
        scenario: str | Scenario = "paper",
        split: Split = "train",
        *,
        pad: bool = True,
        flatten: bool = False,
        action_mask: bool = False,
        max_cycles: int | None = None,
        horizon: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(
            scenario, split, max_cycles=max_cycles, horizon=horizon, render_mode=render_mode
        )
        layout = self.batched_env.layout
        skus = range(layout.num_skus)
        self._with_mask, self._flat = action_mask, flatten
        self.possible_agents = [f"{a.name}_sku_{k}" for a in layout.agents for k in skus]
        self._parts = [a.row * layout.num_skus + k for a in layout.agents for k in skus]
        self._cells = np.array(self._parts)
        own = {name: module.num_options for name, module in layout.modules.items()}
        self._sizes = dict.fromkeys(own, max(own.values())) if pad else own
        modules = [a.module_id for a in layout.agents for _ in skus]
        self._own = np.array([own[m] for m in modules])
        self._counts = np.array([self._sizes[m] for m in modules])
        self._modules = [a.module_id for a in layout.agents]
        self.action_spaces: dict[str, Discrete[np.int64]] = {
            name: Discrete(int(count))
            for name, count in zip(self.possible_agents, self._counts, strict=True)
        }
        self.observation_spaces = {
            name: self._make_space(layout.num_features, int(count))
            for name, count in zip(self.possible_agents, self._counts, strict=True)
        }
        size = layout.num_rows * layout.num_skus * layout.num_features
        self.state_space = Box(-5.0, 5.0, (size,), np.float32)

    def observation_space(self, agent: str) -> Space[Any]:
        """The same space object on every call, as PettingZoo asks."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Discrete[np.int64]:
        """The same space object on every call, as PettingZoo asks."""
        return self.action_spaces[agent]

    def state(self) -> Float32Array:
        """Returns what all agents together observe, ((N + 1) K F,).

        Raises:
            InputError: if no episode has begun.
        """
        return self._observe_rows("state").ravel()

    def _make_space(self, num_features: int, num_options: int) -> Space[Any]:
        if self._with_mask and self._flat:
            return Box(-5.0, 5.0, (num_features + num_options,), np.float32)
        features = Box(-5.0, 5.0, (num_features,), np.float32)
        if not self._with_mask:
            return features
        return Dict(observation=features, action_mask=Box(0, 1, (num_options,), np.int8))

    def _read(self, actions: Mapping[str, int]) -> IntArray:
        try:
            options = np.array([actions[name] for name in self.agents])
            is_right = options.shape == self._counts.shape and options.dtype == np.int64
        except (LookupError, TypeError, ValueError):
            is_right = False
        if (
            not is_right
            or len(actions) != len(options)
            or ((options < 0) | (options >= self._counts)).any()
        ):
            check_agents(actions, self.agents)
            for name, count in zip(self.agents, self._counts, strict=True):
                check_options(f"actions[{name!r}]", actions[name], count)
            options = np.array([int(actions[name]) for name in self.agents])
        return (options % self._own).reshape(-1, self.batched_env.layout.num_skus)

    def _make_masks(self, by_module: dict[str, Mask]) -> list[Mask]:
        padded = {}
        for m, masks in by_module.items():
            spare = self._sizes[m] - masks.shape[1]
            padded[m] = list(np.pad(masks, ((0, 0), (0, spare))))
        return [mask for m in self._modules for mask in padded[m]]

    def _observe(self, masks: list[Mask]) -> dict[str, Observation]:
        rows = self._observe_rows("observe")
        cells = rows.reshape(-1, rows.shape[-1])[self._cells]
        seen: list[Observation] = list(cells)
        if self._with_mask and self._flat:
            seen = [
                np.concatenate((c, m), dtype=np.float32) for c, m in zip(cells, masks, strict=True)
            ]
        elif self._with_mask:
            # Copies: whoever writes into an observation must not change the next one's mask.
            pairs = zip(cells, masks, strict=True)
            seen = [{"observation": c, "action_mask": m.copy()} for c, m in pairs]
        return dict(zip(self.possible_agents, seen, strict=True))

    def _pool(self, rewards: Float32Array) -> list[float]:
        return rewards.ravel().tolist()


cell_env = CellEnv
