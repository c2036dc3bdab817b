"""The demand file: rows checked, lines added up, returns told apart, a dense array made."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from zoneinfo import ZoneInfo

import numpy as np

from envs.errors import InputError
from envs.omnichannel.types import BoolArray
from envs.omnichannel.world.demand.recorded import MOST_CELLS, Counts
from marl.planning.from_data.cells import Cells, add_up, find_prices, locate_cells
from marl.planning.from_data.dataset import DemandRecords, Reading, ReturnRecords
from marl.planning.from_data.dates import ORIGIN
from marl.planning.from_data.demand_rows import ALLOWED, DemandRows, read_rows
from marl.planning.from_data.frequency import Periods, find_distinct, lay_out
from marl.planning.from_data.problems import Findings
from marl.planning.from_data.sources import Source
from marl.planning.from_data.texts import count_codes

MOST_DAYS = 3650  # or weeks
FEWEST_DAYS = 28
LINES_SHARE = 0.05  # of rows whose day, store and SKU have one already: from here on, lines
MEASURED_SHARE = 0.5  # of a SKU's rows with fractions: from here on, sold by weight or measure


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
    promotion = reader.flag("promotion", blank=False) if reader.has("promotion") else None
    price = reader.numbers("price", blank=np.nan) if reader.has("price") else None
    in_stock = reader.flag("in_stock", blank=True) if reader.has("in_stock") else None
    reader.check()
    _check_frequency(rows, spread_months=spread_months)
    periods = lay_out(rows.day, rows.frequency)
    _check_span(rows, periods)
    cells = locate_cells(rows, periods)
    has_lines, is_return = check_rows(rows, cells, has_returns=has_returns)

    def mark(marked: BoolArray) -> BoolArray:
        return periods.repeat(cells.mark(rows, rows.choose(marked)))

    records = DemandRecords(
        first_day=ORIGIN + timedelta(periods.first),
        stores=rows.stores,
        skus=rows.skus,
        channels=rows.channels,
        units=add_up(rows, cells, periods),
        filled=cells.count_gaps(),
        promotion=None if promotion is None else mark(promotion),
        price=None if price is None else find_prices(rows, price.select(rows.row)),
        in_stock=None if in_stock is None or in_stock.all() else ~mark(~in_stock),
        step=periods.step,
        assumes_store_channel=not reader.has("channel"),
        returned=_gather_returns(rows, is_return, periods.begin(cells.day)),
    )
    return records, _describe(
        rows, records, has_lines=has_lines, has_returns=has_returns, zone=zone
    )


def _check_frequency(rows: DemandRows, *, spread_months: bool) -> None:
    if rows.frequency != "month" or spread_months:
        return
    count = len(find_distinct(rows.day))
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
        farthest = rows.find(np.abs(rows.day - np.median(rows.day)).argmax(axis=0, keepdims=True))
        message = f"{{}} makes the records {span} {unit} long; at most {MOST_DAYS} are allowed"
        note(farthest, "date", message)
    elif span < FEWEST_DAYS:
        message = f"{{}} is the last of {span} {unit}; at least {FEWEST_DAYS} are needed"
        note(rows.find(rows.day.argmax(axis=0, keepdims=True)), "date", message)
    elif cells > MOST_CELLS:
        message = (
            f"{span} {unit} x stores x SKUs x channels are {cells} cells; at most {MOST_CELLS} are "
            "allowed"
        )
        note(rows.find(np.zeros(1, np.int64)), "sku", message)
    rows.reader.check()


def check_rows(
    rows: DemandRows, cells: Cells, *, has_returns: bool = False, may_repeat: bool = False
) -> tuple[bool, BoolArray]:
    """Returns whether rows are lines of orders or tills, and which of them are returns.

    Args:
        rows: to check.
        cells: of the rows.
        has_returns: whether returns have a file of their own.
        may_repeat: whether several rows of a cell are none to speak of.

    Raises:
        InputError: one line on the first problem that is not cured.
    """
    has_lines = _check_lines(rows, cells, may_repeat=may_repeat)
    is_return = _check_returns(rows, has_lines=has_lines, has_returns=has_returns)
    _check_fractions(rows)
    rows.reader.check()
    return has_lines, is_return


def _check_lines(rows: DemandRows, cells: Cells, *, may_repeat: bool) -> bool:
    """Whether rows are lines of orders or tills, of which a day has many.

    A few rows of a day that has one already are mistakes; where every day has the same number of
    them, the whole file is there several times.
    """
    again = len(rows) - cells.count
    if not again:
        return rows.layout.has_lines or rows.has_times
    is_usual = again > LINES_SHARE * len(rows) and cells.fewest < cells.most
    has_lines = rows.layout.has_lines or rows.has_times or is_usual
    if may_repeat:
        return has_lines
    message, cure = (
        "{} has a row for this store, SKU and channel already",
        "adds up rows of the same day",
    )
    where = rows.find(cells.find_again())
    if has_lines:
        rows.reader.cure(where, "date", message, cure)
    else:
        rows.reader.note(where, "date", f"{message}; one a day is allowed", cure)
    return has_lines


def _check_returns(rows: DemandRows, *, has_lines: bool, has_returns: bool) -> BoolArray:
    """Which rows are returns: those below zero, unless returns have a file of their own."""
    below: BoolArray = (rows.units.values < 0)[rows.units.codes]
    where = rows.find(below)
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
    units = rows.units
    broken = units.values != np.rint(units.values)
    if not broken.any():
        return
    is_fraction: BoolArray = broken[units.codes]
    counts = count_codes(rows.sku[(units.values != 0)[units.codes]], len(rows.skus))
    fractions = count_codes(rows.sku[is_fraction], len(rows.skus))
    measured = (fractions >= MEASURED_SHARE * counts)[rows.sku]
    cure = "rounds it; the rest is carried to the next day, so that totals are kept"
    slips = rows.find(is_fraction & ~measured)
    rows.reader.note(slips, "units", f"{{}} is not allowed; {ALLOWED}", cure)
    usual = rows.find(is_fraction & measured)
    rows.reader.cure(usual, "units", "{} is of a SKU sold by weight or measure", cure)


def _gather_returns(rows: DemandRows, is_return: BoolArray, day: Counts) -> ReturnRecords | None:
    chosen = np.flatnonzero(is_return)
    if not len(chosen):
        return None
    units = rows.units.values[rows.units.codes[chosen]]
    return ReturnRecords(
        day=day[chosen].astype(np.int64),
        store=rows.store[chosen].astype(np.int64),
        sku=rows.sku[chosen].astype(np.int64),
        units=np.rint(-units).astype(np.int64),
        delay=np.full(len(chosen), -1),
        table=rows.reader.table.select(rows.find(chosen)),
    )


def _describe(
    rows: DemandRows,
    records: DemandRecords,
    *,
    has_lines: bool,
    has_returns: bool,
    zone: ZoneInfo | None,
) -> Reading:
    units = rows.units.values
    by_number = units * count_codes(rows.units.codes, len(units))
    returned = 0.0 if has_returns else by_number[units < 0].sum()
    return Reading(
        layout=rows.layout.name,
        about=rows.layout.about,
        has_lines=has_lines,
        frequency=rows.frequency,
        rows=rows.num_rows,
        units=float(np.round(by_number[units > 0].sum(), 6)),
        returned_units=float(np.round(np.abs(returned), 6)),
        left_out_rows=rows.left_out,
        empty_cells=rows.empty,
        first_date=records.first_day,
        last_date=records.get_date(records.num_days - 1),
        stores=len(records.stores),
        skus=len(records.skus),
        zones=tuple(sorted(rows.zones)),
        zone=None if zone is None else zone.key,
        absent=records.filled,
    )
