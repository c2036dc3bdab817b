"""Files that say what could be sold when: open days, assortments and empty shelves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from envs.errors import InputError
from envs.omnichannel.scenario.assortment import ALWAYS, FOREVER
from envs.omnichannel.types import WEEK, BoolArray, IntArray
from envs.omnichannel.world.demand.recorded import Counts
from marl.planning.from_data.dataset import AssortmentRecord, DemandRecords
from marl.planning.from_data.dates import NO_DATE
from marl.planning.from_data.problems import Findings
from marl.planning.from_data.reader import Reader

_LEAVE_OUT = "leaves such rows out"


def load_in_stock(path: Path, demand: DemandRecords, findings: Findings) -> DemandRecords:
    """Returns the records with the empty shelves of a file: date, store, sku, in_stock.

    Raises:
        InputError: one line on the first problem that is not cured.
    """
    reader = Reader.open(path, ("date", "store", "sku", "in_stock"), (), findings)
    day = demand.count_periods(reader.dates("date").days)
    store, sku = find_known(reader, "store", demand.stores), find_known(reader, "sku", demand.skus)
    is_empty = ~reader.flag("in_stock", blank=True)
    reader.check()
    is_inside = _find_inside(reader, day, demand)
    chosen = np.flatnonzero(is_empty & is_inside & (store >= 0) & (sku >= 0))
    in_stock = _start(demand)
    in_stock[day[chosen], store[chosen], sku[chosen]] = False
    return replace(demand, in_stock=in_stock)


def load_calendar(path: Path, demand: DemandRecords, findings: Findings) -> DemandRecords:
    """Returns the records with the days on which stores are closed: date, [store, open].

    Without `open` the dates are the open days, and a store is closed on all others from the first
    date to the last; without `store` they are those of all stores. A closed day teaches nothing,
    as that of an empty shelf; but a weekday on which a store is closed more often than open is one
    on which nothing sells.

    Raises:
        InputError: one line on the first problem that is not cured.
    """
    if demand.step > 1:
        raise InputError(f"--calendar: '{path}' is of days, and the demand file has weeks")
    reader = Reader.open(path, ("date",), ("store", "open"), findings)
    day = demand.count_periods(reader.dates("date").days)
    named = reader.has("store")
    store = find_known(reader, "store", demand.stores) if named else np.zeros(len(reader), np.int16)
    is_open = reader.flag("open", blank=True)
    reader.check()
    inside = _find_inside(reader, day, demand) & (store >= 0)
    shape = (demand.num_days, len(demand.stores) if named else 1)
    closed = np.zeros(shape, bool)
    if not reader.has("open"):
        for s in np.unique(store[store >= 0]):
            own = day[store == s]
            closed[max(own.min(), 0) : max(own.max() + 1, 0), s] = True
    closed[day[inside], store[inside]] = ~is_open[inside]
    closed = np.broadcast_to(closed, (demand.num_days, len(demand.stores))).copy()
    _check_closed(reader, closed, day, demand)
    weekday = np.arange(demand.num_days) % WEEK
    usual = np.stack([closed[weekday == d].mean(axis=0) > 0.5 for d in range(WEEK)])  # (7, S)
    in_stock = _start(demand)
    in_stock &= ~(closed & ~usual[weekday])[:, :, None]
    return replace(demand, in_stock=in_stock)


def _check_closed(reader: Reader, closed: BoolArray, day: Counts, demand: DemandRecords) -> None:
    """Takes down sales on closed days, which are then taken for open."""
    wrong: BoolArray = np.logical_and(closed, demand.units.sum(axis=(2, 3)) > 0)
    if not wrong.any():
        return
    first, store = (int(i) for i in np.argwhere(wrong)[0])
    reader.note_missing(
        int(np.abs(day - first).argmin()),
        "date",
        f"{demand.stores[store]!r} is closed on {demand.get_date(first)} and sold on that day",
        int(wrong.sum()),
        "takes a store for open on days on which it sold",
    )
    reader.check()
    closed &= ~wrong


def load_assortment(path: Path, demand: DemandRecords, findings: Findings) -> AssortmentRecord:
    """Returns what each store has on sale, and when: store, sku, [from, until].

    An empty store stands for all, an empty date for always; what has no row is not carried.

    Raises:
        InputError: one line on the first problem that is not cured.
    """
    reader = Reader.open(path, ("store", "sku"), ("from", "until"), findings)
    stores = _find_stores(reader, demand.stores)
    sku = find_known(reader, "sku", demand.skus)
    first = _read_period(reader, "from", demand, ALWAYS)
    last = _read_period(reader, "until", demand, FOREVER)
    reader.note(last < first, "until", "{} is before from; a later date is needed")
    reader.check()
    shape = (len(demand.stores), len(demand.skus))
    begins, ends = np.full(shape, FOREVER), np.full(shape, ALWAYS)
    for which, own in ((stores >= 0, stores), (stores == _ALL, None)):
        rows = np.flatnonzero(which & (sku >= 0))
        if own is not None:
            cells = own[rows], sku[rows]
            np.minimum.at(begins, cells, first[rows])
            np.maximum.at(ends, cells, last[rows])
        else:
            for row in rows.tolist():
                place = slice(None), sku[row]
                begins[place] = np.minimum(begins[place], first[row])
                ends[place] = np.maximum(ends[place], last[row])
    _check_sales(reader, begins, ends, demand)
    return AssortmentRecord(first=begins, last=ends)


_ALL, _UNKNOWN = -2, -1


def _find_stores(reader: Reader, known: list[str]) -> Counts:
    """Each row's store; `_ALL` where the cell is empty."""
    texts = reader.table.columns["store"]
    if "" not in texts.values:
        return find_known(reader, "store", known)
    position = {name: i for i, name in enumerate(known)} | {"": _ALL}
    found = np.array([position.get(text, _UNKNOWN) for text in texts.values], np.int32)
    return found[texts.codes]


