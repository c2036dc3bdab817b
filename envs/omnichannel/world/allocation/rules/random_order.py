"""The rule `random_order`: stores one after the other, each in full while stock lasts.

Source: Kaynov et al. (2024), IJPE 267:109088, train with it.
"""

from __future__ import annotations

import numpy as np

from envs.omnichannel.types import FloatArray, IntArray
from envs.omnichannel.world.allocation.ration import RationingRule


class Rule(RationingRule):
    """Serves the stores in the order that the period's draw gives."""

    is_random = True

    def split(
        self, requests: IntArray, total: IntArray, shares_by: FloatArray | None = None
    ) -> IntArray:
        """Returns units by order of priority."""
        assert shares_by is not None, "random_order needs the period's draw"
        order = np.argsort(shares_by, axis=-1, kind="stable")
        sorted_requests = np.take_along_axis(requests, order, -1)
        before = np.cumsum(sorted_requests, axis=-1) - sorted_requests
        units = np.clip(total[..., None] - before, 0, sorted_requests)
        given = np.empty_like(units)
        np.put_along_axis(given, order, units, -1)
        return given
