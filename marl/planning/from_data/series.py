"""Series of a record, each that of a store and a SKU: taken apart where all would be too many."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from envs.omnichannel.types import IntArray
from envs.omnichannel.world.demand.recorded import Counts, choose_kind

_BLOCK = 1 << 22  # cells at once


def sum_channels(units: Counts) -> Counts:
    """Returns units of all channels, (days, S, K), in narrow integers."""
    channels = units.shape[3]
    if channels == 1:
        return units[..., 0]
    return units.sum(axis=3, dtype=choose_kind(int(units.max(initial=0)) * channels))


def split_series(cells: Counts, chosen: IntArray | None = None) -> Iterator[IntArray]:
    """Yields some series at a time, (days, series).

    Args:
        cells: of all series, (days, S x K).
        chosen: positions of those that are wanted; None: all.
    """
    size = max(_BLOCK // max(len(cells), 1), 2)
    for start in range(0, cells.shape[1] if chosen is None else len(chosen), size):
        part = slice(start, start + size)
        yield cells[:, part if chosen is None else chosen[part]].astype(np.int64)
