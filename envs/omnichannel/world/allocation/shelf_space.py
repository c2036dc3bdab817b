"""Shelf space: what of a store's stock is in its back room, and the orders that still fit in."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np

from envs.compiler import compiled
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.shelf_rules import UNLIMITED, tabulate_shelves
from envs.omnichannel.types import FloatArray, IntArray
from envs.omnichannel.world.allocation.lots import Lots


class ShelfSpace(NamedTuple):
    """What stores show and hold."""

    presentation: IntArray  # (S, K) units
    maximum: IntArray  # (S, K) units that the shelf holds; the others are in the back room
    capacity: IntArray  # (S,) units of all SKUs in the back room
    cost: FloatArray  # (S,) money per unit there and period

    @classmethod
    def from_scenario(cls, scenario: Scenario) -> Self | None:
        """Returns the space of all stores; None where no rule speaks of it."""
        if scenario.shelf_rules is None:
            return None
        names = scenario.store_names, scenario.sku_names
        return cls(**tabulate_shelves(scenario.shelf_rules, scenario.back_room or (), *names))

    def count_back_room(self, stock: IntArray) -> IntArray:
        """Returns the units in the back rooms, (B, S, K), of the stores' stock, (B, S, K)."""
        return np.maximum(stock - self.maximum, 0)

    def limit(self, orders: IntArray, stock: IntArray, lots: Lots | None = None) -> IntArray:
        """Returns the orders cut so far that the back rooms hold what does not fit on the shelves.

        In a room that is too small the highest stacks are cut first, to one height, in whole packs;
        a pack that fits into what that leaves is kept. An order that comes to less than its minimum
        is left out. A room that is over-full already takes nothing more, but shelves do.

        Args:
            orders: of the stores, units, (B, S, K).
            stock: that is there or on its way to them, (B, S, K).
            lots: of the stores, that the orders are made of; None: single units.
        """
        if (self.capacity == UNLIMITED).all():
            return orders
        single = np.ones_like(self.maximum)
        multiple, minimum = (single, single) if lots is None else lots[:2]
        limited = np.ascontiguousarray(orders).copy()
        stock = np.ascontiguousarray(stock)
        _limit(limited, stock, self.maximum, self.capacity, multiple, minimum)
        return limited


@compiled
def _fit(order: int, stock: int, most: int, multiple: int, minimum: int) -> int:
    """What of an order keeps the stock at `most` or below, in whole packs."""
    units = min(order, max(most - stock, 0))
    if units < order:
        units = units // multiple * multiple
    return units if units >= minimum else 0


@compiled
def _limit(
    orders: IntArray,
    stock: IntArray,
    maximum: IntArray,
    capacity: IntArray,
    multiple: IntArray,
    minimum: IntArray,
) -> None:
    """Cuts orders, (B, S, K), in place; bisects the height of the stacks in each room."""
    copies, stores, skus = orders.shape
    for b in range(copies):
        for s in range(stores):
            own, held, shelf = orders[b, s], stock[b, s], maximum[s]
            units, highest = 0, 0
            for k in range(skus):
                stack = max(held[k] + own[k] - shelf[k], 0)
                units += stack
                highest = max(highest, stack)
            if units <= capacity[s]:
                continue
            low, high = 0, highest  # all orders are too many at the highest stack
            while high - low > 1:
                middle, units = (low + high) // 2, 0
                for k in range(skus):
                    most = shelf[k] + middle
                    kept = _fit(own[k], held[k], most, multiple[s, k], minimum[s, k])
                    units += max(held[k] + kept - shelf[k], 0)
                if units <= capacity[s]:
                    low = middle
                else:
                    high = middle
            wanted, units = own.copy(), 0
            for k in range(skus):
                own[k] = _fit(wanted[k], held[k], shelf[k] + low, multiple[s, k], minimum[s, k])
                units += max(held[k] + own[k] - shelf[k], 0)
            for k in range(skus):
                room, stack = capacity[s] - units, max(held[k] + own[k] - shelf[k], 0)
                if room > 0:
                    most = shelf[k] + stack + room
                    own[k] = _fit(wanted[k], held[k], most, multiple[s, k], minimum[s, k])
                    units += max(held[k] + own[k] - shelf[k], 0) - stack
