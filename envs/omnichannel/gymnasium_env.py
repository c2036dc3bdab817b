"""The Gymnasium view: one agent decides for all, in one copy or in B copies as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import Env
from gymnasium.spaces import Box, MultiDiscrete
from gymnasium.utils.seeding import np_random
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.errors import InputError
from envs.omnichannel.interface.arguments import (
    LARGEST_SEED,
    RENDER_MODES,
    check_count,
    check_options,
    check_render_mode,
    check_seed,
    open_scenario,
    refuse_before_reset,
)
from envs.omnichannel.interface.copies import Copies, JointStep, add_masks, tell_final
from envs.omnichannel.interface.infos import Info
from envs.omnichannel.layout import Layout
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import BoolArray, Float32Array, FloatArray, Options
from envs.omnichannel.world.demand import Split

Seeds = int | Sequence[int | None] | None


class JointEnv(Env[Float32Array, Options]):
    """The whole network as a single-agent environment, `omnichannel/Joint-v0`.

    - **Observation**: `Box(-5, 5, ((N + 1) K F,), float32)`, the rows of all DCs, all stores and
      the network; the features of `agents.observation.FEATURES` vary fastest, then SKUs.
    - **Action**: `MultiDiscrete`, one option for each agent and SKU, SKUs fastest, agents in the
      order of `OmnichannelEnv.possible_agents`. High-level actions count every `review_period`
      periods. The coordinator combines the proposals as it does for many agents.
    - **Reward**: eq. 8 of the whole network.
    - **Episode end**: truncation at the scenario's horizon; no termination.
    - **Info**, of the period that passed, zeros after `reset`: `service`, `inventory`, `returns`,
      `transport`, the terms that sum to the reward; `demand`, `on_time`, `served`, units. Of the
      coming period: `is_review`, whether the high level decides, and `action_mask`, 1 for each
      option that counts, agent by agent and SKU by SKU.

    Args:
        scenario: name, path or value.
        split: which part of recorded demand the episodes come from.
        horizon: periods of an episode in place of the scenario's.
        render_mode: "ansi" makes `render` return the day as text.

    Raises:
        InputError: if the scenario is not known or not valid, or an argument is not allowed.
    """

    metadata: dict[str, Any] = {"render_modes": list(RENDER_MODES), "render_fps": 1}  # noqa: RUF012

    def __init__(
        self,
        scenario: str | Scenario = "paper",
        split: Split = "train",
        *,
        horizon: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        self.render_mode = check_render_mode(render_mode)
        self._copies = Copies(open_scenario(scenario, horizon), 1, split)
        self.batched_env = self._copies.template
        spaces = _make_spaces(self.batched_env.layout)
        self.observation_space, self.action_space = spaces
        self._counts = spaces[1].nvec
        self._ended: bool | None = None  # None: no episode has begun

    def reset(
        self, *, seed: int | None = None, options: Info | None = None
    ) -> tuple[Float32Array, Info]:
        """Begins an episode.

        Args:
            seed: of all exogenous draws; without one, the next of a seeded sequence.
            options: unused, for Gymnasium's signature.

        Raises:
            InputError: if the seed is not allowed.
        """
        del options
        seed = None if seed is None else check_seed(seed)
        super().reset(seed=seed)
        first = self.np_random.integers(2**63) if seed is None else seed
        told = self._copies.reset(np.array([first], np.uint64), np.array([True]))
        self._ended = False
        return told.observations[0], _take_first(told.infos)

    def step(self, action: Options) -> tuple[Float32Array, float, bool, bool, Info]:
        """Runs a period under one option for each agent and SKU, (A K,).

        Raises:
            InputError: if the action is wrong, no episode has begun, or it has ended.
        """
        if self._ended is None:
            refuse_before_reset("step")
        if self._ended:
            raise InputError("step: the episode has ended; `reset` must be called first")
        options = check_options("action", action, self._counts)
        told = self._copies.step(options[None], np.array([True]))
        self._ended = bool(told.ended[0])
        reward, info = float(told.rewards[0]), _take_first(told.infos)
        return told.observations[0], reward, False, self._ended, info

    def render(self) -> str | None:  # type: ignore[override]
        """Returns the day as text in the render mode "ansi", else None.

        Raises:
            InputError: if no episode has begun.
        """
        if self.render_mode is None:
            return None
        if self._ended is None:
            refuse_before_reset("render")
        return self._copies.write_days()[0]


class JointVectorEnv(VectorEnv[Float32Array, Options, NDArray[Any]]):
    """B copies of `JointEnv` as arrays, without a loop over copies.

    Copies that began together run as one batch. `reset(seed=n)` gives them the seeds n, n + 1 ...,
    as Gymnasium's own vector environments do; every copy continues its own sequence. A
    `reset_mask` in the options begins an episode in some copies alone, after which those that
    began together still run as arrays.

    Args, as of `JointEnv`, and:
        num_envs: B.
        autoreset_mode: of Gymnasium: the step after an episode's end begins the next one and
            returns reward 0 (next step, the default), the last step does (same step), or `reset`
            alone does (disabled).
    """

    def __init__(
        self,
        num_envs: int,
        scenario: str | Scenario = "paper",
        split: Split = "train",
        *,
        horizon: int | None = None,
        render_mode: str | None = None,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
    ) -> None:
        self.num_envs = check_count("num_envs", num_envs)
        self.render_mode = check_render_mode(render_mode)
        self._mode = _check_mode(autoreset_mode)
        self.metadata = {**JointEnv.metadata, "autoreset_mode": self._mode}
        self._copies = Copies(open_scenario(scenario, horizon), self.num_envs, split)
        self.batched_env = self._copies.template
        spaces = _make_spaces(self.batched_env.layout)
        self.single_observation_space, self.single_action_space = spaces
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        nvec = spaces[1].nvec
        self._counts = np.broadcast_to(nvec, (self.num_envs, len(nvec)))
        self._randoms = [np.random.default_rng() for _ in range(self.num_envs)]
        self._ended: BoolArray | None = None  # None: no episode has begun

    def reset(
        self, *, seed: Seeds = None, options: Info | None = None
    ) -> tuple[Float32Array, Info]:
        """Begins an episode in every copy.

        Args:
            seed: of the first copy's exogenous draws, or one for each copy; without one, the next
                of the copy's seeded sequence.
            options: `reset_mask`, (B,) of bool, names the copies that begin; None: all.

        Raises:
            InputError: if a seed or the mask is not allowed.
        """
        mask = self._check_mask((options or {}).get("reset_mask"))
        seeds = self._choose_seeds(seed, mask)
        if self._ended is None and not mask.all():
            raise InputError(
                "reset_mask: no episode has begun in some of the copies that it leaves out; the "
                "first `reset` must begin all"
            )
        told = self._copies.reset(seeds, mask)
        self._ended = np.where(mask, False, False if self._ended is None else self._ended)
        return told.observations, add_masks(told.infos, mask)

    def step(self, actions: Options) -> tuple[Float32Array, FloatArray, BoolArray, BoolArray, Info]:
        """Runs a period of every copy, actions (B, A K); episodes begin as the mode says.

        Raises:
            InputError: if an action is wrong, no episode has begun, or one has ended and the mode
                is disabled.
        """
        if self._ended is None:
            refuse_before_reset("step")
        options = check_options("actions", actions, self._counts)
        everywhere, ended = np.ones(self.num_envs, np.bool_), self._ended
        if self._mode is AutoresetMode.DISABLED and ended.any():
            raise InputError(
                f"step: the episodes of copies {np.flatnonzero(ended).tolist()} have ended; they "
                "must be reset with `reset_mask` first"
            )
        if ended.all():
            told = self._begin(ended)
        else:
            told = self._copies.step(options, ~ended)
            told = told.replace(self._begin(ended), ended) if ended.any() else told
        infos = add_masks(told.infos, everywhere)
        observations, done = told.observations, told.ended
        self._ended = done.copy()
        if self._mode is AutoresetMode.SAME_STEP and done.any():
            first = self._begin(done)
            infos = add_masks(told.replace(first, done).infos, everywhere)
            infos |= tell_final(told, done)
            observations = np.where(done[:, None], first.observations, observations)
            self._ended[:] = False
        never = np.zeros(self.num_envs, np.bool_)
        return observations, told.rewards, never, done, infos

    def render(self) -> tuple[str, ...] | None:  # type: ignore[override]
        """Returns the day of every copy as text in the render mode "ansi", else None.

        Raises:
            InputError: if no episode has begun.
        """
        if self.render_mode is None:
            return None
        if self._ended is None:
            refuse_before_reset("render")
        return tuple(self._copies.write_days())

    def _begin(self, mask: BoolArray) -> JointStep:
        return self._copies.reset(self._choose_seeds(None, mask), mask)

    def _check_mask(self, mask: Any) -> BoolArray:
        if mask is None:
            return np.ones(self.num_envs, np.bool_)
        right = isinstance(mask, np.ndarray) and mask.dtype == np.bool_
        if not right or mask.shape != (self.num_envs,) or not mask.any():
            raise InputError(
                f"reset_mask: {' '.join(repr(mask).split())} is not allowed; an array of "
                f"{self.num_envs} booleans, of which one at least is true, is needed"
            )
        return mask.copy()

    def _choose_seeds(self, seed: Seeds, mask: BoolArray) -> NDArray[np.uint64]:
        """The seed of every copy in the mask, given or the next of its sequence; 0 elsewhere."""
        if seed is None:
            given: list[int | None] = [None] * self.num_envs
        elif isinstance(seed, Sequence | np.ndarray) and not isinstance(seed, str):
            given = list(seed)
            if len(given) != self.num_envs:
                raise InputError(
                    f"seed: {len(given)} seeds are not allowed; one for each of the "
                    f"{self.num_envs} copies is needed"
                )
        else:
            first = check_seed(seed, most=LARGEST_SEED - self.num_envs + 1)
            given = list(range(first, first + self.num_envs))
        chosen = [None if s is None else check_seed(s, f"seed[{i}]") for i, s in enumerate(given)]
        seeds = np.zeros(self.num_envs, np.uint64)
        for i in np.flatnonzero(mask).tolist():
            own = chosen[i]
            if own is None:
                seeds[i] = self._randoms[i].integers(2**63)
            else:
                self._randoms[i], seeds[i] = np_random(own)[0], own
        return seeds


def _make_spaces(layout: Layout) -> tuple[Box, MultiDiscrete]:
    """The spaces of one copy; the layout lists agents by module."""
    counts = [(m.num_options, m.num_agents * layout.num_skus) for m in layout.modules.values()]
    size = layout.num_rows * layout.num_skus * layout.num_features
    actions = MultiDiscrete(np.concatenate([np.full(parts, n) for n, parts in counts]))
    return Box(-5, 5, (size,), np.float32), actions


def _check_mode(mode: Any) -> AutoresetMode:
    try:
        return AutoresetMode(mode)
    except ValueError:
        allowed = ", ".join(repr(m.value) for m in AutoresetMode)
        raise InputError(f"autoreset_mode: {mode!r} is not known; allowed: {allowed}") from None


def _take_first(infos: dict[str, NDArray[Any]]) -> Info:
    """The infos of one copy: numbers, and the mask as an array."""
    return {name: v[0] if v.ndim > 1 else v[0].item() for name, v in infos.items()}


# Called as `parallel_env` is.
joint_env, joint_vector_env = JointEnv, JointVectorEnv
