"""Recorded demand as arrays: units of consecutive days, in the narrowest integers that do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.omnichannel.types import BoolArray

CHANNEL_NAMES = ("store", "online", "pickup")
MOST_CELLS = 1_000_000_000  # days x stores x SKUs x channels: two bytes each in memory

# Signed, so that differences are right; sums over them are int64, as NumPy makes them.
Counts = NDArray[np.integer[Any]]
_KINDS = (np.int16, np.int32, np.int64)


@dataclass(frozen=True)
class RecordedDemand:
    """Recorded units of consecutive days, or of weeks by their first day."""

    first_day: date
    stores: list[str]
    skus: list[str]
    channels: list[str]  # of `CHANNEL_NAMES`, in that order
    units: Counts  # (days, S, K, C)
    step: int = 1  # calendar days from an entry to the next one: 1 or 7
    in_stock: BoolArray | None = None  # (days, S, K) whether there was anything to sell; None: yes


def choose_kind(largest: float) -> type[np.signedinteger[Any]]:
    """Returns the narrowest signed integers that hold 0 to `largest`."""
    return next(kind for kind in _KINDS if largest <= np.iinfo(kind).max)


def narrow(units: Counts) -> Counts:
    """Returns units, none below 0, in the narrowest signed integers that hold them."""
    kind = choose_kind(int(units.max(initial=0)))
    return units.astype(kind, copy=units.dtype.itemsize > np.dtype(kind).itemsize)
