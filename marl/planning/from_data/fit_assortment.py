"""The assortment of a record: which stores sell which SKUs, and when."""

from __future__ import annotations

from typing import Any

import numpy as np

from envs.omnichannel.scenario.assortment import ALWAYS, FOREVER
from envs.omnichannel.types import BoolArray
from marl.planning.from_data.dataset import AssortmentRecord, DemandRecords
from marl.planning.from_data.section import Section


def fit_sold(demand: DemandRecords) -> list[Section]:
    """Returns the scenario's assortment: what a store never sold it does not carry.

    Nothing where every store sold every SKU; a store and a SKU that sold nothing at all are kept
    whole, because they are in the scenario.
    """
    carried = _keep_whole(demand.units.sum(axis=(0, 3)) > 0)  # (S, K)
    if carried.all():
        return []
    pairs = int((~carried).sum())
    remark = f"{pairs} of {carried.size} pairs of store and SKU never sold a unit"
    return [Section("assortment", {"without": _list_missing(demand, carried)}, [remark])]


def fit_assortment(demand: DemandRecords, record: AssortmentRecord) -> list[Section]:
    """Returns the scenario's assortment as its file has it; nothing where that is everything."""
    carried = _keep_whole(record.carried)
    value: dict[str, Any] = {}
    remarks = []
    if not carried.all():
        value["without"] = _list_missing(demand, carried)
        remarks.append(f"{int((~carried).sum())} of {carried.size} pairs of store and SKU: no row")
    dates = _list_dates(demand, record)
    if dates:
        value["dates"] = dates
        remarks.append(f"dates: {demand.period}s of the record, of which {demand.get_date(0)} is 0")
    return [Section("assortment", value, remarks)] if value else []


def _keep_whole(carried: BoolArray) -> BoolArray:
    """What is carried, and all of a store or SKU of which nothing is: it is in the scenario."""
    whole: BoolArray = carried | ~carried.any(axis=1, keepdims=True) | ~carried.any(axis=0)
    return whole


def _list_missing(demand: DemandRecords, carried: BoolArray) -> dict[str, list[str]]:
    return {
        store: [demand.skus[k] for k in np.flatnonzero(~own)]
        for store, own in zip(demand.stores, carried, strict=True)
        if not own.all()
    }


def _list_dates(demand: DemandRecords, record: AssortmentRecord) -> list[dict[str, Any]]:
    """Entries for the SKUs that come or go, those with the same days and stores in one."""
    first = np.where(record.first <= 0, ALWAYS, record.first)  # the record begins with them
    is_dated = record.carried & ((first > 0) | (record.last < FOREVER))
    stores: dict[tuple[int, int, int], list[int]] = {}
    for s, k in np.argwhere(is_dated).tolist():
        stores.setdefault((k, int(first[s, k]), int(record.last[s, k])), []).append(s)
    skus: dict[tuple[tuple[int, ...], int, int], list[str]] = {}
    for (k, begin, end), own in stores.items():
        skus.setdefault((tuple(own), begin, end), []).append(demand.skus[k])
    return [
        {"stores": [demand.stores[s] for s in own], "skus": names}
        | ({"from": begin} if begin != ALWAYS else {})
        | ({"until": end} if end != FOREVER else {})
        for (own, begin, end), names in skus.items()
    ]