def _check_sales(reader: Reader, first: IntArray, last: IntArray, demand: DemandRecords) -> None:
    """Takes down sales of what is not on sale, which is then taken to be."""
    sold: BoolArray = np.asarray(demand.units.any(axis=3))
    is_sold: BoolArray = np.asarray(sold.any(axis=0))
    first_sale: IntArray = np.where(is_sold, sold.argmax(axis=0), FOREVER)
    latest = demand.num_days - 1 - sold[::-1].argmax(axis=0)
    last_sale: IntArray = np.where(is_sold, latest, ALWAYS)
    wrong = (first_sale < first) | (last_sale > last)
    if not wrong.any():
        return
    store, sku = (int(i) for i in np.argwhere(wrong)[0])
    is_early = first_sale[store, sku] < first[store, sku]
    day = demand.get_date(int((first_sale if is_early else last_sale)[store, sku]))
    reader.note_missing(
        len(reader) - 1,
        "sku",
        f"no row says that {demand.stores[store]!r} has {demand.skus[sku]!r} on {day}, on which "
        "it sold some",
        int(wrong.sum()),
        "takes what was sold as on sale from its first sale to its last",
    )
    reader.check()
    np.minimum(first, first_sale, out=first)
    np.maximum(last, last_sale, out=last)


def find_known(reader: Reader, column: str, known: list[str]) -> Counts:
    """Returns each row's position among names of the demand file; -1 for others.

    Rows of others are left out, and that is said; it is a mistake if all are.
    """
    values, codes = reader.names(column)
    position = {name: i for i, name in enumerate(known)}
    found: Counts = np.array([position.get(value, -1) for value in values], np.int32)[codes]
    unknown = found < 0
    if unknown.all():
        reader.note(unknown, column, "{} is not in the demand file, nor is any other")
    else:
        reader.cure(np.flatnonzero(unknown), column, "{} is not in the demand file", _LEAVE_OUT)
    return found


def _find_inside(reader: Reader, day: Counts, demand: DemandRecords) -> BoolArray:
    """Which rows are of days of the record; it is a mistake if none is."""
    inside: BoolArray = (day >= 0) & (day < demand.num_days)
    if not inside.any():
        first, last = demand.get_date(0), demand.get_date(demand.num_days - 1)
        message = f"{{}} is not within {first} to {last}, nor is any other date"
        reader.note(~inside, "date", message)
        reader.check()
    return inside


def _read_period(reader: Reader, column: str, demand: DemandRecords, blank: int) -> IntArray:
    """Each row's period of the record, below 0 before it; `blank` where the cell is empty."""
    if not reader.has(column):
        return np.full(len(reader), blank)
    days = reader.date(column, blank=True)
    return np.where(days == NO_DATE, blank, demand.count_periods(days))


def _start(demand: DemandRecords) -> BoolArray:
    """Where there is anything to sell as far as is known, a copy."""
    if demand.in_stock is not None:
        return demand.in_stock.copy()
    return np.ones(demand.units.shape[:3], bool)
