"""Reads the files of the VN2 contest: weekly sales, stock flags and start stock of pairs.

A pair is a store and a product. The files stay in the folder that the user names.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from envs.errors import InputError
from envs.omnichannel.types import FloatArray, IntArray
from envs.untrusted import MOST_TABLE, read_bytes

BoolArray = NDArray[np.bool_]
KEYS = ("Store", "Product")
STOCK = ("End Inventory", "In Transit W+1", "In Transit W+2")
CLASSES = ("ProductGroup", "Division", "Department", "DepartmentGroup", "StoreFormat")
WEEK = timedelta(days=7)
MOST_UNITS = 1_000_000  # a week in a pair; more is a slip of the keyboard
_WHOLE = re.compile(r"[0-9]{1,9}(\.0)?", re.ASCII)  # the contest writes whole units as 3.0


@dataclass(frozen=True, kw_only=True)
class Contest:
    """The contest's files, one row a pair."""

    pairs: IntArray  # (N, 2) store, product
    first_week: date  # its Monday
    sold: FloatArray  # (N, W) units a week; later files' weeks included
    in_stock: BoolArray  # (N, V), V <= W: the weeks to week 0, where the flag says something
    on_hand: FloatArray  # (N,) units, when week 0 has closed
    coming: FloatArray  # (N, 2) units that arrive in the next week and in the one after it
    classes: Mapping[str, IntArray]  # (N,) product group, department and so on

    def get_week(self, number: int) -> date:
        """Returns the Monday of a week; number 0 is the first."""
        return self.first_week + number * WEEK

    def find_origin(self, origin: date, weeks: int) -> int:
        """Returns how many weeks are known at an origin, which is the last known week.

        Raises:
            InputError: if it is no week of the files, or the `weeks` after it are not there.
        """
        known = (origin - self.first_week).days // 7 + 1
        last = self.sold.shape[1] - weeks
        if (origin - self.first_week).days % 7 or not 1 <= known <= self.in_stock.shape[1]:
            raise InputError(
                f"--origin: {origin} is not a week of the files; Mondays from {self.first_week} "
                f"to {self.get_week(self.in_stock.shape[1] - 1)} are"
            )
        if known > last:
            raise InputError(
                f"--origin: {origin} needs the sales of the {weeks} weeks after it, and the files "
                f"in --data end with {self.get_week(self.sold.shape[1] - 1)}; put 'Week 8 - DATE "
                f"- Sales.csv' there, or give an origin up to {self.get_week(last - 1)}"
            )
        return known


def load_contest(folder: Path) -> Contest:
    """Reads a folder with the contest's files.

    Raises:
        InputError: names the file, line and column of what is missing or cannot be read.
    """
    start = _find_file(folder, "Week 0 - * - Sales.csv")
    pairs, week_0 = _read_table(start)
    first_week, sold = _read_sales(start, week_0)
    known = sold.shape[1]
    for later in sorted(set(folder.glob("Week * - Sales.csv")) - {start}):
        sold = _extend(later, pairs, first_week, sold)
    weeks = [str(first_week + i * WEEK) for i in range(known)]
    flags = _read_like(_find_file(folder, "Week 0 - In Stock.csv"), pairs, weeks)
    stock = _read_like(_find_file(folder, "Week 0 - * - Initial State.csv"), pairs, STOCK)
    master = _read_like(_find_file(folder, "Week 0 - Master.csv"), pairs, CLASSES)
    units = np.stack([stock.read_units(column) for column in STOCK], 1)
    return Contest(
        pairs=np.array(pairs, np.int64),
        first_week=first_week,
        sold=sold,
        in_stock=np.stack([flags.read_flags(week) for week in weeks], 1),
        on_hand=units[:, 0],
        coming=units[:, 1:],
        classes={c: master.read_units(c).astype(np.int64) for c in CLASSES},
    )


def describe_contest(contest: Contest) -> str:
    """Returns one line with the totals of what was read."""
    stores, products = (len(set(contest.pairs[:, i].tolist())) for i in range(2))
    missing = 1 - contest.in_stock.mean()
    return (
        f"{len(contest.pairs)} pairs of {stores} stores and {products} products, "
        f"{contest.sold.shape[1]} weeks from {contest.first_week} to "
        f"{contest.get_week(contest.sold.shape[1] - 1)}; {contest.sold.sum():,.0f} units sold, "
        f"out of stock in {missing:.1%} of the weeks to week 0; {contest.on_hand.sum():,.0f} units "
        f"on hand, {contest.coming.sum():,.0f} on their way"
    )


