"""Cut-off times: by when today's orders must be placed."""

from __future__ import annotations

from collections.abc import Iterable

from envs.omnichannel.scenario import Scenario
from marl.planning.recommendation import Decision


def list_cut_offs(scenario: Scenario, decisions: Iterable[Decision]) -> list[str]:
    """Returns a line for each sender and time of day by which an order of today must be placed.

    A supplier's own time replaces that of the lane; of several calendars the last one holds.

    Args:
        scenario: with the calendars.
        decisions: of today.
    """
    own = {s.name: s.cut_off for s in scenario.suppliers or () if s.cut_off}
    dated = [c for c in scenario.order_calendars or () if c.cut_off]
    if not own and not dated:
        return []
    found = set()
    for line in decisions:
        if line.share is None and line.units > 0:
            lanes = [
                c.cut_off
                for c in dated
                if (c.to is None or line.node in c.to) and (c.skus is None or line.sku in c.skus)
            ]
            time = own.get(line.source) or (lanes[-1] if lanes else None)
            if time is not None:
                found.add((time, line.source))
    return [f"orders from {source} must be placed by {time}" for time, source in sorted(found)]
