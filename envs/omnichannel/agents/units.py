"""The units that agents know of in a period, as compiled loops take them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from envs.omnichannel.types import FloatArray, IntArray, View


class Units(NamedTuple):
    """What is known of a period; axes as in `types.View`."""

    on_hand: IntArray
    in_transit: IntArray
    in_inspection: IntArray
    inspection_queue: IntArray
    backorders: IntArray
    returns_due: IntArray
    shelf: IntArray
    last_demand: IntArray
    forecast: FloatArray
    smoothed: FloatArray


def make_units(view: View) -> Units:
    """What the view holds; loops are compiled for arrays without gaps."""
    contiguous = np.ascontiguousarray
    return Units(
        on_hand=contiguous(view.on_hand),
        in_transit=contiguous(view.in_transit),
        in_inspection=contiguous(view.in_inspection),
        inspection_queue=contiguous(view.inspection_queue),
        backorders=contiguous(view.backorders),
        returns_due=contiguous(view.returns_due),
        shelf=contiguous(view.shelf),
        last_demand=contiguous(view.last_demand),
        forecast=contiguous(view.forecast),
        smoothed=contiguous(view.smoothed),
    )
