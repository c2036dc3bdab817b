"""The rule `fair_share`: the same amount for all until a request is served.

Source: "constrained equal awards" in Thomson (2003), Mathematical Social Sciences 45; max-min
fairness in networks.
"""

from __future__ import annotations

import numpy as np

from envs.omnichannel.types import FloatArray, IntArray
from envs.omnichannel.world.allocation.ration import RationingRule


class Rule(RationingRule):
    """Hands out the same to all; what a store does not want goes to the others."""

    def split(
        self, requests: IntArray, total: IntArray, shares_by: FloatArray | None = None
    ) -> IntArray:
        """Returns units as equal as the requests allow."""
        return split_equally(requests, total)


def split_equally(requests: IntArray, total: IntArray) -> IntArray:
    """Returns integers that sum to `total`, as equal as the requests allow.

    Args:
        requests: (..., G), >= 0.
        total: units to hand out, (...), at most the sum of the requests.

    Returns:
        Units, (..., G), each at most its request.
    """
    size = requests.shape[-1]
    ascending = np.sort(requests, axis=-1)
    below = np.cumsum(ascending, axis=-1) - ascending  # units of all smaller requests
    # Giving as much as request i serves the i smaller ones, and the others get that much each.
    reached = below + ascending * (size - np.arange(size))
    served = (reached <= total[..., None]).sum(axis=-1)[..., None]  # requests served in full
    last = np.minimum(served, size - 1)
    left = total[..., None] - np.take_along_axis(below, last, -1)
    share, rest = np.divmod(left, size - last)
    units = np.minimum(requests, share)
    # The rest is less than a unit for each of those that want more; the first ones get it.
    wants_more = requests > share
    return units + (wants_more & (np.cumsum(wants_more, axis=-1) <= rest))
