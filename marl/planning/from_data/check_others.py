"""The other files: returns, SKUs, nodes and lanes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from envs.omnichannel.types import FloatArray
from marl.planning.from_data.check_demand import UNITS
from marl.planning.from_data.dataset import (
    DemandRecords,
    LaneRecord,
    NodeRecord,
    ReturnRecords,
    SkuRecord,
)
from marl.planning.from_data.parsing import (
    NumberRule,
    parse_choice,
    parse_dates,
    parse_names,
    parse_numbers,
)
from marl.planning.from_data.problems import Findings
from marl.planning.from_data.tables import Table, read_table

SUPPLIER = "supplier"  # where lanes into a DC begin
_AMOUNT = NumberRule(0, 1e9, blank=np.nan)
_CAPACITY = NumberRule(1, 1e9, blank=np.nan)
_LEAD_TIME = NumberRule(0, 180, whole=True, blank=np.nan, fix_fraction="rounds it")
_SHELF_LIFE = NumberRule(1, 36500, whole=True, blank=np.nan, fix_fraction="rounds it")
_KINDS = ("dc", "store")
_ORIGIN_ORDINAL = 719163  # 1970-01-01


def load_returns(path: Path, demand: DemandRecords, findings: Findings) -> ReturnRecords:
    """Reads and checks a file of returns.

    Raises:
        InputError: one line on the first problem that is not cured.
    """
    table = read_table(path, ("date", "store", "sku", "units"), ("channel", "sale_date"), findings)
    day, _ = parse_dates(table, "date", findings)
    units, _ = parse_numbers(table, "units", UNITS, findings)
    delay = np.full(len(table), -1)
    if "sale_date" in table.columns:
        sold, dated = parse_dates(table, "sale_date", findings, blank=True)
        early = np.flatnonzero(dated & (sold > day))
        if len(early):
            message = "{} is after the return; the day of the sale is needed"
            findings.add(table.find_problem(early, "sale_date", message, "ignores the sale date"))
        delay = np.where(dated & (sold <= day), day - sold, -1)
    positions = []
    known = np.ones(len(table), bool)
    for column, names in (("store", demand.stores), ("sku", demand.skus)):
        values, codes = parse_names(table, column, findings)
        index = {name: i for i, name in enumerate(names)}
        position = np.array([index.get(value, -1) for value in values], np.int64)[codes]
        wrong = np.flatnonzero(position < 0)
        if len(wrong):
            message = "{} is not in the demand file"
            findings.add(table.find_problem(wrong, column, message, "leaves such rows out"))
        known &= position >= 0
        positions.append(position)
    findings.check()
    rows = np.flatnonzero(known)
    return ReturnRecords(
        day=day[rows] - (demand.first_day.toordinal() - _ORIGIN_ORDINAL),
        store=positions[0][rows],
        sku=positions[1][rows],
        units=units[rows].astype(np.int64),
        delay=delay[rows],
        table=table.select(rows),
    )


def load_skus(path: Path, findings: Findings) -> dict[str, SkuRecord]:
    """Reads and checks a SKU file; by name, in the file's order.

    Raises:
        InputError: one line on the first problem that is not cured.
    """
    optional = ("category", "price", "unit_cost", "shelf_life")
    table = read_table(path, ("sku",), optional, findings)
    names, kept = _parse_unique(table, "sku", findings)
    rules = {"price": _AMOUNT, "unit_cost": _AMOUNT, "shelf_life": _SHELF_LIFE}
    numbers = {
        column: _parse_optional(table, column, rule, findings) for column, rule in rules.items()
    }
    categories = _parse_texts(table, "category")
    long = np.flatnonzero([len(category or "") > 100 for category in categories])
    if len(long):
        findings.add(table.find_problem(long, "category", "{} is too long; 100 characters are"))
    findings.check()
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
    table = read_table(path, ("node", "kind"), ("parent", "capacity"), findings)
    names, kept = _parse_unique(table, "node", findings)
    kinds = parse_choice(table, "kind", _KINDS, findings)
    findings.check()  # what follows counts the kinds
    capacities = _parse_optional(table, "capacity", _CAPACITY, findings)
    parents = _parse_texts(table, "parent")
    dcs = [names[row] for row in kept if kinds[row] == 0]
    orphans = [
        row
        for row in kept
        if kinds[row] == 1 and (len(dcs) > 1 if parents[row] is None else parents[row] not in dcs)
    ]
    if not dcs:
        findings.add(table.find_problem(np.array([0]), "kind", "no node is a dc; one is needed"))
    elif orphans:
        column = "parent" if "parent" in table.columns else "node"
        message = f"the parent of this store is no dc; allowed: {', '.join(dcs)}"
        findings.add(table.find_problem(np.array(orphans), column, message))
    if not any(kinds[row] == 1 for row in kept):
        findings.add(table.find_problem(np.array([0]), "kind", "no node is a store"))
    findings.check()
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
    table = read_table(path, ("from", "to"), optional, findings)
    (starts, start), (ends, end) = (parse_names(table, c, findings) for c in ("from", "to"))
    distance = _parse_optional(table, "distance", _AMOUNT, findings)
    lead_time = _parse_optional(table, "lead_time", _LEAD_TIME, findings)
    cost = _parse_optional(table, "cost", _AMOUNT, findings)
    found: dict[tuple[str, str], LaneRecord] = {}
    parents: dict[str, str] = {}
    wrong: dict[tuple[str, str, str], list[int]] = {}
    sources = {starts[i] for i in start.tolist()} - {SUPPLIER}
    for row in range(len(table)):
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
            lead_time=None if days is None else int(days),
            cost=_to_optional(cost[row]),
        )
    for (column, message, fix), rows in wrong.items():
        findings.add(table.find_problem(np.array(rows), column, message, fix))
    findings.check()
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


def _parse_unique(table: Table, column: str, findings: Findings) -> tuple[list[str], list[int]]:
    """Each row's name, and the rows on which a name stands for the first time."""
    values, codes = parse_names(table, column, findings)
    first = np.unique(codes, return_index=True)[1]
    again = np.setdiff1d(np.arange(len(codes)), first)
    if len(again):
        message = "{} is there twice; each is allowed once"
        findings.add(table.find_problem(again, column, message, "keeps the first row"))
    return [values[code] for code in codes.tolist()], sorted(first.tolist())


def _parse_optional(table: Table, column: str, rule: NumberRule, findings: Findings) -> FloatArray:
    """A column's numbers, (rows,), NaN where there are none."""
    if column not in table.columns:
        return np.full(len(table), np.nan)
    return parse_numbers(table, column, rule, findings)[0]


def _parse_texts(table: Table, column: str) -> list[str | None]:
    """Each row's text; None where there is none."""
    if column not in table.columns:
        return [None] * len(table)
    texts = table.columns[column]
    return [texts[row] or None for row in range(len(table))]


def _to_optional(number: float) -> float | None:
    return None if np.isnan(number) else float(number)
