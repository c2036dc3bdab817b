"""The rule `min_shortage`: the largest shortage is as small as it can be.

The next unit goes to the store that is furthest from its request. Source: the rule of the
base-stock benchmark in Kaynov et al. (2024), IJPE 267:109088, as public reimplementations state it
("minimize the maximum resulting shortfall"); "constrained equal losses" in Thomson (2003),
Mathematical Social Sciences 45.
"""

from __future__ import annotations

from envs.omnichannel.types import FloatArray, IntArray
from envs.omnichannel.world.allocation.ration import RationingRule
from envs.omnichannel.world.allocation.rules.fair_share import split_equally


class Rule(RationingRule):
    """Hands out so that shortages are as equal as they can be."""

    def split(
        self, requests: IntArray, total: IntArray, shares_by: FloatArray | None = None
    ) -> IntArray:
        """Returns units that leave the largest shortage as small as possible."""
        missing = requests.sum(axis=-1) - total
        # To hand out what is missing equally is the same problem seen from the other side, except
        # that units which do not divide must be missing at the stores that come last.
        return requests - split_equally(requests[..., ::-1], missing)[..., ::-1]
