"""Sales files: what was sold since the last morning, read as `from-data` reads demand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from envs.errors import InputError
from envs.omnichannel.scenario import PERIOD_DAYS
from envs.omnichannel.types import BoolArray, IntArray
from envs.omnichannel.world.demand.recorded import Counts
from marl.planning.daily.records import Names, Sales
from marl.planning.from_data.cells import add_up, locate_cells
from marl.planning.from_data.check_demand import check_rows
from marl.planning.from_data.dates import ORIGIN
from marl.planning.from_data.demand_rows import DemandRows, read_rows
from marl.planning.from_data.frequency import Periods
from marl.planning.from_data.problems import Findings
from marl.planning.from_data.reader import Reader
from marl.planning.from_data.sources import Source

LONGEST = 400  # days or weeks of one file
_NAMES = {days: name for name, days in PERIOD_DAYS.items()}


def read_sales(
    source: Source,
    names: Names,
    next_day: date,
    *,
    fix: bool = False,
    step: int = 1,
    replace_from: date | None = None,
    columns: Mapping[str, str] | None = None,
    zone: ZoneInfo | None = None,
) -> Sales:
    """Reads and checks a sales file.

    Several rows of a day, store, SKU and channel are added up, as tills write them.

    Args:
        source: of any layout and kind that `from-data` reads.
        names: of the scenario's record.
        next_day: the first day that is not known yet; rows before it are left out.
        fix: whether whole days without a row are unknown, and what `from-data` cures is cured; else
            both are refused.
        step: calendar days a period: 7 where rows are those of weeks, by the first day of each.
        replace_from: the first known day whose rows may replace what was learnt; None: known days
            are left out.
        columns: that the user names: ours, and the file's.
        zone: of the days, where times name a zone.

    Raises:
        InputError: one line on the first problem.
    """
    findings = Findings(fix)
    rows = read_rows(
        source, findings, None, None, columns=columns or {}, zone=zone, frequency=_NAMES[step]
    )
    reader, first = rows.reader, next_day
    in_stock = rows.choose(reader.flag("in_stock", blank=True))
    channel = _find_channels(rows, names.channels)
    reader.check()
    store, sku = (
        _recode(rows.stores, names.stores, rows.store),
        _recode(rows.skus, names.skus, rows.sku),
    )
    is_known: BoolArray = (store >= 0) & (sku >= 0)
    if names.carried is not None:
        is_known &= names.carried[store, sku]
    if replace_from is not None and is_known.any():
        early = is_known & (rows.day < (replace_from - ORIGIN).days)
        message = f"{{}} can no longer be replaced; the {_NAMES[step]}s from {replace_from} on can"
        reader.note(rows.find(early), "date", message)
        reader.check()
        first = min(next_day, ORIGIN + timedelta(int(rows.day[is_known].min())))
    days = _count_periods(rows, first, step)
    is_new = is_known & (days >= 0)
    unknown = ~is_known & (days >= 0) & ~is_new.any()
    reader.note(rows.find(unknown), "store", "{} is not of the scenario, and no row is")
    reader.check()
    chosen = np.flatnonzero(is_new)
    span = _check_span(rows, chosen, days[chosen], first, step)
    own = replace(
        rows,
        stores=[*names.stores],
        skus=[*names.skus],
        channels=[*names.channels],
        row=rows.find(chosen),
        day=rows.day[chosen],
        store=store[chosen],
        sku=sku[chosen],
        channel=channel[chosen],
        units=rows.units.select(chosen),
    )
    return replace(
        _gather(own, ~in_stock[chosen], first, step, span, findings),
        skipped=int((is_known & ~is_new).sum()),
        unknown=int((~is_known).sum()),
        fixed=findings.fixed,
        replaced=min(span, (next_day - first).days // step),
    )


def _count_periods(rows: DemandRows, first: date, step: int) -> Counts:
    """Each row's period from the first one on, which begins on a day of this record."""
    days = rows.day - (first - ORIGIN).days
    rows.reader.note(
        rows.find(days % step > 0),
        "date",
        f"{{}} is not the first day of a week; weeks begin {step} days apart, one of them on "
        f"{first}",
    )
    return days // step


def _check_span(rows: DemandRows, chosen: IntArray, days: Counts, first: date, step: int) -> int:
    """The periods of the file that are to be learnt, none of which is without a row."""
    span = int(days.max()) + 1 if len(days) else 0
    if span > LONGEST:
        message = f"{{}} is {span} {_NAMES[step]}s on from {first}; at most {LONGEST}"
        rows.reader.note(rows.find(chosen[[int(days.argmax())]]), "date", message)
    else:
        _check_days(rows.reader, days, span, first, step, rows.find(chosen))
    rows.reader.check()
    return span


def _gather(
    rows: DemandRows, is_empty: BoolArray, first: date, step: int, span: int, findings: Findings
) -> Sales:
    """The sales of the rows, all of which count."""
    shape = (span, len(rows.stores), len(rows.skus), len(rows.channels))
    units, returned = np.zeros(shape, np.int64), 0.0
    stocked, reported = np.ones(shape[:3], np.bool_), np.zeros(shape[:2], np.bool_)
    if len(rows):
        periods = Periods(first=(first - ORIGIN).days, step=step, span=span)
        cells = locate_cells(rows, periods)
        _, is_return = check_rows(rows, cells, may_repeat=True)
        units[:] = add_up(rows, cells, periods)
        returned = -float(rows.units.values[rows.units.codes[is_return]].sum())
        stocked[np.setdiff1d(np.arange(span), cells.day)] = False
        stocked[cells.day[is_empty], rows.store[is_empty], rows.sku[is_empty]] = False
        reported[cells.day, rows.store] = True
    return Sales(
        first_day=first,
        units=units,
        in_stock=stocked,
        reported=reported,
        rows=len(rows),
        returned=returned,
        skipped=0,
        unknown=0,
        fixed=findings.fixed,
    )


def _check_days(
    reader: Reader, day: Counts, span: int, next_day: date, step: int, rows: Counts
) -> None:
    """Takes down days between the known ones and the last one on which nothing at all was sold."""
    missing = np.setdiff1d(np.arange(span), day)
    if not len(missing):
        return
    after = rows[day > missing[0]]
    reader.note_missing(
        int(after[0]),
        "date",
        f"no row for {next_day + timedelta(int(missing[0]) * step)}, which is to be learnt next; "
        f"each {_NAMES[step]} needs one",
        len(missing),
        f"takes such {_NAMES[step]}s for unknown: they teach nothing",
    )


def _recode(found: Sequence[str], known: Sequence[str], codes: Counts) -> Counts:
    """Each row's position among the known names; -1 where it is none of them."""
    position = {name: i for i, name in enumerate(known)}
    recode: Counts = np.array([position.get(name, -1) for name in found], np.int32)
    return recode[codes]


def _find_channels(rows: DemandRows, known: Sequence[str]) -> Counts:
    """Each row's channel; without a column, the only one that the record has."""
    if not rows.reader.has("channel"):
        if len(known) > 1:
            raise InputError(
                f"--sales: '{rows.reader.table.file}' has no column channel; the scenario's record "
                f"has the channels {', '.join(known)}, so it is needed"
            )
        return rows.channel
    channel = _recode(rows.channels, known, rows.channel)
    message = f"{{}} is not a channel of the record; allowed: {', '.join(known)}"
    rows.reader.note(rows.find(channel < 0), "channel", message)
    return channel
