"""The demand file: rows checked, lines added up, returns told apart, a dense array made."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from zoneinfo import ZoneInfo

import numpy as np

from envs.errors import InputError
from envs.omnichannel.types import BoolArray, FloatArray, IntArray
from marl.planning.from_data.dataset import DemandRecords, Reading, ReturnRecords
from marl.planning.from_data.dates import ORIGIN
from marl.planning.from_data.demand_rows import ALLOWED, DemandRows, read_rows
from marl.planning.from_data.frequency import Periods, lay_out
from marl.planning.from_data.problems import Findings
from marl.planning.from_data.sources import Source

MOST_DAYS = 3650  # or weeks
FEWEST_DAYS = 28
MOST_CELLS = 30_000_000  # days x stores x SKUs x channels, a dense array
LINES_SHARE = 0.05  # of rows whose day, store and SKU have one already: from here on, lines
MEASURED_SHARE = 0.5  # of a SKU's rows with fractions: from here on, sold by weight or measure

_Shape = tuple[int, int, int, int]


def load_demand(
    source: Source,
    findings: Findings,
    known_stores: Collection[str] | None = None,
    known_skus: Collection[str] | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    zone: ZoneInfo | None = None,
    has_returns: bool = False,
    spread_months: bool = False,
) -> tuple[DemandRecords, Reading]:
    """Reads and checks a demand file.

    Args:
        source: of the file.
        findings: takes down what is wrong.
        known_stores: of the node file; None: any.
        known_skus: of the SKU file; None: any.
        columns: that the user names: ours, and the file's.
        zone: of the days, where times name a zone.
        has_returns: whether returns have a file of their own.
        spread_months: whether units of months are spread over their days, and not refused.

    Returns:
        The records, and what was read.

    Raises:
        InputError: one line on the first problem that is not cured.
    """
    rows = read_rows(source, findings, known_stores, known_skus, columns=columns or {}, zone=zone)
    reader = rows.reader
    promotion, price = reader.flag("promotion", blank=False), reader.optional_number("price")
    in_stock = reader.flag("in_stock", blank=True)
    reader.check()
    _check_frequency(rows, spread_months=spread_months)
    periods = lay_out(rows.day, rows.frequency)
    _check_span(rows, periods)
    day = periods.locate(rows.day)
    shape = (int(day.max()) + 1, len(rows.stores), len(rows.skus), len(rows.channels))
    cell = np.ravel_multi_index((day, rows.store, rows.sku, rows.channel), shape)
    has_lines, is_return = _check_rows(rows, cell, has_returns=has_returns)

    def mark(marked: BoolArray) -> BoolArray:
        return periods.repeat(_mark(marked[rows.row], day, rows, shape))

    records = DemandRecords(
        first_day=ORIGIN + timedelta(periods.first),
        stores=rows.stores,
        skus=rows.skus,
        channels=rows.channels,
        units=_carry(periods.spread(_add_up(rows, cell, shape))),
        filled=_count_gaps(cell, shape),
        promotion=mark(promotion) if reader.has("promotion") else None,
        price=_find_prices(price[rows.row], rows.sku, rows.skus) if reader.has("price") else None,
        in_stock=None if in_stock.all() else ~mark(~in_stock),
        step=periods.step,
        assumes_store_channel=not reader.has("channel"),
        returned=_gather_returns(rows, is_return, periods.begin(day)),
    )
    return records, _describe(rows, records, is_return, has_lines=has_lines, zone=zone)


def _check_frequency(rows: DemandRows, *, spread_months: bool) -> None:
    if rows.frequency != "month" or spread_months:
        return
    count = len(np.unique(rows.day))
    raise InputError(
        f"{rows.reader.table.file}: a record by month ({count} of them); one by day or week is "
        "needed: export that, or spread each month's units evenly over its days: --spread-months"
    )


def _check_span(rows: DemandRows, periods: Periods) -> None:
    """Refuses a span of time that cannot be simulated."""
    span, unit = periods.span, "days" if periods.step == 1 else "weeks"
    cells = span * len(rows.stores) * len(rows.skus) * len(rows.channels)
    note = rows.reader.note
    if span > MOST_DAYS:
        farthest = rows.row[[int(np.abs(rows.day - np.median(rows.day)).argmax())]]
        message = f"{{}} makes the records {span} {unit} long; at most {MOST_DAYS} are allowed"
        note(farthest, "date", message)
    elif span < FEWEST_DAYS:
        message = f"{{}} is the last of {span} {unit}; at least {FEWEST_DAYS} are needed"
        note(rows.row[[int(rows.day.argmax())]], "date", message)
    elif cells > MOST_CELLS:
        message = (
            f"{span} {unit} x stores x SKUs x channels are {cells} cells; at most {MOST_CELLS} are "
            "allowed"
        )
        note(rows.row[:1], "sku", message)
    rows.reader.check()


def _check_rows(rows: DemandRows, cell: IntArray, *, has_returns: bool) -> tuple[bool, BoolArray]:
    """Whether rows are lines of orders or tills, and which of them are returns."""
    has_lines = _check_lines(rows, cell)
    is_return = _check_returns(rows, has_lines=has_lines, has_returns=has_returns)
    _check_fractions(rows)
    rows.reader.check()
    return has_lines, is_return


def _check_lines(rows: DemandRows, cell: IntArray) -> bool:
    """Whether rows are lines of orders or tills, of which a day has many.

    A few rows of a day that has one already are mistakes; where every day has the same number of
    them, the whole file is there several times.
    """
    order = np.argsort(cell, kind="stable")
    again = np.sort(order[1:][cell[order][1:] == cell[order][:-1]])
    if not len(again):
        return rows.layout.has_lines or rows.dates.has_times
    counts = np.unique(cell, return_counts=True)[1]
    is_usual = len(again) > LINES_SHARE * len(cell) and counts.min() < counts.max()
    has_lines = rows.layout.has_lines or rows.dates.has_times or is_usual
    message, cure = (
        "{} has a row for this store, SKU and channel already",
        "adds up rows of the same day",
    )
    if has_lines:
        rows.reader.cure(rows.row[again], "date", message, cure)
    else:
        rows.reader.note(rows.row[again], "date", f"{message}; one a day is allowed", cure)
    return has_lines


def _check_returns(rows: DemandRows, *, has_lines: bool, has_returns: bool) -> BoolArray:
    """Which rows are returns: those below zero, unless returns have a file of their own."""
    below = rows.units < 0
    where = rows.row[below]
    message = f"{{}} is not allowed; {ALLOWED}"
    if has_returns:
        rows.reader.note(where, "units", message, "counts it as 0")
        return np.zeros_like(below)
    cure = "counts it as a return on its day"
    if has_lines:
        rows.reader.cure(where, "units", "{} is below 0", cure)
    else:
        rows.reader.note(where, "units", message, cure)
    return below


def _check_fractions(rows: DemandRows) -> None:
    """Takes down fractions: of SKUs sold by weight they are usual, of others mistakes."""
    is_fraction = rows.units != np.rint(rows.units)
    if not is_fraction.any():
        return
    counts = np.bincount(rows.sku[rows.units != 0], minlength=len(rows.skus))
    broken = np.bincount(rows.sku[is_fraction], minlength=len(rows.skus))
    measured = (broken >= MEASURED_SHARE * counts)[rows.sku]
    cure = "rounds it; the rest is carried to the next day, so that totals are kept"
    slips = rows.row[is_fraction & ~measured]
    rows.reader.note(slips, "units", f"{{}} is not allowed; {ALLOWED}", cure)
    usual = rows.row[is_fraction & measured]
    rows.reader.cure(usual, "units", "{} is of a SKU sold by weight or measure", cure)


def _add_up(rows: DemandRows, cell: IntArray, shape: _Shape) -> FloatArray:
    """Units sold by period, store, SKU and channel."""
    sold = np.where(rows.units > 0, rows.units, 0)
    dense = np.bincount(cell, weights=sold, minlength=int(np.prod(shape)))
    return dense.astype(np.float64).reshape(shape)


def _carry(dense: FloatArray) -> IntArray:
    """Whole units of each day; what rounding leaves is carried, so that no total moves."""
    if (dense == np.rint(dense)).all():
        return dense.astype(np.int64)
    # Sums of decimal fractions miss the half by an ulp; both neighbours are as near.
    total = np.rint(np.round(np.cumsum(dense, axis=0), 9))
    return np.diff(total, axis=0, prepend=0).astype(np.int64)


def _count_gaps(cell: IntArray, shape: _Shape) -> int:
    """The number of cells without a row, of the series (store, SKU, channel) that have any."""
    seen = np.zeros(shape, bool)
    seen.reshape(-1)[cell] = True
    return int((~seen & seen.any(axis=0)).sum())


def _mark(marked: BoolArray, day: IntArray, rows: DemandRows, shape: _Shape) -> BoolArray:
    """Which days of which store and SKU have a marked row in some channel, (days, S, K)."""
    marks = np.zeros(shape[:3], bool)
    marks[day[marked], rows.store[marked], rows.sku[marked]] = True
    return marks


def _find_prices(price: FloatArray, sku: IntArray, skus: list[str]) -> dict[str, float]:
    """The median price of each SKU that has one."""
    return {
        name: float(np.median(found))
        for i, name in enumerate(skus)
        if len(found := price[(sku == i) & np.isfinite(price)])
    }


def _gather_returns(rows: DemandRows, is_return: BoolArray, day: IntArray) -> ReturnRecords | None:
    chosen = np.flatnonzero(is_return)
    if not len(chosen):
        return None
    return ReturnRecords(
        day=day[chosen],
        store=rows.store[chosen],
        sku=rows.sku[chosen],
        units=np.rint(-rows.units[chosen]).astype(np.int64),
        delay=np.full(len(chosen), -1),
        table=rows.reader.table.select(rows.row[chosen]),
    )


def _describe(
    rows: DemandRows,
    records: DemandRecords,
    is_return: BoolArray,
    *,
    has_lines: bool,
    zone: ZoneInfo | None,
) -> Reading:
    units = np.where(rows.units > 0, rows.units, 0)
    return Reading(
        layout=rows.layout.name,
        about=rows.layout.about,
        has_lines=has_lines,
        frequency=rows.frequency,
        rows=rows.num_rows,
        units=float(np.round(units.sum(), 6)),
        returned_units=float(np.round(np.abs(rows.units[is_return]).sum(), 6)),
        left_out_rows=rows.left_out,
        empty_cells=rows.empty,
        first_date=records.first_day,
        last_date=records.get_date(records.num_days - 1),
        stores=len(records.stores),
        skus=len(records.skus),
        zones=tuple(sorted(rows.dates.zones)),
        zone=None if zone is None else zone.key,
        absent=records.filled,
    )
