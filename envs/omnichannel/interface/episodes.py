"""The base of the PettingZoo views: episodes of one copy, told agent by agent."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from pettingzoo import ParallelEnv

from envs.omnichannel.batched_env import BatchedEnv, Step
from envs.omnichannel.interface.arguments import (
    check_agents,
    check_count,
    check_render_mode,
    check_seed,
    open_scenario,
    refuse_before_reset,
)
from envs.omnichannel.interface.infos import Account, Info, Mask, Masks
from envs.omnichannel.interface.text import write_day
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import Float32Array, IntArray
from envs.omnichannel.world.demand import Split

ObsT = TypeVar("ObsT")
ActionT = TypeVar("ActionT")


class EpisodeEnv(ParallelEnv[str, ObsT, ActionT]):
    """One copy whose agents act at once; subclasses say who the agents are.

    Every agent reads one part of the arrays by row and SKU, (N + 1, K).

    Args:
        scenario: name, path or value.
        split: which part of recorded demand the episodes come from.
        max_cycles: periods after which an episode is cut, at most the horizon.
        horizon: periods of an episode in place of the scenario's.
        render_mode: "ansi" makes `render` return the day as text.

    Raises:
        InputError: if the scenario is not known or not valid, or an argument is not allowed.
    """

    _by_sku: bool  # whether an agent decides for one SKU of a row, or for the whole row
    _parts: list[int]  # the row, or SKU of a row, of each agent

    def __init__(
        self,
        scenario: str | Scenario = "paper",
        split: Split = "train",
        *,
        max_cycles: int | None = None,
        horizon: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        self.render_mode = check_render_mode(render_mode)
        scenario = open_scenario(scenario, horizon)
        limit = scenario.horizon
        self.max_cycles = (
            limit if max_cycles is None else check_count("max_cycles", max_cycles, limit)
        )
        self.batched_env = BatchedEnv(scenario, num_copies=1, split=split)
        self.possible_agents: list[str] = []
        self.agents: list[str] = []
        self._random = np.random.default_rng()
        self._account = Account(self.batched_env)
        self._mask_maker = Masks(self.batched_env)
        self._masks: list[Any] = []
        self._masked: Mapping[str, IntArray] | None = None  # the goals that the masks are of
        self._last: Step | None = None
        self._began = False

    def reset(
        self, seed: int | None = None, options: Info | None = None
    ) -> tuple[dict[str, ObsT], dict[str, Info]]:
        """Begins an episode.

        Args:
            seed: of all exogenous draws; without one, the next of a seeded sequence.
            options: unused, for PettingZoo's signature.

        Raises:
            InputError: if the seed is not allowed.
        """
        del options
        if seed is None:
            episode_seed = int(self._random.integers(2**63))
        else:
            episode_seed = check_seed(seed)
            self._random = np.random.default_rng(episode_seed)
        self.batched_env.reset(np.array([episode_seed], np.uint64))
        self.agents = self.possible_agents[:]
        self._began, self._last = True, None
        masks = self._update_masks()
        return self._observe(masks), self._tell(None, masks)

    def step(
        self, actions: Mapping[str, ActionT]
    ) -> tuple[
        dict[str, ObsT],
        dict[str, float],
        dict[str, bool],
        dict[str, bool],
        dict[str, Info],
    ]:
        """Runs a period; `actions` holds one action for every agent.

        After the episode's end, without agents and actions, nothing happens.

        Raises:
            InputError: if an action is missing, unknown or wrong, or no episode has begun.
        """
        if not self.agents:
            if not self._began:
                refuse_before_reset("step")
            check_agents(actions, self.agents)
            return {}, {}, {}, {}, {}
        env, names = self.batched_env, self.agents
        options, modules = self._read(actions), env.layout.modules
        by_module, first = {}, 0
        for module_id, module in modules.items():
            by_module[module_id] = options[None, first : first + module.num_agents]
            first += module.num_agents
        step = env.step(by_module)
        if self.render_mode is not None:
            self._last = step
        done = step.done or env.period >= self.max_cycles
        by_part = self._pool(step.rewards[0])
        rewards = {name: by_part[i] for name, i in zip(names, self._parts, strict=True)}
        masks = self._update_masks()
        observations = self._observe(masks)
        infos = self._tell(step, masks)
        if done:
            self.agents = []
        return observations, rewards, dict.fromkeys(names, False), dict.fromkeys(names, done), infos

    def render(self) -> str | None:
        """Returns the day as text in the render mode "ansi", else None.

        Raises:
            InputError: if no episode has begun.
        """
        if self.render_mode is None:
            return None
        if not self._began:
            refuse_before_reset("render")
        return write_day(self.batched_env, self._last)

    def close(self) -> None:
        """Nothing is held open."""

    def _observe_rows(self, what: str) -> Float32Array:
        """What all rows observe, (N + 1, K, F)."""
        if not self._began:
            refuse_before_reset(what)
        return self.batched_env.observe()[0]

    def _update_masks(self) -> list[Any]:
        """The mask of every agent, made anew where it may have changed."""
        goals = None if self.batched_env.is_review else self.batched_env.goals
        if goals is not self._masked or goals is None:
            self._masked, self._masks = goals, self._make_masks(self._mask_maker.by_module())
        return self._masks

    def _tell(self, step: Step | None, masks: list[Any]) -> dict[str, Info]:
        """Infos of all agents; `step` is the last period, None before the first."""
        team_reward = 0.0 if step is None else float(step.team_reward[0])
        is_review = self.batched_env.is_review
        terms, units = self._account.tell(step, by_sku=self._by_sku)
        parts = [
            {
                "team_reward": team_reward,
                "service": service,
                "inventory": inventory,
                "returns": returns,
                "transport": transport,
                "demand": demand,
                "on_time": on_time,
                "served": served,
                "is_review": is_review,
                "action_mask": None,
            }
            for (service, inventory, returns, transport), (demand, on_time, served) in zip(
                terms.tolist(), units.tolist(), strict=True
            )
        ]
        infos = {}
        for name, part, mask in zip(self.possible_agents, self._parts, masks, strict=True):
            infos[name] = info = parts[part].copy()
            info["action_mask"] = mask
        return infos

    @abstractmethod
    def _read(self, actions: Mapping[str, ActionT]) -> IntArray:
        """Options of all agents in the layout's order, (A, K)."""

    @abstractmethod
    def _make_masks(self, by_module: dict[str, Mask]) -> list[Any]:
        """The mask of every agent, of those of modules."""

    @abstractmethod
    def _observe(self, masks: list[Any]) -> dict[str, ObsT]:
        """What every agent observes."""

    @abstractmethod
    def _pool(self, rewards: Float32Array) -> list[float]:
        """The reward of every part, of those of rows and SKUs, (N + 1, K)."""
