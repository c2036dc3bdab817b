"""DCs, stores and lanes of a scenario: read from the files, or assumed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from envs.omnichannel.world.demand.recorded import Counts
from marl.planning.from_data.check_others import SUPPLIER
from marl.planning.from_data.dataset import Dataset, LaneRecord
from marl.planning.from_data.section import Section

LEAD_TIMES = {"day": (5, 1), "week": (1, 1)}  # of suppliers and of lanes to stores
DISTANCE_BANDS = 3


@dataclass
class Remarks:
    """The remarks about the network."""

    measured: list[str]
    assumed: list[str]

    def place(self, value: Any) -> Section:
        """Puts them above the scenario's network."""
        return Section("network", value, self.measured, self.assumed)


def fit_network(
    data: Dataset, train: Counts
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], Remarks]:
    """Returns the DCs, the stores and the remarks about both.

    Args:
        data: the checked files.
        train: units of the training days, (days, S, K, C), which size the stores.
    """
    demand, lanes = data.demand, data.lanes or {}
    remarks = Remarks([], [])
    parents = _find_parents(data, remarks)
    if data.nodes is not None:
        remarks.measured.append("DCs, stores and capacities: nodes file")
    used = set(parents.values())
    dcs = []
    for name in dict.fromkeys([*(data.nodes or {}), *parents.values()]):
        if name not in used:
            continue
        lane = lanes.get((SUPPLIER, name))
        days = lane.lead_time if lane else None
        if days is None:
            days = LEAD_TIMES[demand.period][0]
            remarks.assumed.append(f"supplier_lead_time {days} {demand.period}s of {name}")
        dcs.append({"name": name, "supplier_lead_time": days} | _get_capacity(data, name))
    distances = scale_distances({store: lanes.get((parents[store], store)) for store in parents})
    totals = train.sum(axis=(0, 2, 3))
    sizes = totals / max(float(totals.mean()), 1e-9)
    stores = []
    unknown, lane_time = Counter[str](), LEAD_TIMES[demand.period][1]
    for store, size in zip(demand.stores, sizes, strict=True):
        lane = lanes.get((parents[store], store))
        days = lane.lead_time if lane else None
        unknown["lead_time"] += days is None
        unknown["distance"] += store not in distances
        stores.append(
            {
                "name": store,
                "parent": parents[store],
                "size": min(max(round(float(size), 3), 0.001), 1000.0),
                "distance": distances.get(store, 1),
                "lead_time": lane_time if days is None else days,
            }
            | _get_capacity(data, store)
        )
    remarks.measured.append("size: the store's share of all units, 1 for the mean store")
    for item, text in (("lead_time", f"{lane_time} {demand.period}"), ("distance", "band 1")):
        if unknown[item]:
            remarks.assumed.append(f"{item} {text} of {unknown[item]} stores")
    if distances:
        remarks.measured.append("distance: lanes file, in bands; see docs/your-data.md")
    return dcs, stores, remarks


def _find_parents(data: Dataset, remarks: Remarks) -> dict[str, str]:
    """The DC of each store, by store."""
    stores = data.demand.stores
    if data.nodes is not None:
        return {store: data.nodes[store].parent or "" for store in stores}
    found = {end: start for start, end in data.lanes or {} if start != SUPPLIER}
    if found:
        remarks.measured.append("DCs: those from which the lanes file supplies stores")
        default = next(iter(found.values()))
    else:
        default = "dc_0"
        while default in stores:
            default += "_"
    missing = [store for store in stores if store not in found]
    if missing:
        remarks.assumed.append(f"one DC, {default}, supplies {len(missing)} stores")
    return {store: found.get(store, default) for store in stores}


def _get_capacity(data: Dataset, node: str) -> dict[str, float]:
    record = (data.nodes or {}).get(node)
    return {} if record is None or record.capacity is None else {"capacity": record.capacity}


def scale_distances(lanes: dict[str, LaneRecord | None]) -> dict[str, int]:
    """Distance bands by store: small whole numbers are bands; others become three equal bands."""
    found = {s: lane.distance for s, lane in lanes.items() if lane and lane.distance is not None}
    if all(d == round(d) and d <= 10 for d in found.values()):
        return {store: int(d) for store, d in found.items()}
    longest = max(found.values())
    return {
        store: max(int(np.ceil(DISTANCE_BANDS * distance / longest)), 1)
        for store, distance in found.items()
    }
