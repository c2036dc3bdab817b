"""The rule `equal_cover`: an empty shelf comes before a full one.

The next unit goes to the store whose stock lasts for the fewest days. Source: equal runout in
Silver, Pyke & Thomas, Inventory and production management in supply chains, 4th ed., section 11.5
(allocation of a central stock that is short); max-min fairness in networks.
"""

from __future__ import annotations

from math import ceil

import numpy as np

from envs.compiler import compiled
from envs.omnichannel.types import LOWEST_RATE, FloatArray, IntArray
from envs.omnichannel.world.allocation.ration import RationingRule

_HALVINGS = 60  # of the days between which the last unit is handed out


class Rule(RationingRule):
    """Hands out so that the smallest cover, position over rate, is as large as it can be."""

    by_cover = True

    def split(
        self, requests: IntArray, total: IntArray, shares_by: FloatArray | None = None
    ) -> IntArray:
        """Returns units that leave the smallest cover as large as the requests allow."""
        assert shares_by is not None, "equal_cover needs the stores' positions and rates"
        size = requests.shape[-1]
        units = np.empty(requests.shape, np.int64)
        _split_rows(
            units.reshape(-1, size),
            np.ascontiguousarray(requests).reshape(-1, size),
            np.ascontiguousarray(total).reshape(-1),
            np.ascontiguousarray(shares_by).reshape(-1, 2, size),
        )
        return units


@compiled
def _count_due(position: float, rate: float, request: int, days: float) -> int:
    """How many units of a request are due before a number of days."""
    due = min(max(ceil(days * rate - position), 0), request)
    # The product rounds otherwise than the quotients by which units are compared.
    while due > 0 and (position + due - 1) / rate >= days:
        due -= 1
    while due < request and (position + due) / rate < days:
        due += 1
    return due


@compiled
def _split_rows(units: IntArray, requests: IntArray, total: IntArray, covers: FloatArray) -> None:
    """Writes each row's split; unit j of a store is due at (position + j - 1) / rate days.

    The days before which at most the total is due are found by halving, which hands out nearly all;
    what is left then is handed out one by one.

    Args:
        units: (M, G), written in place.
        requests: (M, G).
        total: (M,).
        covers: positions, units, and rates, units a period, (M, 2, G).
    """
    rows, size = requests.shape
    for m in range(rows):
        position, rate = covers[m, 0], np.maximum(covers[m, 1], LOWEST_RATE)
        low = (position / rate).min() - 1  # a day before any unit is due
        high = ((position + requests[m]) / rate).max()
        for _ in range(_HALVINGS):
            days, due = 0.5 * (low + high), 0
            for g in range(size):
                due += _count_due(position[g], rate[g], requests[m, g], days)
            if due <= total[m]:
                low = days
            else:
                high = days
        left = total[m]
        for g in range(size):
            units[m, g] = _count_due(position[g], rate[g], requests[m, g], low)
            left -= units[m, g]
        while left > 0:
            next_one, least = -1, np.inf
            for g in range(size):
                days = (position[g] + units[m, g]) / rate[g]
                if units[m, g] < requests[m, g] and days < least:
                    next_one, least = g, days
            if next_one < 0:
                break
            units[m, next_one] += 1
            left -= 1
