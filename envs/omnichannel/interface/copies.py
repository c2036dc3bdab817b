"""Copies of one decision maker: batches of those that began together, told as one array."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.omnichannel.batched_env import BatchedEnv, Step
from envs.omnichannel.interface.infos import REWARD_TERMS, UNITS, Account, Masks
from envs.omnichannel.interface.text import write_day
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import BoolArray, Float32Array, FloatArray, IntArray, SeedArray
from envs.omnichannel.world.demand import Split


@dataclass(frozen=True, kw_only=True)
class JointStep:
    """Arrays over copies; zeros where a copy is not told of."""

    observations: Float32Array  # (B, (N + 1) K F)
    rewards: FloatArray  # (B,) eq. 8
    ended: BoolArray  # (B,)
    infos: dict[str, NDArray[Any]]  # (B,) each, the mask (B, options of all)

    def replace(self, other: JointStep, mask: BoolArray) -> JointStep:
        """Returns the same with another step's arrays where the mask is true."""
        infos = {}
        for name, values in self.infos.items():
            infos[name] = values.copy()
            infos[name][mask] = other.infos[name][mask]
        return JointStep(
            observations=np.where(mask[:, None], other.observations, self.observations),
            rewards=np.where(mask, other.rewards, self.rewards),
            ended=np.where(mask, other.ended, self.ended),
            infos=infos,
        )


@dataclass
class _Batch:
    """Copies in the same period."""

    copies: IntArray  # their places among all
    env: BatchedEnv
    masks: Masks
    last: Step | None = None  # the period that passed


class Copies:
    """B copies under joint actions, in as many batches as there are days on which they began.

    Args:
        scenario: of the network.
        num_copies: B.
        split: which part of recorded demand the episodes come from.
    """

    def __init__(self, scenario: Scenario, num_copies: int, split: Split) -> None:
        self.template = BatchedEnv(scenario, num_copies, split)
        self.num_copies = num_copies
        self._account = Account(self.template)
        self._batches: list[_Batch] = []
        ends = np.cumsum([m.num_agents for m in self.template.layout.modules.values()])
        starts = [0, *ends[:-1].tolist()]
        modules = zip(self.template.layout.modules, starts, ends.tolist(), strict=True)
        self._blocks = {name: slice(start, end) for name, start, end in modules}

    def reset(self, seeds: SeedArray, mask: BoolArray) -> JointStep:
        """Begins an episode in the copies of the mask, and tells of all observations.

        Args:
            seeds: of the exogenous draws, (B,); read where the mask is true.
            mask: (B,).
        """
        if mask.all():
            batch = _Batch(np.arange(self.num_copies), self.template, Masks(self.template))
            self._batches = [batch]
        else:
            left = [_keep(batch, ~mask[batch.copies]) for batch in self._batches]
            env = _share(self.template, int(mask.sum()))
            batch = _Batch(np.flatnonzero(mask), env, Masks(env))
            self._batches = [*(b for b in left if b is not None), batch]
        batch.env.reset(seeds[batch.copies])
        return self._tell([b if b is batch else None for b in self._batches])

    def step(self, options: IntArray, mask: BoolArray) -> JointStep:
        """Runs a period of the copies of the mask, and tells of them and of all observations.

        Args:
            options: (B, A K).
            mask: (B,), the same for copies that began together.
        """
        by_agent = options.reshape(self.num_copies, -1, self.template.layout.num_skus)
        ran = []
        for batch in self._batches:
            ran.append(batch if mask[batch.copies[0]] else None)
            if ran[-1] is not None:
                own = by_agent if len(self._batches) == 1 else by_agent[batch.copies]
                actions = {m: own[:, block] for m, block in self._blocks.items()}
                batch.last = batch.env.step(actions)
        return self._tell(ran)

    def write_days(self) -> list[str]:
        """Returns every copy's day as text."""
        days = {
            int(place): write_day(batch.env, batch.last, i)
            for batch in self._batches
            for i, place in enumerate(batch.copies)
        }
        return [days[place] for place in range(self.num_copies)]

    def _tell(self, told: list[_Batch | None]) -> JointStep:
        """All observations; the rest of the batches that are told of, zeros elsewhere."""
        batches = self._batches
        seen = [b.env.observe().reshape(len(b.copies), -1) for b in batches]
        rows = [None if b is None else self._tell_batch(b) for b in told]
        names = next(row for row in rows if row is not None)
        infos = {
            name: self._gather([None if row is None else row[name] for row in rows])
            for name in names
        }
        return JointStep(
            observations=self._gather(list(seen)),
            rewards=infos.pop("reward"),
            ended=infos.pop("ended"),
            infos=infos,
        )

    def _tell_batch(self, batch: _Batch) -> dict[str, NDArray[Any]]:
        """Reward, end and infos of the copies of a batch."""
        env, step, count = batch.env, batch.last, len(batch.copies)
        told: dict[str, NDArray[Any]] = {
            "reward": np.zeros(count) if step is None else step.team_reward,
            "ended": np.full(count, step is not None and step.done),
        }
        if step is None:
            told |= {name: np.zeros(count) for name in REWARD_TERMS}
            told |= {name: np.zeros(count, np.int64) for name in UNITS}
        else:
            told |= self._account.tell_team(step)
        told["is_review"] = np.full(count, env.is_review)
        told["action_mask"] = batch.masks.flat()
        return told

    def _gather(self, parts: list[NDArray[Any] | None]) -> NDArray[Any]:
        """One array over all copies of the batches' arrays."""
        some = next(part for part in parts if part is not None)
        if len(parts) == 1:
            return some
        whole = np.zeros((self.num_copies, *some.shape[1:]), some.dtype)
        for batch, part in zip(self._batches, parts, strict=True):
            if part is not None:
                whole[batch.copies] = part
        return whole


def add_masks(infos: dict[str, NDArray[Any]], told: BoolArray) -> dict[str, Any]:
    """Returns infos with Gymnasium's `_name`: which copies have them."""
    return {**infos, **{f"_{name}": told.copy() for name in infos}}


def tell_final(told: JointStep, done: BoolArray) -> dict[str, Any]:
    """Returns the last day of copies whose next episode has begun, as Gymnasium tells it."""
    final = np.full(len(done), None, dtype=object)
    for i in np.flatnonzero(done).tolist():
        final[i] = told.observations[i]
    blank = {name: np.zeros_like(values) for name, values in told.infos.items()}
    for name, values in told.infos.items():
        blank[name][done] = values[done]
    return {
        "final_obs": final,
        "_final_obs": done.copy(),
        "final_info": add_masks(blank, done),
        "_final_info": done.copy(),
    }


def _keep(batch: _Batch, stays: BoolArray) -> _Batch | None:
    """The copies of a batch that go on; None if there are none."""
    if stays.all():
        return batch
    if not stays.any():
        return None
    env, own = _share(batch.env, int(stays.sum())), np.flatnonzero(stays)
    view = batch.env.view
    goals = {m: options[own] for m, options in batch.env.goals.items()}
    env.restore(batch.env.state.select(own), view.known.select(own), view.last_demand[own], goals)
    return _Batch(batch.copies[own], env, Masks(env))


def _share(env: BatchedEnv, num_copies: int) -> BatchedEnv:
    """Another number of copies of the same scenario; the parts, which keep no state, are shared."""
    other = copy(env)
    other.num_copies = num_copies
    return other
