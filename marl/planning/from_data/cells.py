"""Cells of a record: which of them each row is of, and what the rows of each add up to.

A cell is a period, a store, a SKU and a channel. There may be hundreds of millions, of which most
have no row, so nothing here takes more than two or four bytes for each of them or of the rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from envs.omnichannel.types import BoolArray, FloatArray, IntArray
from envs.omnichannel.world.demand.recorded import Counts, choose_kind, narrow
from marl.planning.from_data.columns import Numbers
from marl.planning.from_data.demand_rows import DemandRows
from marl.planning.from_data.frequency import Periods

_BLOCK = 1 << 22  # rows or cells at once
_Shape = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class Cells:
    """The cell of each row."""

    shape: _Shape  # periods of the file, stores, SKUs, channels
    day: Counts  # (rows,) period
    cell: Counts  # (rows,) position among all
    count: int  # cells that have a row
    fewest: int  # rows of such a cell
    most: int
    series: int  # of store, SKU and channel that have a row

    def count_gaps(self) -> int:
        """Returns the number of cells without a row, of the series that have any."""
        return self.shape[0] * self.series - self.count

    def find_again(self) -> IntArray:
        """Returns the rows whose cell has an earlier one, ascending."""
        order = np.argsort(self.cell, kind="stable")
        own = self.cell[order]
        return np.sort(order[1:][own[1:] == own[:-1]])

    def mark(self, rows: DemandRows, marked: BoolArray) -> BoolArray:
        """Returns which periods of which store and SKU have a marked row, (periods, S, K)."""
        marks = np.zeros(self.shape[:3], bool)
        marks[self.day[marked], rows.store[marked], rows.sku[marked]] = True
        return marks


def locate_cells(rows: DemandRows, periods: Periods) -> Cells:
    """Returns the cell of each row."""
    day = periods.locate(rows.day)
    shape = (int(day.max()) + 1, len(rows.stores), len(rows.skus), len(rows.channels))
    cell: Counts = day.astype(np.int32 if math.prod(shape) < 2**31 else np.int64)
    for size, position in zip(shape[1:], (rows.store, rows.sku, rows.channel), strict=True):
        cell *= size
        cell += position
    count, fewest, most = _count_rows(np.sort(cell))
    has_row = np.zeros(math.prod(shape[1:]), bool)
    for start in range(0, len(cell), _BLOCK):
        has_row[cell[start : start + _BLOCK] % has_row.size] = True
    return Cells(
        shape=shape,
        day=day,
        cell=cell,
        count=count,
        fewest=fewest,
        most=most,
        series=int(has_row.sum()),
    )


def _count_rows(cell: Counts) -> tuple[int, int, int]:
    """The number of cells, and the fewest and most rows that one has; of sorted cells of rows."""
    is_last = cell[1:] != cell[:-1]
    count = 1 + int(np.count_nonzero(is_last))
    if count in {1, len(cell)}:
        return count, len(cell) // count, len(cell) // count
    last = np.flatnonzero(is_last)
    ends = [int(last[0]) + 1, len(cell) - 1 - int(last[-1])]
    runs = np.diff(last)
    return count, int(runs.min(initial=min(ends))), int(runs.max(initial=max(ends)))


def add_up(rows: DemandRows, cells: Cells, periods: Periods) -> Counts:
    """Returns whole units by period of the record, store, SKU and channel, (P, S, K, C).

    What rounding leaves of SKUs that are sold by weight is carried, so that no total moves.
    """
    sold = np.maximum(rows.units.values, 0)
    if periods.starts is not None:
        return _carry_over(rows, cells, periods, sold)
    broken = sold != np.rint(sold)
    dense = _add_whole(rows, cells, np.where(broken, 0, sold))
    if broken.any():
        measured = np.zeros(len(rows.skus), bool)
        measured[rows.sku[broken[rows.units.codes]]] = True
        chosen = np.flatnonzero(measured)
        own = _carry_over(rows, cells, periods, sold, chosen)
        dense = dense.astype(np.promote_types(dense.dtype, own.dtype), copy=False)
        dense[:, :, chosen] = own
    return dense


def _add_whole(rows: DemandRows, cells: Cells, sold: FloatArray) -> Counts:
    """The sums of whole numbers."""
    kind = choose_kind(float(sold.max()) * cells.most)
    dense, number = np.zeros(math.prod(cells.shape), kind), sold.astype(kind)
    for start in range(0, len(rows), _BLOCK):
        part = slice(start, start + _BLOCK)
        np.add.at(dense, cells.cell[part], number[rows.units.codes[part]])
    return narrow(dense).reshape(cells.shape)


def _carry_over(
    rows: DemandRows,
    cells: Cells,
    periods: Periods,
    sold: FloatArray,
    chosen: IntArray | None = None,
) -> Counts:
    """Whole units of some SKUs, or of all, some SKUs at a time; what rounding leaves is carried."""
    skus = np.arange(len(rows.skus)) if chosen is None else chosen
    days, stores, _, channels = cells.shape
    size = max(_BLOCK // (max(days, periods.span) * stores * channels), 1)
    parts = []
    for start in range(0, len(skus), size):
        block = skus[start : start + size]
        place = np.full(len(rows.skus), -1)
        place[block] = range(len(block))
        own = np.flatnonzero((place >= 0)[rows.sku])
        shape = (days, stores, len(block), channels)
        where = (cells.day[own], rows.store[own], place[rows.sku[own]], rows.channel[own])
        dense = np.bincount(
            np.ravel_multi_index(where, shape), sold[rows.units.codes[own]], math.prod(shape)
        )
        spread = periods.spread(dense.astype(np.float64).reshape(shape))
        # Sums of decimal fractions miss the half by an ulp; both neighbours are as near.
        total = np.rint(np.round(np.cumsum(spread, axis=0), 9))
        parts.append(narrow(np.diff(total, axis=0, prepend=0).astype(np.int64)))
    return np.concatenate(parts, axis=2)


def find_prices(rows: DemandRows, price: Numbers) -> dict[str, float]:
    """Returns the median price of each SKU that has one."""
    known = np.isfinite(price.values)[price.codes]
    key = rows.sku[known] * np.int64(len(price.values)) + price.codes[known]
    found, counts = np.unique(key, return_counts=True)
    sku, value = found // len(price.values), price.values[found % len(price.values)]
    starts = np.flatnonzero(np.diff(sku, prepend=-1))
    ends = np.append(starts, len(sku))[1:]
    prices = {}
    for start, end in zip(starts, ends, strict=True):
        order = start + np.argsort(value[start:end])
        reached = np.cumsum(counts[order])
        middle = [(reached[-1] - 1) // 2, reached[-1] // 2]
        chosen = order[np.searchsorted(reached, middle, side="right")]
        prices[rows.skus[sku[start]]] = float(np.mean(value[chosen]))
    return prices
