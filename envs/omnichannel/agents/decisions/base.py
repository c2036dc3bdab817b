"""The protocol of a decision: its proposers, its options, eq. 6, and how it becomes feasible.

There are two kinds. The proposals for a *quantity* are targets, from which an inventory position
is taken away; they are averaged signed, and only the mean is clipped and rounded: quantities that
were clipped at zero first could only ever push stock up. Those for a *share* are averaged, then
projected on what is allowed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.compiler import compiled
from envs.omnichannel.agents.positions import (
    Positions,
    compute_store_rate,
    compute_system_rate,
    count_positions,
)
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import FloatArray, IntArray, ModuleOptions, Network, View


@dataclass(frozen=True)
class Known:
    """What proposals are made from; computed when a decision asks for it."""

    view: View
    network: Network
    online_share: FloatArray | None = None  # (B, S, K) agreed on before quantities are proposed

    @cached_property
    def positions(self) -> Positions:
        """The inventory positions."""
        return count_positions(self.view, self.network)

    @cached_property
    def system_rate(self) -> FloatArray:
        """Units a period demanded below each DC, (B, W, K)."""
        return compute_system_rate(self.view, self.network)

    @cached_property
    def store_rate(self) -> FloatArray:
        """Units a period that each store is to serve, (B, S, K)."""
        assert self.online_share is not None, "shares are agreed on before quantities"
        return compute_store_rate(self.view, self.online_share)


class Goal(NamedTuple):
    """A feature by which agents see what the high level's option of a role stands for."""

    name: str
    role: str


class Decision(ABC):
    """One decision of every period, for all copies at once."""

    name: ClassVar[str]  # field of `types.Decisions`: what is done
    target: ClassVar[str]  # field of `types.Targets`: what is aimed at
    proposers: ClassVar[tuple[str, ...]]  # modules, in the order of axis 0 of proposals
    is_share: ClassVar[bool]
    at_dcs: ClassVar[bool] = False  # decided for each DC; else for each store
    goals: ClassVar[tuple[Goal, ...]] = ()

    def __init__(self, scenario: Scenario, network: Network, rows: Mapping[str, slice]) -> None:
        self.network = network
        # What the options stand for by proposer, (L, D); D is 1 but for dispositions.
        self.grids = tuple(
            np.ascontiguousarray(grid, np.float64).reshape(len(grid), -1)
            for grid in self.list_grids(scenario)
        )
        # Where the places of this decision begin among the agents of each proposer.
        place = 0 if self.at_dcs else network.num_dcs
        self.first = np.array([place - rows[m].start for m in self.proposers], np.int64)

    @abstractmethod
    def list_grids(self, scenario: Scenario) -> list[Any]:
        """Returns what the options of each proposer stand for."""

    @abstractmethod
    def average(self, options: ModuleOptions, known: Known, weights: FloatArray) -> FloatArray:
        """Returns eq. 6, the weighted mean of all proposals, (B, G, K) or (B, G, K, D).

        Args:
            options: of all modules, (B, A_m, K), without gaps; one of a high-level
                agent holds for all places.
            known: of B copies.
            weights: of the proposers, sum 1; (1, P) for all copies, or (B, P).

        Raises:
            IndexError: if an option stands for nothing.
        """

    @classmethod
    @abstractmethod
    def settle(cls, target: FloatArray, *, whole_trucks: bool = False) -> NDArray[Any]:
        """Returns what is done about a target: feasible, if the stock is there.

        Args:
            target: coordinated, not yet feasible.
            whole_trucks: units that fill trucks are rounded so that they still do.
        """

    def list_goals(self) -> list[FloatArray]:
        """Returns what each of `goals` shows for every option, (L,) each."""
        return []

    def propose(self, options: ModuleOptions, known: Known) -> FloatArray:
        """Returns all proposals, (P, B, G, K) or (P, B, G, K, D): eq. 6 of one proposer each."""
        alone = np.eye(len(self.proposers))
        return np.stack([self.average(options, known, weights[None]) for weights in alone])

    def check(self, wrong: int) -> None:
        """Refuses options that stand for nothing.

        Args:
            wrong: the proposer who has them; -1: nobody.
        """
        if wrong >= 0:
            module_id, last = self.proposers[wrong], len(self.grids[wrong]) - 1
            raise IndexError(f"{module_id} has options outside 0 to {last}")

    def choose(self, options: ModuleOptions) -> tuple[IntArray, ...]:
        """The proposers' options."""
        return tuple(options[m] for m in self.proposers)


