"""The rule `proportional`: in proportion to the requests, by largest remainder."""

from __future__ import annotations

import numpy as np

from envs.omnichannel.types import FloatArray, IntArray, Network
from envs.omnichannel.world.allocation.largest_remainder import ration_cells, split_proportionally
from envs.omnichannel.world.allocation.ration import RationingRule


class Rule(RationingRule):
    """Hands out in proportion to the requests; one compiled loop does it for all cells."""

    def split(
        self, requests: IntArray, total: IntArray, shares_by: FloatArray | None = None
    ) -> IntArray:
        """Returns units in proportion to the requests."""
        return split_proportionally(requests, total)

    def share_out(
        self,
        requests: IntArray,
        available: IntArray,
        network: Network,
        shares_by: FloatArray | None = None,
    ) -> IntArray:
        """Returns units in proportion to the requests wherever a DC is short."""
        return ration_cells(requests, np.ascontiguousarray(available), *network.groups)
