"""The demand file: every row read and checked, gaps and duplicates found, a dense array made."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from envs.omnichannel.types import FloatArray, IntArray
from envs.omnichannel.world.demand.trace_file import CHANNEL_NAMES
from marl.planning.from_data.cells import ORIGIN
from marl.planning.from_data.dataset import DemandRecords
from marl.planning.from_data.problems import Findings
from marl.planning.from_data.reader import Reader
from marl.planning.from_data.tables import BoolArray

REQUIRED = ("date", "store", "sku", "units")
OPTIONAL = ("channel", "promotion", "price")
MOST_DAYS = 3650
FEWEST_DAYS = 28
MOST_CELLS = 30_000_000  # days x stores x SKUs x channels, a dense array

_PROMOTION_WORDS = {"": 0, "0": 0, "no": 0, "false": 0, "1": 1, "yes": 1, "true": 1}


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """The rows that are kept, as positions."""

    row: IntArray  # (rows,) of the file
    day: IntArray  # (rows,) counted from the first day
    store: IntArray
    sku: IntArray
    channel: IntArray
    units: IntArray


def load_demand(
    path: Path,
    findings: Findings,
    known_stores: Collection[str] | None,
    known_skus: Collection[str] | None,
) -> DemandRecords:
    """Reads and checks a demand file.

    Args:
        path: of the file.
        findings: takes down what is wrong.
        known_stores: of the node file; None: any.
        known_skus: of the SKU file; None: any.

    Raises:
        InputError: one line on the first problem that is not cured.
    """
    reader = Reader(path, REQUIRED, OPTIONAL, findings)
    days = reader.date("date")
    units = reader.units("units")
    channels, recorded = _read_channels(reader)
    promotion = _read_promotions(reader)
    price = reader.optional_number("price")
    keep = np.ones(len(reader), bool)
    stores, store = _read_members(reader, "store", known_stores, "nodes", keep)
    skus, sku = _read_members(reader, "sku", known_skus, "skus", keep)
    reader.check()
    row = np.flatnonzero(keep)
    first = _check_span(reader, row, days, len(stores) * len(skus) * len(recorded))
    rows = _Rows(
        row=row,
        day=days[row] - first,
        store=store[row],
        sku=sku[row],
        channel=channels[row],
        units=units[row].astype(np.int64),
    )
    shape = (int(rows.day.max()) + 1, len(stores), len(skus), len(recorded))
    cell = np.ravel_multi_index((rows.day, rows.store, rows.sku, rows.channel), shape)
    first_day = ORIGIN + timedelta(first)
    _check_duplicates(reader, rows, cell)
    names = (stores, skus, recorded)
    filled = _check_gaps(reader, rows, cell, shape, first_day, names)
    reader.check()
    dense = np.bincount(cell, weights=rows.units, minlength=int(np.prod(shape)))
    return DemandRecords(
        first_day=first_day,
        stores=stores,
        skus=skus,
        channels=recorded,
        units=dense.astype(np.int64).reshape(shape),
        filled=filled,
        promotion=None if promotion is None else _mark_promotions(promotion[row], rows, shape),
        price=_find_prices(price[row], rows.sku, skus) if reader.has("price") else None,
        assumes_store_channel=not reader.has("channel"),
    )


def _read_channels(reader: Reader) -> tuple[IntArray, list[str]]:
    """Each row's position among the channels that are recorded, and those."""
    if not reader.has("channel"):
        return np.zeros(len(reader), np.int64), ["store"]
    chosen = reader.choice("channel", CHANNEL_NAMES)
    present = [c for c in range(len(CHANNEL_NAMES)) if (chosen == c).any()]
    position = np.searchsorted(present, chosen) if present else chosen
    return position.astype(np.int64), [CHANNEL_NAMES[c] for c in present]


def _read_promotions(reader: Reader) -> BoolArray | None:
    if not reader.has("promotion"):
        return None
    words = reader.choice("promotion", tuple(_PROMOTION_WORDS))
    meaning = np.array(list(_PROMOTION_WORDS.values()))
    return meaning[words] == 1


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


def _check_span(reader: Reader, row: IntArray, days: IntArray, cells_a_day: int) -> int:
    """The first day, once the span of time is one that can be simulated."""
    used = days[row]
    first, last = int(used.min()), int(used.max())
    span = last - first + 1
    if span > MOST_DAYS:
        farthest = row[[int(np.abs(used - np.median(used)).argmax())]]
        message = f"{{}} makes the records {span} days long; at most {MOST_DAYS} are allowed"
        reader.note(farthest, "date", message)
    elif span < FEWEST_DAYS:
        message = f"{{}} is the last of {span} days; at least {FEWEST_DAYS} are needed"
        reader.note(row[[int(used.argmax())]], "date", message)
    elif span * cells_a_day > MOST_CELLS:
        message = (
            f"{span} days x stores x SKUs x channels are {span * cells_a_day} cells; at most "
            f"{MOST_CELLS} are allowed"
        )
        reader.note(row[:1], "sku", message)
    reader.check()
    return first


def _check_duplicates(reader: Reader, rows: _Rows, cell: IntArray) -> None:
    order = np.argsort(cell, kind="stable")
    again = np.sort(order[1:][cell[order][1:] == cell[order][:-1]])
    message = "{} has a row for this store, SKU and channel already; one a day is allowed"
    reader.note(rows.row[again], "date", message, "adds up rows of the same day")


def _check_gaps(
    reader: Reader,
    rows: _Rows,
    cell: IntArray,
    shape: tuple[int, int, int, int],
    first_day: date,
    names: tuple[list[str], list[str], list[str]],
) -> int:
    """The number of cells without a row, of the series (store, SKU, channel) that have any."""
    seen = np.zeros(shape, bool)
    seen.reshape(-1)[cell] = True
    missing = ~seen & seen.any(axis=0)
    count = int(missing.sum())
    if not count:
        return 0
    day, store, sku, channel = (int(i) for i in np.unravel_index(missing.argmax(), shape))
    same = (rows.store == store) & (rows.sku == sku) & (rows.channel == channel)
    earlier = np.flatnonzero(same & (rows.day < day))
    # The line after which the row belongs; the series' first line if nothing is before it.
    near = earlier[rows.day[earlier].argmax()] if len(earlier) else np.flatnonzero(same)[0]
    stores, skus, channels = names
    reader.note_missing(
        int(rows.row[near]),
        "date",
        f"no row for {first_day + timedelta(day)}, store {stores[store]!r}, SKU {skus[sku]!r}, "
        f"channel {channels[channel]}; one a day is needed, 0 units included",
        count,
        "fills gaps with 0 units",
    )
    return count


def _mark_promotions(
    promoted: BoolArray, rows: _Rows, shape: tuple[int, int, int, int]
) -> BoolArray:
    """Which days of which store and SKU are promoted in some channel, (days, S, K)."""
    marks = np.zeros(shape[:3], bool)
    marks[rows.day[promoted], rows.store[promoted], rows.sku[promoted]] = True
    return marks


def _find_prices(price: FloatArray, sku: IntArray, skus: list[str]) -> dict[str, float]:
    """The median price of each SKU that has one."""
    return {
        name: float(np.median(found))
        for i, name in enumerate(skus)
        if len(found := price[(sku == i) & np.isfinite(price)])
    }
