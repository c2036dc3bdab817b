"""Sales files: what was sold since the last morning, checked row by row."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from envs.errors import InputError
from envs.omnichannel.scenario import PERIOD_DAYS
from envs.omnichannel.types import IntArray
from marl.planning.daily.records import Names, Sales, find_names
from marl.planning.from_data.dates import ORIGIN
from marl.planning.from_data.problems import Findings
from marl.planning.from_data.reader import Reader

REQUIRED = ("date", "store", "sku", "units")
OPTIONAL = ("channel", "in_stock")
LONGEST = 400  # days or weeks of one file
_NAMES = {days: name for name, days in PERIOD_DAYS.items()}


def read_sales(
    path: Path,
    names: Names,
    next_day: date,
    *,
    fix: bool = False,
    step: int = 1,
    replace_from: date | None = None,
) -> Sales:
    """Reads and checks a sales file.

    Several rows of a day, store, SKU and channel are added up, as tills write them.

    Args:
        path: CSV, plain or .gz: date, store, sku, units, [channel, in_stock].
        names: of the scenario's record.
        next_day: the first day that is not known yet; rows before it are left out.
        fix: whether whole days without a row are unknown; else they are refused.
        replace_from: the first known day whose rows may replace what was learnt; None: known days
            are left out.
        step: calendar days a period: 7 where rows are those of weeks, by the first day of each.

    Raises:
        InputError: one line on the first problem.
    """
    findings = Findings(fix)
    reader = Reader.open(path, REQUIRED, OPTIONAL, findings)
    days, units = reader.date("date"), reader.units("units")
    in_stock = reader.flag("in_stock", blank=True)
    channel = _read_channel(reader, names.channels)
    store, sku = (
        find_names(reader, *pair) for pair in (("store", names.stores), ("sku", names.skus))
    )
    reader.check()
    is_known = (store >= 0) & (sku >= 0)
    if names.carried is not None:
        is_known &= names.carried[store, sku]
    known_until = next_day
    if replace_from is not None and is_known.any():
        early = is_known & (days < (replace_from - ORIGIN).days)
        message = f"{{}} can no longer be replaced; the {_NAMES[step]}s from {replace_from} on can"
        reader.note(early, "date", message)
        reader.check()
        next_day = min(next_day, ORIGIN + timedelta(int(days[is_known].min())))
    days = days - (next_day - ORIGIN).days
    reader.note(
        days % step > 0,
        "date",
        f"{{}} is not the first day of a week; weeks begin {step} days apart, one of them on "
        f"{next_day}",
    )
    days = days // step  # periods from the next one on
    is_new = is_known & (days >= 0)
    reader.note(
        ~is_known & (days >= 0) & ~is_new.any(),
        "store",
        "{} is not of the scenario, and no row is",
    )
    reader.check()
    row = np.flatnonzero(is_new)
    span = int(days[is_new].max()) + 1 if is_new.any() else 0
    if span > LONGEST:
        latest = np.flatnonzero(is_new)[[int(days[is_new].argmax())]]
        reader.note(
            latest, "date", f"{{}} is {span} {_NAMES[step]}s on from {next_day}; at most {LONGEST}"
        )
    else:
        _check_days(reader, days[is_new], span, next_day, step, np.flatnonzero(is_new))
    reader.check()
    shape = (span, len(names.stores), len(names.skus), len(names.channels))
    cell = (days[row], store[row], sku[row], channel[row])
    dense = np.zeros(shape, np.int64)
    np.add.at(dense, cell, units[row].astype(np.int64))
    stocked = np.ones(shape[:3], np.bool_)
    stocked[np.setdiff1d(np.arange(span), days[is_new])] = False
    empty = row[~in_stock[row]]
    stocked[days[empty], store[empty], sku[empty]] = False
    reported = np.zeros(shape[:2], np.bool_)
    reported[days[row], store[row]] = True
    return Sales(
        first_day=next_day,
        units=dense,
        in_stock=stocked,
        reported=reported,
        rows=len(row),
        skipped=int((is_known & ~is_new).sum()),
        unknown=int((~is_known).sum()),
        fixed=findings.fixed,
        replaced=min(span, (known_until - next_day).days // step),
    )


def _check_days(
    reader: Reader, day: IntArray, span: int, next_day: date, step: int, rows: IntArray
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


def _read_channel(reader: Reader, channels: Sequence[str]) -> IntArray:
    """Each row's channel; without a column, the only one that the record has."""
    if reader.has("channel"):
        return reader.choice("channel", tuple(channels)).astype(np.int64)
    if len(channels) > 1:
        raise InputError(
            f"--sales: '{reader.table.file}' has no column channel; the scenario's record has the "
            f"channels {', '.join(channels)}, so it is needed"
        )
    return np.zeros(len(reader), np.int64)