class Share(Decision):
    """A decision whose proposals are fractions."""

    is_share = True

    def average(self, options: ModuleOptions, known: Known, weights: FloatArray) -> FloatArray:
        """Returns the weighted mean of the proposed shares."""
        net, copies = self.network, len(known.view.period)
        places = net.num_dcs if self.at_dcs else net.num_stores
        width = self.grids[0].shape[1]
        mean = np.empty((copies, places, net.num_skus, width))
        wrong = average_shares(self.choose(options), self.grids, self.first, weights, mean)
        self.check(wrong)
        return mean if width > 1 else mean[..., 0]

    @classmethod
    def settle(cls, target: FloatArray, *, whole_trucks: bool = False) -> FloatArray:
        """Returns the share within [0, 1]."""
        del whole_trucks
        return np.clip(target, 0, 1)


class Quantity(Decision):
    """A decision whose proposals are days of cover: (lead time + days) x rate - position."""

    is_share = False
    pushed: ClassVar[int] = -1  # the proposer whose proposal is kept within what the DC holds

    @abstractmethod
    def get_basis(self, known: Known) -> tuple[FloatArray, FloatArray, int]:
        """Returns lead times, (G,), rates, (B, G, K), and the first row of the positions."""

    def average(self, options: ModuleOptions, known: Known, weights: FloatArray) -> FloatArray:
        """Returns the weighted mean of the proposed gaps, units, signed, (B, G, K)."""
        lead_time, rate, row = self.get_basis(known)
        gap = np.empty(rate.shape)
        wrong = average_gaps(
            self.choose(options),
            self.grids,
            self.first,
            weights,
            self.pushed,
            lead_time,
            rate,
            known.positions.rows,
            row,
            known.view.on_hand,
            self.network.parent,
            gap,
        )
        self.check(wrong)
        return gap

    @classmethod
    def settle(cls, target: FloatArray, *, whole_trucks: bool = False) -> IntArray:
        """Returns positive gaps rounded half up, the others zero."""
        del whole_trucks
        return round_gaps(np.ascontiguousarray(target, np.float64).reshape(-1)).reshape(
            target.shape
        )


# Loops that call each other share a file, because the compiler's cache on disk notices changes of
# a function's own file only.
@compiled
def average_shares(
    options: tuple[IntArray, ...],
    grids: tuple[FloatArray, ...],
    first: IntArray,
    weights: FloatArray,
    mean: FloatArray,
) -> int:
    """Eq. 6 of shares; returns the first proposer with an option that is not in its grid, or -1.

    Args:
        options: by proposer, (B, A, K); A is 1 where one holds for all places.
        grids: what they stand for, (L, D).
        first: the row of each proposer's options with which the places begin, (P,).
        weights: (1, P) or (B, P).
        mean: written in place, (B, G, K, D).
    """
    copies, places, skus, width = mean.shape
    mean[:] = 0.0
    for b in range(copies):
        own = weights[min(b, len(weights) - 1)]
        for p in range(len(options)):
            chosen, grid, weight = options[p], grids[p], own[p]
            for g in range(places):
                row = first[p] + g if chosen.shape[1] > 1 else 0
                for k in range(skus):
                    option = chosen[b, row, k]
                    if not 0 <= option < len(grid):
                        return p
                    for d in range(width):
                        mean[b, g, k, d] += weight * grid[option, d]
    return -1


