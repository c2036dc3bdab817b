"""The rows of a demand file: read in its layout, told apart as sales, returns and others."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from zoneinfo import ZoneInfo

import numpy as np

from envs.omnichannel.types import BoolArray, FloatArray, IntArray
from envs.omnichannel.world.demand.trace_file import CHANNEL_NAMES
from marl.planning.from_data.dates import ORIGIN
from marl.planning.from_data.frequency import find_frequency
from marl.planning.from_data.layouts import Layout, choose_layout
from marl.planning.from_data.numbers import is_missing
from marl.planning.from_data.problems import Findings
from marl.planning.from_data.reader import MOST_UNITS, Dates, Reader
from marl.planning.from_data.sources import Source
from marl.planning.from_data.tables import read_layout

ALLOWED = f"whole numbers from 0 to {MOST_UNITS:,} are allowed"


@dataclass(frozen=True, kw_only=True)
class DemandRows:
    """The rows that count, and the names of what they are about."""

    reader: Reader
    layout: Layout
    dates: Dates
    frequency: str  # day, week or month
    stores: list[str]
    skus: list[str]
    channels: list[str]  # of store, online and pickup those that are recorded
    row: IntArray  # (rows,) position among all of the reader's
    day: IntArray  # (rows,) since 1970-01-01
    store: IntArray  # (rows,)
    sku: IntArray  # (rows,)
    channel: IntArray  # (rows,)
    units: FloatArray  # (rows,) below 0 where they came back
    num_rows: int  # of the file
    left_out: int  # of them
    empty: int  # cells of a wide file


def read_rows(
    source: Source,
    findings: Findings,
    known_stores: Collection[str] | None,
    known_skus: Collection[str] | None,
    *,
    columns: Mapping[str, str],
    zone: ZoneInfo | None,
) -> DemandRows:
    """Reads the rows of a demand file.

    Args:
        source: of the file.
        findings: takes down what is wrong.
        known_stores: of the node file; None: any.
        known_skus: of the SKU file; None: any.
        columns: that the user names: ours, and the file's.
        zone: of the days, where times name a zone.

    Raises:
        InputError: one line on the first problem that is not cured.
    """
    counted = _read_counted(source, columns, findings)
    reader, layout = counted.reader, counted.layout
    dates = reader.dates("date", zone=zone)
    units = reader.number(
        "units",
        least=-MOST_UNITS,
        most=MOST_UNITS,
        fix_blank=(0.0, "counts it as 0"),
        decimals=layout.decimals,
        allowed=ALLOWED,
    )
    if layout.movements:
        units = np.abs(units) * counted.sign
    channels, recorded = _read_channels(reader)
    keep = np.ones(len(reader), bool)
    stores, store = _read_members(reader, "store", known_stores, "nodes", keep)
    skus, sku = _read_members(reader, "sku", known_skus, "skus", keep)
    reader.check()
    row = np.flatnonzero(keep)
    return DemandRows(
        reader=reader,
        layout=layout,
        dates=dates,
        frequency=_tell_frequency(reader, dates.days[row], row),
        stores=stores,
        skus=skus,
        channels=recorded,
        row=row,
        day=dates.days[row],
        store=store[row],
        sku=sku[row],
        channel=channels[row],
        units=units[row],
        num_rows=counted.num_rows,
        left_out=counted.left_out + len(reader) - len(row),
        empty=counted.empty,
    )


@dataclass(frozen=True, kw_only=True)
class _Counted:
    """The rows that hold sales or returns, as texts."""

    reader: Reader
    layout: Layout
    sign: IntArray  # (rows,) -1 where the layout says that units came back, else 1
    num_rows: int  # of the file
    left_out: int  # of them
    empty: int  # cells of a wide file


def _read_counted(source: Source, columns: Mapping[str, str], findings: Findings) -> _Counted:
    table, layout = read_layout(source, partial(_choose, columns), findings)
    num_rows = len(np.unique(table.rows)) if layout.is_wide else len(table)
    empty = 0
    if layout.is_wide:  # nothing was recorded there
        texts = table.columns["units"]
        written = ~np.array([is_missing(value) for value in texts.values], bool)[texts.codes]
        empty = int((~written).sum())
        if not written.any():
            raise table.raw.refuse("all cells are empty; units are needed", "units")
        table = table.select(np.flatnonzero(written))
    reader = Reader(table, findings)
    sign = _read_signs(reader, layout)
    row = np.flatnonzero(sign)
    if len(row) < len(table):  # receipts and the like may hold what sales must not
        reader = Reader(table.select(row), findings)
    return _Counted(
        reader=reader,
        layout=layout,
        sign=sign[row],
        num_rows=num_rows,
        left_out=len(table) - len(row),
        empty=empty,
    )


def _choose(asked: Mapping[str, str], header: Sequence[str], place: str) -> Layout:
    return choose_layout(header, asked, place)


def _read_signs(reader: Reader, layout: Layout) -> IntArray:
    """1 for each row that is a sale or of which the units say, -1 for a return, 0 for others."""
    if not layout.movements:
        return np.ones(len(reader), np.int64)
    types = reader.table.columns["movement"]
    sign = np.array([layout.movements.get(value, 0) for value in types.values])[types.codes]
    if not sign.any():
        message = f"{{}} is no sale, nor is any other row; {', '.join(layout.movements)} are"
        reader.note(sign == 0, "movement", message)
        reader.check()
    return sign


def _read_channels(reader: Reader) -> tuple[IntArray, list[str]]:
    """Each row's position among the channels that are recorded, and those."""
    if not reader.has("channel"):
        return np.zeros(len(reader), np.int64), ["store"]
    chosen = reader.choice("channel", CHANNEL_NAMES)
    present = [c for c in range(len(CHANNEL_NAMES)) if (chosen == c).any()]
    position = np.searchsorted(present, chosen) if present else chosen
    return position.astype(np.int64), [CHANNEL_NAMES[c] for c in present]


def _read_members(
    reader: Reader, column: str, known: Collection[str] | None, other_file: str, keep: BoolArray
) -> tuple[list[str], IntArray]:
    """Names in order of appearance, or of the other file, and each row's position among them.

    Rows of unknown names lose their mark in `keep`.
    """
    values, codes = reader.names(column)
    if known is not None:
        unknown = np.array([value not in known for value in values])[codes]
        message = f"{{}} is not in the {other_file} file"
        reader.note(unknown, column, message, "leaves such rows out")
        keep &= ~unknown
        if not keep.any():
            reader.note(unknown, column, f"{message}, nor is any other")
        present = set(values)
        names = [name for name in known if name in present]
    else:
        first = np.full(len(values), len(codes))
        np.minimum.at(first, codes, np.arange(len(codes)))
        names = [values[i] for i in np.argsort(first)]
    position = {name: i for i, name in enumerate(names)}
    return names, np.array([position.get(value, 0) for value in values], np.int64)[codes]


def _tell_frequency(reader: Reader, days: IntArray, row: IntArray) -> str:
    """The frequency of the dates, once all of them fit it."""
    frequency, odd = find_frequency(days)
    if len(odd):
        wrong = row[np.isin(days, odd)]
        usual = {"week": "one weekday", "month": "the first or the last of a month"}[frequency]
        day = ORIGIN + timedelta(int(odd[0]))
        reader.note(
            wrong,
            "date",
            f"{{}} ({day:%A}) is not allowed; almost all dates of this file are {usual}, so it is "
            f"a record by {frequency}",
        )
        reader.check()
    return frequency
