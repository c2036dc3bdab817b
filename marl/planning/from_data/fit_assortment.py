"""The assortment of a record: which stores sell which SKUs."""

from __future__ import annotations

import numpy as np

from marl.planning.from_data.dataset import DemandRecords
from marl.planning.from_data.section import Section


def fit_assortment(demand: DemandRecords) -> list[Section]:
    """Returns the scenario's assortment: what a store never sold it does not carry.

    Nothing where every store sold every SKU; a store and a SKU that sold nothing at all are kept
    whole, because they are in the scenario.
    """
    sold = demand.units.sum(axis=(0, 3)) > 0  # (S, K)
    carried = sold | ~sold.any(axis=1, keepdims=True) | ~sold.any(axis=0)
    if carried.all():
        return []
    without = {
        store: [demand.skus[k] for k in np.flatnonzero(~own)]
        for store, own in zip(demand.stores, carried, strict=True)
        if not own.all()
    }
    pairs = int((~carried).sum())
    remark = f"{pairs} of {carried.size} pairs of store and SKU never sold a unit"
    return [Section("assortment", {"without": without}, [remark])]