@dataclass(frozen=True, kw_only=True)
class _Table:
    """A file's cells by column, as texts, in the order of the pairs."""

    file: str
    columns: dict[str, list[str]]
    lines: list[int]  # of each row, the header is line 1

    def read_units(self, column: str) -> FloatArray:
        """Returns a column of whole numbers, (N,)."""
        texts = self.columns[column]
        for text, line in zip(texts, self.lines, strict=True):
            if not (_WHOLE.fullmatch(text) and float(text) <= MOST_UNITS):
                raise InputError(
                    f"{self.file}, line {line}, column {column}: '{text}' is not allowed; whole "
                    f"numbers from 0 to {MOST_UNITS:,} are"
                )
        return np.array(texts, np.float64)

    def read_flags(self, column: str) -> BoolArray:
        """Returns a column of True and False, (N,)."""
        texts = self.columns[column]
        for text, line in zip(texts, self.lines, strict=True):
            if text not in {"True", "False"}:
                raise InputError(
                    f"{self.file}, line {line}, column {column}: '{text}' is not allowed; True and "
                    "False are"
                )
        return np.array([text == "True" for text in texts])


def _find_file(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        there = f"{len(found)} files" if found else "no file"
        raise InputError(f"--data: {there} '{pattern}' in '{folder}'; one is needed")
    return found[0]


def _read_table(path: Path) -> tuple[list[tuple[int, int]], _Table]:
    """Returns a file's pairs, and its columns."""
    try:
        text = read_bytes(path, "--data", MOST_TABLE).decode("utf-8-sig")
        rows = [row for row in csv.reader(io.StringIO(text)) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path.name}: is not a CSV file in UTF-8 ({error})") from None
    header, body = (rows[0], rows[1:]) if rows else ([], [])
    if tuple(header[:2]) != KEYS or len(set(header)) != len(header) or not body:
        raise InputError(
            f"{path.name}, line 1: the columns Store and Product, different others after them, and "
            "rows below are needed"
        )
    for line, row in enumerate(body, 2):
        if len(row) != len(header):
            raise InputError(
                f"{path.name}, line {line}: {len(row)} cells; {len(header)} are needed"
            )
    table = _Table(
        file=path.name,
        columns=dict(zip(header, map(list, zip(*body, strict=True)), strict=True)),
        lines=list(range(2, len(rows) + 1)),
    )
    keys = [table.read_units(key).astype(int).tolist() for key in KEYS]
    pairs = list(zip(*keys, strict=True))
    if len(set(pairs)) < len(pairs):
        again = next(i for i, pair in enumerate(pairs) if pair in pairs[:i])
        raise InputError(
            f"{path.name}, line {again + 2}: store {pairs[again][0]}, product {pairs[again][1]} is "
            "there twice; each pair is allowed once"
        )
    return pairs, table


def _read_like(
    path: Path, pairs: list[tuple[int, int]], columns: tuple[str, ...] | list[str]
) -> _Table:
    """Returns a file's rows in the order of `pairs`, which must all be there, and no others."""
    found, table = _read_table(path)
    if set(found) != set(pairs):
        store, product = min(set(found) ^ set(pairs))
        raise InputError(
            f"{path.name}: store {store}, product {product} is not both here and in the sales; all "
            "files need the same pairs"
        )
    for column in columns:
        if column not in table.columns:
            raise InputError(f"{path.name}: the column '{column}' is missing")
    place = {pair: row for row, pair in enumerate(found)}
    order = [place[pair] for pair in pairs]
    return _Table(
        file=table.file,
        columns={name: [cells[row] for row in order] for name, cells in table.columns.items()},
        lines=[table.lines[row] for row in order],
    )


def _read_sales(path: Path, table: _Table) -> tuple[date, FloatArray]:
    """Returns the first week of a sales file, and its units, (N, W)."""
    weeks = [name for name in table.columns if name not in KEYS]
    try:
        first = date.fromisoformat(weeks[0])
    except (IndexError, ValueError):
        raise InputError(
            f"{path.name}, line 1: a column for each week, named by its Monday, is needed after "
            "Product"
        ) from None
    for i, week in enumerate(weeks):
        if first.weekday() or week != str(first + i * WEEK):
            raise InputError(
                f"{path.name}, line 1: '{week}' is not allowed; consecutive Mondays, as "
                f"{first + (i * WEEK if not first.weekday() else timedelta(-first.weekday()))}, are"
            )
    return first, np.stack([table.read_units(week) for week in weeks], 1)


def _extend(
    path: Path, pairs: list[tuple[int, int]], first_week: date, sold: FloatArray
) -> FloatArray:
    """Returns the sales with the later weeks of another file, if it has some.

    The weeks that both hold stay as they were known: a revision came after the orders.
    """
    first, later = _read_sales(path, _read_like(path, pairs, ()))
    if first != first_week:
        raise InputError(
            f"{path.name}, line 1: the first week {first} is not allowed; {first_week}, the first "
            "week of the other sales files, is"
        )
    return np.concatenate([sold, later[:, sold.shape[1] :]], 1)
