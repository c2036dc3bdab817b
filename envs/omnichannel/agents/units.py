"""The units that agents know of in a period, as compiled loops take them."""

from __future__ import annotations

from functools import cache
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
        inspection_queue=_fill(view.inspection_queue, axes=3),
        backorders=contiguous(view.backorders),
        returns_due=contiguous(view.returns_due),
        shelf=_fill(view.shelf, axes=4),
        last_demand=contiguous(view.last_demand),
        forecast=contiguous(view.forecast),
        smoothed=contiguous(view.smoothed),
    )


def _fill(units: IntArray | None, axes: int) -> IntArray:
    """Gives loops an array without entries where a scenario has none."""
    return _make_empty(axes) if units is None else np.ascontiguousarray(units)


@cache
def _make_empty(axes: int) -> IntArray:
    return np.empty((0,) * axes, np.int64)
