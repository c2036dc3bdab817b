"""Today's orders as tables: one of orders and shipments, and one for each kind of shares."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import date
from operator import attrgetter

from envs.omnichannel.types import ONLINE
from envs.omnichannel.world.simulator import Simulator
from marl.planning.recommendation import Decision, Outlook, Recommendation

TableCell = str | int | float | date | None

ORDERS = "orders"
_LONGEST_NAME = 100  # of a sender in a file's name
_RETURNS = ("restock", "consolidate", "liquidate")  # lines of one decision, which share a table
_ORDER = ("source", "destination", "sku", "units", "packs", "cost", "requested", "classical")
_SHARE = ("node", "sku", "decision", "source", "destination", "share", "units", "classical")
_OUTLOOK = tuple(f.name for f in fields(Outlook) if f.name not in {"node", "sku"})
_TITLES = {"source": "from", "destination": "to"}
_TEXTS = {"from", "to", "node", "sku", "decision"}
_WHOLE = {"packs", "requested", "on_hand", "on_the_way", "owed", "position", "protection_days"}


@dataclass(frozen=True)
class Table:
    """Rows under named columns, each of one type."""

    name: str
    columns: dict[str, type]
    rows: list[list[TableCell]]


def make_tables(
    recommendation: Recommendation,
    *,
    everything: bool = False,
    without: Collection[str] = (),
) -> list[Table]:
    """Returns the orders first, then a table for each kind of shares.

    Args:
        recommendation: of today.
        everything: also the lines that are zero.
        without: tables of what the scenario does not have; see `list_unused`.
    """
    by_table: dict[str, list[Decision]] = {ORDERS: []}
    for line in recommendation.decisions:
        own = by_table.setdefault(_name_table(line), [])
        if everything or (line.units if line.share is None else line.share) > 0:
            own.append(line)
    modules = list(dict.fromkeys(m for d in recommendation.decisions for m in d.proposals))
    orders = _list_orders(recommendation, by_table.pop(ORDERS), modules)
    shares = (
        _list_shares(recommendation, name, own, modules)
        for name, own in by_table.items()
        if name not in without
    )
    return [orders, *shares]


def split_by_source(orders: Table) -> list[Table]:
    """Returns a table for each supplier and each DC that is to send something."""
    column = [*orders.columns].index("from")
    rows: dict[str, list[list[TableCell]]] = {}
    for row in orders.rows:
        rows.setdefault(str(row[column]), []).append(row)
    names: dict[str, str] = {}
    for source in rows:  # as part of a file's name, each once whatever the system's letters
        name = plain = re.sub(r"[^\w-]+", "_", source)[:_LONGEST_NAME]
        taken, number = {known.lower() for known in names.values()}, 2
        while name.lower() in taken:
            name, number = f"{plain}-{number}", number + 1
        names[source] = name
    return [Table(f"from-{names[source]}", orders.columns, own) for source, own in rows.items()]


def list_unused(simulator: Simulator) -> set[str]:
    """Names the tables of what a scenario does not have: online orders, returns."""
    scenario, unused = simulator.scenario, set()
    if not simulator.demand.scale[..., ONLINE].any():
        unused.add("online")
    if not any(category.return_rate for category in scenario.categories.values()):
        unused.add("returns")
    return unused


def _name_table(line: Decision) -> str:
    if line.share is None:
        return ORDERS
    return "returns" if line.decision in _RETURNS else line.decision


def _list_orders(found: Recommendation, lines: list[Decision], modules: list[str]) -> Table:
    """Orders and shipments: first what is sent, then why."""
    get_outlook = attrgetter(*_OUTLOOK)
    beside = {(o.node, o.sku): get_outlook(o) for o in found.outlook}
    days = dict.fromkeys(("order_date", "arrival_date"), type(found.order_date))
    columns = days | _type_columns(_ORDER, modules, _OUTLOOK) | {"units": int}
    rows = [
        [found.order_date, line.arrival_date, *own, *beside[line.node, line.sku]]
        for line, own in zip(lines, _read_lines(lines, _ORDER, modules), strict=True)
    ]
    return Table(ORDERS, columns, rows)


def _list_shares(
    found: Recommendation, name: str, lines: list[Decision], modules: list[str]
) -> Table:
    """Shares of what a day brings, and the units that are expected of it."""
    columns = {"date": type(found.order_date)} | _type_columns(_SHARE, modules)
    rows = [[found.order_date, *own] for own in _read_lines(lines, _SHARE, modules)]
    return Table(name, columns, rows)


def _type_columns(
    names: Sequence[str], modules: Sequence[str], others: Sequence[str] = ()
) -> dict[str, type]:
    titles = (_TITLES.get(name, name) for name in names)
    columns = [*titles, *(f"proposal_{m}" for m in modules), *others]
    return {c: str if c in _TEXTS else int if c in _WHOLE else float for c in columns}


def _read_lines(
    lines: list[Decision], names: Sequence[str], modules: Sequence[str]
) -> Iterator[list[TableCell]]:
    get = attrgetter(*names)
    for line in lines:
        yield [*get(line), *(line.proposals.get(m) for m in modules)]
