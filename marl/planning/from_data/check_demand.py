"""The demand file: every row read and checked, gaps and duplicates found, a dense array made."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from envs.omnichannel.types import FloatArray, IntArray
from envs.omnichannel.world.demand.trace_file import CHANNEL_NAMES
from marl.planning.from_data.dataset import DemandRecords
from marl.planning.from_data.parsing import (
    NumberRule,
    parse_choice,
    parse_dates,
    parse_names,
    parse_numbers,
)
from marl.planning.from_data.problems import Findings, Problem
from marl.planning.from_data.tables import BoolArray, Table, read_table

REQUIRED = ("date", "store", "sku", "units")
OPTIONAL = ("channel", "promotion", "price")
MOST_UNITS = 1_000_000  # a day in a store; more is a slip of the keyboard
MOST_DAYS = 3650
FEWEST_DAYS = 28
MOST_CELLS = 30_000_000  # days x stores x SKUs x channels, a dense array

UNITS = NumberRule(
    0,
    MOST_UNITS,
    whole=True,
    fix_low="counts it as 0",
    fix_fraction="rounds it",
    fix_blank=(0.0, "counts it as 0"),
)
_PRICE = NumberRule(0, 1e9, blank=np.nan)
_PROMOTION_WORDS = {"": 0, "0": 0, "no": 0, "false": 0, "1": 1, "yes": 1, "true": 1}
_ORIGIN = date(1970, 1, 1)


@dataclass(frozen=True)
class _Rows:
    """The rows that are kept, as positions."""

    table: Table
    row: IntArray  # (rows,) of the table
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
    table = read_table(path, REQUIRED, OPTIONAL, findings)
    days, _ = parse_dates(table, "date", findings)
    units, _ = parse_numbers(table, "units", UNITS, findings)
    channels, recorded = _parse_channels(table, findings)
    promotion = _parse_promotions(table, findings)
    price = parse_numbers(table, "price", _PRICE, findings)[0] if "price" in table.columns else None
    keep = np.ones(len(table), bool)
    stores, store = _parse_members(table, "store", known_stores, "nodes", keep, findings)
    skus, sku = _parse_members(table, "sku", known_skus, "skus", keep, findings)
    findings.check()
    row = np.flatnonzero(keep)
    first = _check_span(table, row, days, len(stores) * len(skus) * len(recorded))
    rows = _Rows(
        table,
        row,
        days[row] - first,
        store[row],
        sku[row],
        channels[row],
        units[row].astype(np.int64),
    )
    shape = (int(rows.day.max()) + 1, len(stores), len(skus), len(recorded))
    cell = np.ravel_multi_index((rows.day, rows.store, rows.sku, rows.channel), shape)
    first_day = _ORIGIN + timedelta(int(first))
    _check_duplicates(rows, cell, findings)
    names = (stores, skus, recorded)
    filled = _check_gaps(rows, cell, shape, first_day, names, findings)
    findings.check()
    dense = np.bincount(cell, weights=rows.units, minlength=int(np.prod(shape)))
    return DemandRecords(
        first_day=first_day,
        stores=stores,
        skus=skus,
        channels=recorded,
        units=dense.astype(np.int64).reshape(shape),
        filled=filled,
        promotion=None if promotion is None else _mark_promotions(promotion[row], rows, shape),
        price=None if price is None else _find_prices(price[row], rows.sku, skus),
        assumes_store_channel="channel" not in table.columns,
    )


def _parse_channels(table: Table, findings: Findings) -> tuple[IntArray, list[str]]:
    """Each row's position among the channels that are recorded, and those."""
    if "channel" not in table.columns:
        return np.zeros(len(table), np.int64), ["store"]
    chosen = parse_choice(table, "channel", CHANNEL_NAMES, findings)
    present = [c for c in range(len(CHANNEL_NAMES)) if (chosen == c).any()]
    position = np.searchsorted(present, chosen) if present else chosen
    return position.astype(np.int64), [CHANNEL_NAMES[c] for c in present]


def _parse_promotions(table: Table, findings: Findings) -> BoolArray | None:
    if "promotion" not in table.columns:
        return None
    words = parse_choice(table, "promotion", tuple(_PROMOTION_WORDS), findings)
    meaning = np.array(list(_PROMOTION_WORDS.values()))
    return meaning[words] == 1


def _parse_members(
    table: Table,
    column: str,
    known: Collection[str] | None,
    other_file: str,
    keep: BoolArray,
    findings: Findings,
) -> tuple[list[str], IntArray]:
    """Names in order of appearance, or of the other file, and each row's position among them.

    Rows of unknown names lose their mark in `keep`.
    """
    values, codes = parse_names(table, column, findings)
    if known is not None:
        unknown = np.array([value not in known for value in values])[codes]
        if unknown.any():
            message = f"{{}} is not in the {other_file} file"
            wrong = np.flatnonzero(unknown)
            findings.add(table.find_problem(wrong, column, message, "leaves such rows out"))
            keep &= ~unknown
            if not keep.any():
                findings.add(table.find_problem(wrong, column, f"{message}, nor is any other"))
        present = set(values)
        names = [name for name in known if name in present]
    else:
        first = np.full(len(values), len(codes))
        np.minimum.at(first, codes, np.arange(len(codes)))
        names = [values[i] for i in np.argsort(first)]
    position = {name: i for i, name in enumerate(names)}
    return names, np.array([position.get(value, 0) for value in values], np.int64)[codes]


def _check_span(table: Table, row: IntArray, days: IntArray, cells_a_day: int) -> int:
    """The first day, once the span of time is one that can be simulated."""
    used = days[row]
    first, last = int(used.min()), int(used.max())
    span = last - first + 1
    findings = Findings(fix=False)
    if span > MOST_DAYS:
        farthest = row[np.abs(used - np.median(used)).argmax()]
        message = f"{{}} makes the records {span} days long; at most {MOST_DAYS} are allowed"
        findings.add(table.find_problem(np.array([farthest]), "date", message))
    elif span < FEWEST_DAYS:
        message = f"{{}} is the last of {span} days; at least {FEWEST_DAYS} are needed"
        findings.add(table.find_problem(row[[int(used.argmax())]], "date", message))
    elif span * cells_a_day > MOST_CELLS:
        message = (
            f"{span} days x stores x SKUs x channels are {span * cells_a_day} cells; at most "
            f"{MOST_CELLS} are allowed"
        )
        findings.add(table.find_problem(row[:1], "sku", message))
    findings.check()
    return first


def _check_duplicates(rows: _Rows, cell: IntArray, findings: Findings) -> None:
    order = np.argsort(cell, kind="stable")
    again = np.sort(order[1:][cell[order][1:] == cell[order][:-1]])
    if len(again):
        message = "{} has a row for this store, SKU and channel already; one a day is allowed"
        problem = rows.table.find_problem(
            rows.row[again], "date", message, "adds up rows of the same day"
        )
        findings.add(problem)


def _check_gaps(
    rows: _Rows,
    cell: IntArray,
    shape: tuple[int, int, int, int],
    first_day: date,
    names: tuple[list[str], list[str], list[str]],
    findings: Findings,
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
    findings.add(
        Problem(
            rows.table.file,
            rows.table.find_line(int(rows.row[near])),
            "date",
            f"no row for {first_day + timedelta(day)}, store {stores[store]!r}, SKU "
            f"{skus[sku]!r}, channel {channels[channel]}; one a day is needed, 0 units included",
            count,
            "fills gaps with 0 units",
        )
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
