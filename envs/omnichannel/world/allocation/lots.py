"""Lots: orders as suppliers and warehouses take them, in packs, from a minimum to a maximum."""

from __future__ import annotations

from math import ceil, floor
from typing import NamedTuple, Self

import numpy as np

from envs.compiler import compiled
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.order_rules import ROUNDINGS, tabulate_rules
from envs.omnichannel.types import FloatArray, IntArray

_NEAREST, _UP = ROUNDINGS.index("nearest"), ROUNDINGS.index("up")
_SLACK = 1e-9  # packs; what a sum of floats may be off by is no reason for another one


class Lots(NamedTuple):
    """What orders may be, by where they go and SKU: (N, K), or a part of the nodes."""

    multiple: IntArray  # units of a pack
    minimum: IntArray  # units of an order that is not zero; whole packs
    maximum: IntArray  # units; whole packs
    rounding: IntArray  # index of `ROUNDINGS`
    layer: IntArray | None = None  # units of a pallet's layer; None: nobody stacks
    layer_from: FloatArray | None = None  # share of a layer from which on it is filled up

    @classmethod
    def from_scenario(cls, scenario: Scenario) -> Self | None:
        """Returns the lots of all nodes; None where any number of units may be ordered."""
        if scenario.order_rules is None:
            return None
        table = tabulate_rules(scenario.order_rules, scenario.node_names, scenario.sku_names)
        if (table["layer"] == 1).all():
            del table["layer"], table["layer_from"]
        return cls(**table)

    def take(self, nodes: slice) -> Self:
        """Returns the lots of some nodes."""
        chosen = (None if v is None else np.ascontiguousarray(v[nodes]) for v in self)
        return type(self)(*chosen)  # type: ignore[arg-type]

    def settle(self, gap: FloatArray, *, jointly: bool = False) -> IntArray:
        """Returns the orders that close gaps as nearly as these lots can, units.

        Args:
            gap: target - inventory position, units, signed, (B, G, K) of these nodes.
            jointly: whether what is ordered for a node may not exceed the sum of its gaps, so that
                a load that fills m trucks needs no further one.
        """
        gap = np.ascontiguousarray(gap, np.float64)
        if jointly:
            return _settle_jointly(gap, *self[:3])
        return self._stack(_settle(gap, *self[:4]))

    def _stack(self, units: IntArray) -> IntArray:
        """Orders whose last layer is filled up where that is nearly full, and allowed."""
        if self.layer is None or self.layer_from is None:
            return units
        started = units % self.layer
        full = units + self.layer - started
        is_near = (started > 0) & (started >= self.layer_from * self.layer)
        return np.where(is_near & (full <= self.maximum), full, units)

    def floor(self, units: IntArray) -> IntArray:
        """Returns whole packs of units, (B, G, K), with what is broken left out."""
        return units // self.multiple * self.multiple

    def ration(self, shipped: IntArray, requested: IntArray, parent: IntArray) -> IntArray:
        """Returns shipments in whole packs instead of units, (B, S, K).

        Broken packs are left out, and orders that come to less than the minimum; what that frees at
        a DC is sent as further packs, first where most of one had been cut.

        Args:
            shipped: units that the DCs can send, at most what was asked.
            requested: what was asked, in these lots.
            parent: DC of each store, (S,).
        """
        return _ration(np.ascontiguousarray(shipped), requested, parent, *self[:2])


@compiled
def _round(gap: float, multiple: int, minimum: int, maximum: int, rounding: int) -> int:
    """One order: packs first, then the minimum, then the maximum."""
    if gap <= 0.0:
        return 0
    packs = gap / multiple
    if rounding == _NEAREST:
        units = floor(packs + 0.5) * multiple
    elif rounding == _UP:
        units = ceil(packs - _SLACK) * multiple
    else:
        units = floor(packs + _SLACK) * multiple
    if units < minimum:
        is_near = rounding == _NEAREST and gap >= 0.5 * minimum
        units = minimum if is_near or (rounding == _UP and units) else 0
    return min(units, maximum)


@compiled
def _settle(
    gap: FloatArray, multiple: IntArray, minimum: IntArray, maximum: IntArray, rounding: IntArray
) -> IntArray:
    """Every order by itself, (B, G, K)."""
    units = np.empty(gap.shape, np.int64)
    for b in range(gap.shape[0]):
        for g in range(gap.shape[1]):
            for k in range(gap.shape[2]):
                units[b, g, k] = _round(
                    gap[b, g, k], multiple[g, k], minimum[g, k], maximum[g, k], rounding[g, k]
                )
    return units


@compiled
def _settle_jointly(
    gap: FloatArray, multiple: IntArray, minimum: IntArray, maximum: IntArray
) -> IntArray:
    """All orders of a node at once: whole packs, then further ones while the sum has room."""
    units = np.zeros(gap.shape, np.int64)
    for b in range(gap.shape[0]):
        for g in range(gap.shape[1]):
            total, left = 0.0, 0
            for k in range(gap.shape[2]):
                wanted, pack = max(gap[b, g, k], 0.0), multiple[g, k]
                total += wanted
                most = min(floor(wanted / pack + _SLACK) * pack, maximum[g, k])
                if most >= minimum[g, k]:
                    units[b, g, k] = most
                    left -= most
            left += floor(total + 0.5)
            while True:
                best, most_cut = -1, _SLACK
                for k in range(gap.shape[2]):
                    more = max(multiple[g, k], minimum[g, k] - units[b, g, k])
                    cut = (gap[b, g, k] - units[b, g, k]) / more
                    fits = more <= left and units[b, g, k] + more <= maximum[g, k]
                    # Beyond a gap by less than one lot: each SKU gets one more at most.
                    if fits and cut > most_cut:
                        best, most_cut = k, cut
                if best < 0:
                    break
                more = max(multiple[g, best], minimum[g, best] - units[b, g, best])
                units[b, g, best] += more
                left -= more
    return units


@compiled
def _ration(
    shipped: IntArray, requested: IntArray, parent: IntArray, multiple: IntArray, minimum: IntArray
) -> IntArray:
    """Whole packs of each store, then of what that frees further ones, SKU by SKU."""
    units = shipped.copy()
    free = np.empty(parent.max() + 1, np.int64)
    for b in range(units.shape[0]):
        for k in range(units.shape[2]):
            free[:] = 0
            for s in range(len(parent)):
                whole = shipped[b, s, k] // multiple[s, k] * multiple[s, k]
                units[b, s, k] = whole if whole >= minimum[s, k] else 0
                free[parent[s]] += shipped[b, s, k] - units[b, s, k]
            for w in range(len(free)):
                while free[w] > 0:
                    best, most_cut = -1, 0.0
                    for s in range(len(parent)):
                        more = max(multiple[s, k], minimum[s, k] - units[b, s, k])
                        cut = (shipped[b, s, k] - units[b, s, k]) / more
                        fits = more <= free[w] and units[b, s, k] + more <= requested[b, s, k]
                        if parent[s] == w and fits and cut > most_cut:
                            best, most_cut = s, cut
                    if best < 0:
                        break
                    more = max(multiple[best, k], minimum[best, k] - units[b, best, k])
                    units[b, best, k] += more
                    free[w] -= more
    return units
