"""The days of cover that agents choose from, fitted to how slowly the SKUs sell."""

from __future__ import annotations

from typing import Any

import numpy as np

from envs.omnichannel.types import FloatArray
from envs.omnichannel.world.demand.recorded import Counts
from marl.planning.from_data.section import Section

NUM_OPTIONS = 11  # of the ordering agents
INITIAL_OPTION = 4
PUSH_OPTIONS = (4, 6, 8, 10)  # the first is the initial one: untrained agents agree with `before`


def fit_covers(
    train: Counts, dcs: list[dict[str, Any]], stores: list[dict[str, Any]]
) -> list[Section]:
    """Returns the agents' days of cover, and those of the policy before training.

    Args:
        train: units of the training days.
        dcs: of the scenario.
        stores: of the scenario.
    """
    lead_time = max(dc["supplier_lead_time"] for dc in dcs)
    lane = max(store["lead_time"] for store in stores)
    store_cover, dc_cover = _make_grids(train, lead_time, lane)
    return [
        Section(
            "actions",
            {
                "store_cover": store_cover,
                "dc_cover": dc_cover,
                "push_cover": [store_cover[i] for i in PUSH_OPTIONS],
                "initial_cover": INITIAL_OPTION,
            },
            ["days of cover that agents choose from, wide enough for the slow sellers found"],
        ),
        Section(
            "before",
            {"store_cover": store_cover[INITIAL_OPTION], "dc_cover": dc_cover[INITIAL_OPTION]},
            assumed=["how stock is run today; put in your own days of cover"],
        ),
    ]


def _make_grids(train: Counts, lead_time: int, lane: int) -> tuple[list[float], list[float]]:
    """Days of cover for stores (beyond the lead time) and DC echelons, ascending.

    Safety stock in days grows with the coefficient of variation, so with 1 / sqrt(mean).
    """
    mean = max(int(train.sum()) / (train.size // train.shape[3]), 0.05)
    highest = 4 + 12 / mean**0.5
    steps = np.linspace(0, 1, NUM_OPTIONS)
    store: FloatArray = np.round(2 * highest * steps**1.5) / 2
    dc: FloatArray = np.round(2 * (lead_time + lane + (4 + highest) * steps**1.3)) / 2
    return _ascend(store), _ascend(dc)


def _ascend(covers: FloatArray) -> list[float]:
    """The covers, those that rounding made equal moved half a day up."""
    for i in range(1, len(covers)):
        covers[i] = max(covers[i], covers[i - 1] + 0.5)
    return [float(cover) for cover in covers]
