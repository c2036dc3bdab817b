"""Classes of demand: fast, slow and lumpy."""

from __future__ import annotations

import numpy as np

from envs.omnichannel.types import BoolArray, FloatArray

_INTERVAL = 1.32  # days between two days with a sale
_CV2 = 0.49  # squared coefficient of variation of what a day with a sale brings


def classify_cells(sold: FloatArray, in_stock: BoolArray | None = None) -> dict[str, BoolArray]:
    """Returns which stores and SKUs, (S, K), are of each class; `all` comes first.

    Fast: sells on at least three days of four. Of the others, lumpy ones sell few units on one day
    and many on another; slow ones do not.

    Source: Syntetos, Boylan & Croston 2005, On the categorization of demand patterns, JORS 56(5);
    its smooth and erratic demand are fast, its intermittent demand is slow.

    Args:
        sold: of each day, (D, S, K).
        in_stock: as of `History.roll`; days without stock are not counted.
    """
    counted = np.ones(sold.shape, np.bool_) if in_stock is None else in_stock
    units = np.where(counted, sold, 0.0)
    sale_days = np.maximum((units > 0).sum(axis=0), 1)
    interval = counted.sum(axis=0) / sale_days
    size = units.sum(axis=0) / sale_days
    variance = np.maximum((units**2).sum(axis=0) / sale_days - size**2, 0)
    is_uneven = variance > _CV2 * size**2
    is_fast = interval <= _INTERVAL
    return {
        "all": np.ones(is_fast.shape, np.bool_),
        "fast": is_fast,
        "slow": ~is_fast & ~is_uneven,
        "lumpy": ~is_fast & is_uneven,
    }
