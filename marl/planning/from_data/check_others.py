"""The other files: returns, SKUs, nodes and lanes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from marl.planning.from_data.dataset import (
    DemandRecords,
    LaneRecord,
    NodeRecord,
    ReturnRecords,
    SkuRecord,
)
from marl.planning.from_data.dates import NO_DATE
from marl.planning.from_data.problems import Findings
from marl.planning.from_data.reader import LONGEST_NAME, Reader

SUPPLIER = "supplier"  # where lanes into a DC begin
_KINDS = ("dc", "store")


def load_returns(path: Path, demand: DemandRecords, findings: Findings) -> ReturnRecords:
    """Reads and checks a file of returns.

    Raises:
        InputError: one line on the first problem that is not cured.
    """
    reader = Reader.open(
        path, ("date", "store", "sku", "units"), ("channel", "sale_date"), findings
    )
    day = reader.date("date")
    units = reader.units("units")
    delay = np.full(len(reader), -1)
    if reader.has("sale_date"):
        sold = reader.date("sale_date", blank=True)
        message = "{} is after the return; the day of the sale is needed"
        reader.note(sold > day, "sale_date", message, "ignores the sale date")
        delay = np.where((sold != NO_DATE) & (sold <= day), (day - sold) // demand.step, -1)
    positions = []
    known = np.ones(len(reader), bool)
    for column, names in (("store", demand.stores), ("sku", demand.skus)):
        values, codes = reader.names(column)
        index = {name: i for i, name in enumerate(names)}
        position = np.array([index.get(value, -1) for value in values], np.int64)[codes]
        reader.note(position < 0, column, "{} is not in the demand file", "leaves such rows out")
        known &= position >= 0
        positions.append(position)
    reader.check()
    rows = np.flatnonzero(known)
    return ReturnRecords(
        day=demand.count_periods(day[rows]).astype(np.int64),
        store=positions[0][rows],
        sku=positions[1][rows],
        units=units[rows].astype(np.int64),
        delay=delay[rows],
        table=reader.table.select(rows),
    )


def load_skus(path: Path, findings: Findings) -> dict[str, SkuRecord]:
    """Reads and checks a SKU file; by name, in the file's order.

    Raises:
        InputError: one line on the first problem that is not cured.
    """
    optional = ("category", "price", "unit_cost", "shelf_life", "pack", "weight")
    reader = Reader.open(path, ("sku",), optional, findings)
    names, kept = reader.unique_names("sku")
    numbers = {
        "price": reader.optional_number("price"),
        "unit_cost": reader.optional_number("unit_cost"),
        "shelf_life": reader.optional_number("shelf_life", least=1, most=36500, whole=True),
        "pack": reader.optional_number("pack", least=1, whole=True),
        "weight": reader.optional_number("weight"),
    }
    categories = reader.texts("category")
    long = np.array([len(category or "") > LONGEST_NAME for category in categories])
    reader.note(long, "category", f"{{}} is too long; {LONGEST_NAME} characters are")
    reader.check()
    return {
        names[row]: SkuRecord(
            categories[row], **{column: _to_optional(v[row]) for column, v in numbers.items()}
        )
        for row in kept
    }


def load_nodes(path: Path, findings: Findings) -> dict[str, NodeRecord]:
    """Reads and checks a node file; by name, in the file's order.

    Raises:
        InputError: one line on the first problem that is not cured.
    """
    reader = Reader.open(path, ("node", "kind"), ("parent", "capacity"), findings)
    names, kept = reader.unique_names("node")
    kinds = reader.choice("kind", _KINDS)
    reader.check()  # what follows counts the kinds
    capacities = reader.optional_number("capacity", least=1)
    parents = reader.texts("parent")
    dcs = [names[row] for row in kept if kinds[row] == 0]
    orphans = [
        row
        for row in kept
        if kinds[row] == 1 and (len(dcs) > 1 if parents[row] is None else parents[row] not in dcs)
    ]
    if not dcs:
        reader.note(np.array([0]), "kind", "no node is a dc; one is needed")
    elif orphans:
        message = f"the parent of this store is no dc; allowed: {', '.join(dcs)}"
        reader.note(np.array(orphans), "parent" if reader.has("parent") else "node", message)
    if not any(kinds[row] == 1 for row in kept):
        reader.note(np.array([0]), "kind", "no node is a store")
    reader.check()
    return {
        names[row]: NodeRecord(
            kind=_KINDS[kinds[row]],
            parent=(parents[row] or dcs[0]) if kinds[row] == 1 else None,
            capacity=_to_optional(capacities[row]),
        )
        for row in kept
    }


def load_lanes(
    path: Path,
    demand: DemandRecords,
    nodes: dict[str, NodeRecord] | None,
    findings: Findings,
) -> dict[tuple[str, str], LaneRecord]:
    """Reads and checks a lane file: from `supplier` to a DC, or from a store's parent to it.

    Raises:
        InputError: one line on the first problem that is not cured.
    """
    optional = ("distance", "lead_time", "cost")
    reader = Reader.open(path, ("from", "to"), optional, findings)
    (starts, start), (ends, end) = reader.names("from"), reader.names("to")
    distance = reader.optional_number("distance")
    lead_time = reader.optional_number("lead_time", most=180, whole=True)
    cost = reader.optional_number("cost")
    found: dict[tuple[str, str], LaneRecord] = {}
    parents: dict[str, str] = {}
    wrong: dict[tuple[str, str, str], list[int]] = {}
    sources = {starts[i] for i in start.tolist()} - {SUPPLIER}
    for row in range(len(reader)):
        lane = (starts[start[row]], ends[end[row]])
        problem = _judge_lane(lane, found, parents, sources, demand.stores, nodes)
        if problem is not None:
            wrong.setdefault(problem, []).append(row)
            continue
        if lane[0] != SUPPLIER:
            parents[lane[1]] = lane[0]
        days = _to_optional(lead_time[row])
        found[lane] = LaneRecord(
            distance=_to_optional(distance[row]),
            lead_time=None if days is None else -(int(-days) // demand.step),
            cost=_to_optional(cost[row]),
        )
    for (column, message, fix), rows in wrong.items():
        reader.note(np.array(rows), column, message, fix)
    reader.check()
    return found


def _judge_lane(
    lane: tuple[str, str],
    found: dict[tuple[str, str], LaneRecord],
    parents: dict[str, str],
    sources: set[str],
    stores: list[str],
    nodes: dict[str, NodeRecord] | None,
) -> tuple[str, str, str] | None:
    """Column, message and cure of what is wrong with a lane; None if nothing is."""
    start, end = lane
    cure = "leaves such rows out"
    if lane in found:
        return "to", "{} has this lane already; each is allowed once", "keeps the first row"
    if nodes is None:
        known = end in sources if start == SUPPLIER else end in stores
        parent = parents.get(end, start)
    else:
        node = nodes.get(end)
        known = node is not None and (node.kind == "dc") == (start == SUPPLIER)
        parent = (node.parent if node else None) or start
    if nodes is None and start in stores:
        return "from", "{} is a store; a DC or 'supplier' is needed", cure
    if not known:
        return "to", f"{{}} is not allowed; a {'dc' if start == SUPPLIER else 'store'} is", cure
    if start not in {SUPPLIER, parent}:
        return "from", "{} does not supply this store; its parent or 'supplier' is needed", cure
    return None


def _to_optional(number: float) -> float | None:
    return None if np.isnan(number) else float(number)
