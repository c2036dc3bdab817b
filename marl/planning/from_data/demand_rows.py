"""The rows of a demand file: read in its layout, told apart as sales, returns and others."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TypeVar
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from envs.omnichannel.types import BoolArray
from envs.omnichannel.world.demand.recorded import CHANNEL_NAMES, Counts, choose_kind
from marl.planning.from_data.columns import Numbers
from marl.planning.from_data.dates import ORIGIN
from marl.planning.from_data.frequency import find_frequency
from marl.planning.from_data.layouts import Layout, choose_layout
from marl.planning.from_data.numbers import is_missing
from marl.planning.from_data.problems import Findings
from marl.planning.from_data.reader import MOST_UNITS, Reader
from marl.planning.from_data.sources import Source
from marl.planning.from_data.tables import read_layout
from marl.planning.from_data.texts import Rows, find_first, pick

_Kind = TypeVar("_Kind", bound=np.generic)

ALLOWED = f"whole numbers from 0 to {MOST_UNITS:,} are allowed"


@dataclass(frozen=True, kw_only=True)
class DemandRows:
    """The rows that count, and the names of what they are about."""

    reader: Reader
    layout: Layout
    has_times: bool  # of day
    zones: frozenset[str]  # that the times name
    frequency: str  # day, week or month
    stores: list[str]
    skus: list[str]
    channels: list[str]  # of store, online and pickup those that are recorded
    row: Rows  # (rows,) position among all of the reader's
    day: Counts  # (rows,) since 1970-01-01
    store: Counts  # (rows,)
    sku: Counts  # (rows,)
    channel: Counts  # (rows,)
    units: Numbers  # (rows,) below 0 where they came back
    num_rows: int  # of the file
    left_out: int  # of them
    empty: int  # cells of a wide file

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.day)

    def find(self, which: Counts | BoolArray) -> Counts:
        """Returns the positions of some rows, or of marked ones, among all of the reader's."""
        return pick(self.row, np.flatnonzero(which) if which.dtype == bool else which)  # type: ignore[arg-type]

    def choose(self, values: NDArray[_Kind]) -> NDArray[_Kind]:
        """Returns those values of all of the reader's rows that are of these."""
        return values if isinstance(self.row, range) else values[self.row]


def read_rows(
    source: Source,
    findings: Findings,
    known_stores: Collection[str] | None,
    known_skus: Collection[str] | None,
    *,
    columns: Mapping[str, str],
    zone: ZoneInfo | None,
    frequency: str | None = None,
) -> DemandRows:
    """Reads the rows of a demand file.

    Args:
        source: of the file.
        findings: takes down what is wrong.
        known_stores: of the node file; None: any.
        known_skus: of the SKU file; None: any.
        columns: that the user names: ours, and the file's.
        zone: of the days, where times name a zone.
        frequency: of the dates; None: they tell.

    Raises:
        InputError: one line on the first problem that is not cured.
    """
    counted = _read_counted(source, columns, findings)
    reader, layout = counted.reader, counted.layout
    dates = reader.dates("date", zone=zone)
    units = reader.numbers(
        "units",
        least=-MOST_UNITS,
        most=MOST_UNITS,
        fix_blank=(0.0, "counts it as 0"),
        decimals=layout.decimals,
        allowed=ALLOWED,
    )
    if layout.movements:
        units = _sign(units, counted.sign)
    channels, recorded = _read_channels(reader)
    keep = np.ones(len(reader), bool)
    stores, store = _read_members(reader, "store", known_stores, "nodes", keep)
    skus, sku = _read_members(reader, "sku", known_skus, "skus", keep)
    reader.check()
    row: Rows = range(len(reader)) if keep.all() else np.flatnonzero(keep)
    whole = slice(None) if isinstance(row, range) else row
    day = dates.days[whole]
    return DemandRows(
        reader=reader,
        layout=layout,
        has_times=dates.has_times,
        zones=dates.zones,
        frequency=frequency or _tell_frequency(reader, day, row),
        stores=stores,
        skus=skus,
        channels=recorded,
        row=row,
        day=day,
        store=store[whole],
        sku=sku[whole],
        channel=channels[whole],
        units=units.select(row),
        num_rows=counted.num_rows,
        left_out=counted.left_out + len(reader) - len(row),
        empty=counted.empty,
    )


@dataclass(frozen=True, kw_only=True)
class _Counted:
    """The rows that hold sales or returns, as texts."""

    reader: Reader
    layout: Layout
    sign: Counts  # (rows,) -1 where the layout says that units came back, else 1
    num_rows: int  # of the file
    left_out: int  # of them
    empty: int  # cells of a wide file


def _read_counted(source: Source, columns: Mapping[str, str], findings: Findings) -> _Counted:
    table, layout = read_layout(source, partial(_choose, columns), findings)
    num_rows = len(table) // max(len(layout.dates), 1)
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


def _read_signs(reader: Reader, layout: Layout) -> Counts:
    """1 for each row that is a sale or of which the units say, -1 for a return, 0 for others."""
    if not layout.movements:
        return np.ones(len(reader), np.int8)
    types = reader.table.columns["movement"]
    known = [layout.movements.get(value, 0) for value in types.values]
    sign = np.array(known, np.int8)[types.codes]
    if not sign.any():
        message = f"{{}} is no sale, nor is any other row; {', '.join(layout.movements)} are"
        reader.note(sign == 0, "movement", message)
        reader.check()
    return sign


def _sign(units: Numbers, sign: Counts) -> Numbers:
    """The sizes of the numbers, below 0 where the sign of their row is."""
    size, codes = np.abs(units.values), units.codes.astype(np.int32)
    return Numbers(values=np.concatenate([size, -size]), codes=codes + len(size) * (sign < 0))


def _read_channels(reader: Reader) -> tuple[Counts, list[str]]:
    """Each row's position among the channels that are recorded, and those."""
    if not reader.has("channel"):
        return np.zeros(len(reader), np.int8), ["store"]
    chosen = reader.choice("channel", CHANNEL_NAMES)
    present = [c for c in range(len(CHANNEL_NAMES)) if (chosen == c).any()]
    position = np.zeros(len(CHANNEL_NAMES), np.int8)
    position[present] = range(len(present))
    return position[chosen], [CHANNEL_NAMES[c] for c in present]


def _read_members(
    reader: Reader, column: str, known: Collection[str] | None, other_file: str, keep: BoolArray
) -> tuple[list[str], Counts]:
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
        names = [values[i] for i in np.argsort(find_first(codes, len(values)))]
    position = {name: i for i, name in enumerate(names)}
    recode = [position.get(value, 0) for value in values]
    return names, np.array(recode, choose_kind(len(names)))[codes]


def _tell_frequency(reader: Reader, days: Counts, row: Rows) -> str:
    """The frequency of the dates, once all of them fit it."""
    frequency, odd = find_frequency(days)
    if len(odd):
        wrong = pick(row, np.flatnonzero(np.isin(days, odd)))
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
