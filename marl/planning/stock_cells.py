"""The cells of a stock count: texts or numbers, read a whole table at a time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date

import numpy as np
from numpy.typing import NDArray

from envs.errors import InputError
from envs.omnichannel.types import FloatArray, IntArray

Cell = str | int | float | None
Row = tuple[str, Mapping[str, Cell]]  # where it stands, values by column

KEYS = ("day", "node", "sku")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
MOST_DAYS = 1_000_000
MOST_UNITS = 100_000_000  # of a cell; sums and products of these stay whole 64-bit numbers
MOST_DEMAND = 1_000_000  # units a day, as in a scenario
# The largest value of a field's cells, and whether they are whole; others hold units.
_LIMITS = {
    "smoothed": (MOST_DEMAND, False),
    "last_demand": (MOST_DEMAND, True),
    "confirmed": (1, False),
}


@dataclass
class CellTable:
    """Rows that have the same columns, R of them."""

    names: list[str]  # (C,) without the keys
    where: list[str] = field(default_factory=list)
    place: list[tuple[int, int, int]] = field(default_factory=list)  # number of the row, node, SKU
    cells: list[list[Cell]] = field(default_factory=list)

    def add(self, number: int, where: str, node: int, sku: int, values: Mapping[str, Cell]) -> None:
        """Adds a row.

        Args:
            number: of the row, counted over all tables.
            where: it stands.
            node: its index.
            sku: its index.
            values: by column.
        """
        self.where.append(where)
        self.place.append((number, node, sku))
        self.cells.append([values[name] for name in self.names])

    def read(self) -> tuple[IntArray, FloatArray]:
        """Returns `place` as an array, (R, 3), and what `read_cells` makes of the cells, (R, C)."""
        return np.array(self.place), read_cells(self.cells)


@dataclass
class Cures:
    """What is wrong in the stock counts of real systems, and taken for something that is not."""

    fix: bool = False  # whether rows that are missing are empty ones
    negative: list[float] = field(default_factory=list)
    missing: int = 0

    def raise_negative(self, amounts: FloatArray) -> FloatArray:
        """Returns stock that is not negative: a book below zero means an empty shelf."""
        below = (amounts < 0) & np.isfinite(amounts) & (amounts == np.floor(amounts))
        self.negative += amounts[below].tolist()
        return np.where(below, 0.0, amounts)

    def list_notes(self, strangers: int) -> tuple[str, ...]:
        """Returns what a planner should know.

        Args:
            strangers: rows of nodes and SKUs that the scenario does not have.
        """
        notes = []
        if self.negative:
            total = -int(sum(self.negative))
            notes.append(f"negative stock counts as 0: {len(self.negative)} rows, {total} units")
        if strangers:
            notes.append(f"rows of nodes or SKUs that the scenario lacks are left out: {strangers}")
        if self.missing:
            notes.append(f"--fix takes missing rows for empty: {self.missing}")
        return tuple(notes)


def read_cells(rows: list[list[Cell]]) -> FloatArray:
    """Returns numbers, (R, C): NaN where a cell is empty, -inf where it is no number."""
    found = np.array(rows)
    if found.dtype.kind in "iuf":  # then there is neither a text nor an empty cell
        numbers = found.astype(np.float64)
        numbers[np.isnan(numbers)] = -np.inf
        return numbers
    # A table has millions of cells and few different ones, which are read once each.
    known = {(type(cell), cell): 0.0 for row in rows for cell in row}
    for kind, cell in known:
        known[kind, cell] = _read_cell(cell)
    return np.array([[known[type(cell), cell] for cell in row] for row in rows], np.float64)


def _read_cell(cell: Cell) -> float:
    if is_empty(cell):
        return np.nan
    amount = np.nan
    if isinstance(cell, float | int):
        amount = float(cell)
    elif cell is not None and cell.isascii() and "_" not in cell:
        with suppress(ValueError):
            amount = float(cell)
    return -np.inf if np.isnan(amount) else amount


def is_empty(cell: Cell) -> bool:
    """Returns whether nothing stands in a cell."""
    return cell is None or (isinstance(cell, str) and not cell.strip())


def is_wrong(amounts: FloatArray, kind: str) -> NDArray[np.bool_]:
    """Returns which amounts, (R,), a column of this field does not allow; empty cells it does."""
    most, whole = _LIMITS.get(kind, (MOST_UNITS, True))
    wrong = (amounts < 0) | (amounts > most)
    if whole:
        wrong |= (amounts != np.floor(amounts)) & ~np.isnan(amounts)
    return wrong


def refuse_amount(where: str, name: str, cell: Cell, kind: str) -> InputError:
    """Returns the error of a cell that is wrong."""
    most, whole = _LIMITS.get(kind, (MOST_UNITS, True))
    return InputError(
        f"{where}, column {name}: {str(cell).strip()[:60]!r} is not allowed; "
        f"{'a whole number' if whole else 'a number'} from 0 to {most} is needed"
    )


def check_day(
    where: str, cell: Cell, before: int | None, first_day: date | None, step: int = 1
) -> int:
    """Returns the day of a row: a number, or a date where demand is recorded.

    Args:
        where: file and line, for messages.
        cell: what stands there.
        before: the day of the rows before.
        first_day: date of day 0; None: days have no dates.
        step: calendar days from a day to the next one: 7 where a period is a week.

    Raises:
        InputError: if it is no day, or not that of the rows before.
    """
    text = str(cell).strip()
    if first_day is not None and _DATE.fullmatch(text):
        try:
            since = (date.fromisoformat(text) - first_day).days
        except ValueError:
            raise InputError(
                f"{where}, column day: {text!r} is not a day of the calendar; YYYY-MM-DD is needed"
            ) from None
        if since % step:
            raise InputError(
                f"{where}, column day: '{text}' is not allowed; a period is a week, and weeks "
                f"begin on the weekday of {first_day}"
            )
        text = str(since // step)
    if not text.isascii() or not text.isdigit() or float(text) > MOST_DAYS:
        raise InputError(
            f"{where}, column day: {text[:60]!r} is not allowed; a whole number from 0 to "
            f"{MOST_DAYS} is needed, day 0 is the first of the scenario's calendar"
            f"{'' if first_day is None else f', {first_day}; or a date YYYY-MM-DD'}"
        )
    if before is not None and int(text) != before:
        raise InputError(
            f"{where}, column day: {text} is not allowed; {before} is needed, as in the rows before"
        )
    return int(text)
