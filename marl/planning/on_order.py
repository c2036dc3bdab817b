"""On-order files: what is on its way, line by line with dates, as in the orders of a day."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from envs.omnichannel.types import BoolArray, IntArray
from marl.planning.daily.records import find_names
from marl.planning.from_data.dates import ORIGIN
from marl.planning.from_data.problems import Findings
from marl.planning.from_data.reader import Reader
from marl.planning.stock_cells import MOST_DAYS, MOST_UNITS
from marl.planning.stock_count import StockCount, StockCountSchema

REQUIRED = ("arrival_date", "to", "sku", "units")
OPTIONAL = ("from", "order_date")


@dataclass(frozen=True, kw_only=True)
class OnOrder:
    """Open lines; days are those of the scenario's calendar."""

    arrival: IntArray  # (R,)
    ordered: IntArray  # (R,) or a day that never comes, where the file does not say
    source: IntArray  # (R,) DC that sends it; -1: a supplier
    to: IntArray  # (R,) node
    sku: IntArray  # (R,)
    units: IntArray  # (R,)
    unknown: int  # lines of nodes and SKUs that the scenario does not have


def read_on_order(path: Path, schema: StockCountSchema) -> OnOrder:
    """Reads an on-order file.

    Args:
        path: arrival_date, to, sku, units, [from, order_date]; further columns are ignored, so that
            the orders of yesterday will do.
        schema: of the scenario's stock count.

    Raises:
        InputError: one line on the first problem.
    """
    reader = Reader.open(path, REQUIRED, OPTIONAL, Findings(fix=False))
    arrival = _read_days(reader, "arrival_date", schema)
    ordered = np.full(len(reader), -1)
    if reader.has("order_date"):
        ordered = _read_days(reader, "order_date", schema)
    units = reader.number("units", most=MOST_UNITS, whole=True)
    to, sku = find_names(reader, "to", schema.nodes), find_names(reader, "sku", schema.skus)
    dcs = schema.nodes[: schema.num_dcs]
    source = find_names(reader, "from", dcs) if reader.has("from") else np.full(len(reader), -1)
    reader.check()
    known = (to >= 0) & (sku >= 0)
    return OnOrder(
        arrival=arrival[known],
        ordered=ordered[known],
        source=source[known],
        to=to[known],
        sku=sku[known],
        units=units[known].astype(np.int64),
        unknown=int((~known).sum()),
    )


def add_on_order(count: StockCount, lines: OnOrder) -> StockCount:
    """Returns the count with the lines on their way.

    What is due today, or was due before, is on hand before the day opens. What was ordered from a
    DC today or later was still in its count, and leaves it.

    Args:
        count: of today.
        lines: that the count does not hold.
    """
    units = {field: array.copy() for field, array in count.units.items()}
    on_hand, in_transit = units["on_hand"][0], units["in_transit"]
    ahead = lines.arrival - count.day
    late, early = ahead < 0, ahead > len(in_transit)
    slot = np.minimum(ahead, len(in_transit)) - 1
    is_here = slot < 0
    np.add.at(on_hand, (lines.to[is_here], lines.sku[is_here]), lines.units[is_here])
    place = slot[~is_here], lines.to[~is_here], lines.sku[~is_here]
    np.add.at(in_transit, place, lines.units[~is_here])
    taken = (lines.source >= 0) & (lines.ordered >= count.day)
    np.subtract.at(on_hand, (lines.source[taken], lines.sku[taken]), lines.units[taken])
    short = int(-np.minimum(on_hand, 0).sum())
    units["on_hand"] = np.maximum(units["on_hand"], 0)
    notes = list(count.notes)

    def tell(which: BoolArray, what: str) -> None:
        if which.any():
            notes.append(f"{what}: {which.sum()} ({lines.units[which].sum()} units)")

    tell(late, "late lines on order count as due today")
    days = len(in_transit)
    tell(early, f"lines on order due after the longest lead time count as due in {days} days")
    if short:
        notes.append(f"units on order that were to leave DCs and are not there: {short}")
    if lines.unknown:
        notes.append(f"lines on order of unknown nodes or SKUs are left out: {lines.unknown}")
    read = f"{count.read}; on order: {len(lines.units)} lines, {lines.units.sum()} units"
    return replace(count, units=units, notes=tuple(notes), read=read)


def _read_days(reader: Reader, column: str, schema: StockCountSchema) -> IntArray:
    """A column's days of the calendar, (rows,): dates, or numbers where days have no dates."""
    if schema.first_day is None:
        return reader.number(column, most=MOST_DAYS, whole=True).astype(np.int64)
    days = reader.date(column) - (schema.first_day - ORIGIN).days
    return days // schema.step
