"""What agents know of a period, as compiled loops take it."""

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
    level: FloatArray


def make_units(view: View) -> Units:
    """What the view holds; loops are compiled for arrays without gaps."""
    state, contiguous = view.state, np.ascontiguousarray
    return Units(
        on_hand=contiguous(state.on_hand),
        in_transit=contiguous(state.in_transit),
        in_inspection=contiguous(state.in_inspection),
        inspection_queue=contiguous(state.inspection_queue),
        backorders=contiguous(state.backorders),
        returns_due=contiguous(state.returns_due),
        shelf=contiguous(state.shelf),
        last_demand=contiguous(view.last_demand),
        forecast=contiguous(view.forecast),
        level=contiguous(view.level),
    )
