"""On-order files: what is on its way, line by line with dates, as in the orders of a day."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from envs.omnichannel.types import WEEK, BoolArray, FloatArray, IntArray
from envs.omnichannel.world.allocation.supplier_limits import SupplierLimits
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
    spent: FloatArray  # (R,) money of a line that counts for its supplier's weekly budget, else 0
    supplier: IntArray  # (R,) who is paid; -1: nobody with limits
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
    suppliers = [s.name for s in schema.simulator.scenario.suppliers or ()]
    has_names = reader.has("from") and suppliers
    paid = find_names(reader, "from", suppliers) if has_names else np.full(len(reader), -1)
    return OnOrder(
        arrival=arrival[known],
        ordered=ordered[known],
        source=source[known],
        to=to[known],
        sku=sku[known],
        units=units[known].astype(np.int64),
        spent=_price(schema, paid, sku, units)[known],
        supplier=paid[known],
        unknown=int((~known).sum()),
    )


def add_on_order(count: StockCount, lines: OnOrder, schema: StockCountSchema) -> StockCount:
    """Returns the count with the lines on their way.

    What is due today, or was due before, is on hand before the day opens. What was ordered from a
    DC today or later was still in its count, and leaves it. What was ordered since Monday counts
    for the weekly budgets of its suppliers; what has arrived since is not among the lines.

    Args:
        count: of today.
        lines: that the count does not hold.
        schema: of the count.
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
    spent = _add_up_week(count, lines, schema)
    return replace(count, units=units, notes=tuple(notes), read=read, spent=spent)


def _find_limits(schema: StockCountSchema) -> SupplierLimits | None:
    """Returns what the suppliers of a stock count's scenario ask for; None without limits."""
    simulator = schema.simulator
    return SupplierLimits.from_scenario(simulator.scenario, simulator.network)


def _price(
    schema: StockCountSchema, supplier: IntArray, sku: IntArray, units: FloatArray
) -> FloatArray:
    """Money of lines, (R,); 0 of who has no limits."""
    limits = _find_limits(schema)
    if limits is None:
        return np.zeros(len(units))
    return np.where(supplier >= 0, limits.cost[supplier, sku] * units, 0.0)


def _add_up_week(count: StockCount, lines: OnOrder, schema: StockCountSchema) -> FloatArray | None:
    """Money of this week's lines by supplier, (J,); None without limits."""
    limits = _find_limits(schema)
    if limits is None:
        return None
    monday = count.day - (limits.first_weekday + count.day) % WEEK
    counts = (lines.supplier >= 0) & (lines.ordered >= monday) & (lines.ordered <= count.day)
    found = np.zeros(len(limits.budget))
    np.add.at(found, lines.supplier[counts], lines.spent[counts])
    return found


def _read_days(reader: Reader, column: str, schema: StockCountSchema) -> IntArray:
    """A column's days of the calendar, (rows,): dates, or numbers where days have no dates."""
    if schema.first_day is None:
        return reader.number(column, most=MOST_DAYS, whole=True).astype(np.int64)
    days = reader.date(column) - (schema.first_day - ORIGIN).days
    return days // schema.step