@compiled
def average_gaps(
    options: tuple[IntArray, ...],
    grids: tuple[FloatArray, ...],
    first: IntArray,
    weights: FloatArray,
    pushed: int,
    lead_time: FloatArray,
    rate: FloatArray,
    positions: IntArray,
    first_position: int,
    on_hand: IntArray,
    parent: IntArray,
    gap: FloatArray,
) -> int:
    """Eq. 6 of quantities; returns as `average_shares` does.

    Gaps are linear in the days of cover, so the covers are averaged and one gap is made of their
    mean. Only a push to all stores of a DC is a gap of its own: it is kept within what the DC
    holds, by the same factor for each store.

    Args:
        options: as of `average_shares`.
        grids: days of cover, (L, 1).
        first: as of `average_shares`.
        weights: as of `average_shares`.
        pushed: the proposer who pushes, one for all stores; -1: nobody.
        lead_time: to be covered beyond the days, periods, (G,).
        rate: units a period, (B, G, K).
        positions: inventory positions, units, (B, R, K).
        first_position: the row of the positions with which the places begin.
        on_hand: units, (B, N, K).
        parent: each store's DC, (S,).
        gap: written in place, (B, G, K).
    """
    copies, places, skus = gap.shape
    push = np.empty((places, skus))
    for b in range(copies):
        own = weights[min(b, len(weights) - 1)]
        total = 1.0 if pushed < 0 else _sum_others(own, pushed)
        for g in range(places):
            for k in range(skus):
                gap[b, g, k] = total * lead_time[g]
        wrong = _add_covers(options, grids, first, own, pushed, b, gap[b])
        if wrong >= 0:
            return wrong
        for g in range(places):
            for k in range(skus):
                position = positions[b, first_position + g, k]
                gap[b, g, k] = gap[b, g, k] * rate[b, g, k] - total * position
        if pushed >= 0:
            days = grids[pushed]
            for k in range(skus):
                if not 0 <= options[pushed][b, 0, k] < len(days):
                    return pushed
            for g in range(places):
                for k in range(skus):
                    cover = lead_time[g] + days[options[pushed][b, 0, k], 0]
                    push[g, k] = cover * rate[b, g, k] - positions[b, first_position + g, k]
            _add_push(gap[b], push, own[pushed], on_hand[b], parent)
    return -1


@compiled
def _sum_others(weights: FloatArray, pushed: int) -> float:
    """The weight of all proposers but one."""
    total = 0.0
    for p in range(len(weights)):
        if p != pushed:
            total += weights[p]
    return total


@compiled
def _add_covers(
    options: tuple[IntArray, ...],
    grids: tuple[FloatArray, ...],
    first: IntArray,
    weights: FloatArray,
    pushed: int,
    b: int,
    cover: FloatArray,
) -> int:
    """Adds the weighted days of all who do not push, (G, K); returns as `average_shares` does."""
    for p in range(len(options)):
        if p != pushed:
            chosen, grid, weight = options[p], grids[p], weights[p]
            for g in range(len(cover)):
                row = first[p] + g if chosen.shape[1] > 1 else 0
                for k in range(cover.shape[1]):
                    option = chosen[b, row, k]
                    if not 0 <= option < len(grid):
                        return p
                    cover[g, k] += weight * grid[option, 0]
    return -1


@compiled
def _add_push(
    gap: FloatArray, push: FloatArray, weight: float, on_hand: IntArray, parent: IntArray
) -> None:
    """Adds the gaps of a push, (S, K), as far as the DCs' stock, (N, K), goes."""
    wanted = np.zeros((len(on_hand) - len(parent), push.shape[1]))
    for s in range(len(parent)):
        for k in range(push.shape[1]):
            wanted[parent[s], k] += max(push[s, k], 0.0)
    for s in range(len(parent)):
        for k in range(push.shape[1]):
            factor = min(on_hand[parent[s], k] / max(wanted[parent[s], k], 1e-9), 1.0)
            kept = push[s, k] * factor if push[s, k] > 0 else push[s, k]
            gap[s, k] += weight * kept


@compiled
def round_gaps(gap: FloatArray) -> IntArray:
    """Positive gaps rounded half up, the others zero, (n,)."""
    units = np.empty(len(gap), np.int64)
    for i in range(len(gap)):
        units[i] = np.int64(max(gap[i], 0.0) + 0.5)
    return units
