"""The contents of the checked files, as arrays and records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from envs.omnichannel.types import WEEK, BoolArray, IntArray
from envs.omnichannel.world.demand.recorded import Counts
from marl.planning.from_data.dates import ORIGIN
from marl.planning.from_data.texts import Table


@dataclass(frozen=True, kw_only=True)
class DemandRecords:
    """Units sold on consecutive days, or in weeks by their first day."""

    first_day: date
    stores: list[str]
    skus: list[str]
    channels: list[str]  # those recorded, of store, online, pickup, in that order
    units: Counts  # (days, S, K, C) in the narrowest integers
    filled: int  # cells (day, store, SKU, channel) that had no row
    promotion: BoolArray | None = None  # (days, S, K)
    price: dict[str, float] | None = None  # median of the days that have one, by SKU
    in_stock: BoolArray | None = None  # (days, S, K); None: nothing says that it was not
    assumes_store_channel: bool = False  # the file has no column `channel`
    returned: ReturnRecords | None = None  # rows of the same file that are returns
    step: int = 1  # calendar days from a period to the next one: 1 or 7

    @property
    def num_days(self) -> int:
        """Days recorded."""
        return len(self.units)

    @property
    def period(self) -> str:
        """What an entry is of: a day or a week."""
        return "day" if self.step == 1 else "week"

    @property
    def cycle(self) -> int:
        """Entries a week."""
        return WEEK // self.step

    def get_date(self, day: int) -> date:
        """Returns the date of a day counted from 0, or the first one of a week."""
        return self.first_day + timedelta(day * self.step)

    def count_periods(self, days: Counts) -> Counts:
        """Returns the entry of days since 1970-01-01, below 0 before the first one."""
        return (days - (self.first_day - ORIGIN).days) // self.step


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What was read of a demand file: its layout and its totals."""

    layout: str
    about: str  # what is to be known of the layout
    has_lines: bool  # of orders or tills
    frequency: str  # day, week or month
    rows: int  # of the file
    units: float  # sold
    returned_units: float
    left_out_rows: int
    empty_cells: int  # of a wide file: nothing was recorded there
    absent: int  # days of a store, SKU and channel without a row: nothing was sold
    first_date: date
    last_date: date
    stores: int
    skus: int
    zones: tuple[str, ...]  # that times name
    zone: str | None  # whose days count; None: as they are written

    def describe(self) -> Iterator[str]:
        """Yields lines for the terminal."""
        about = f": {self.about}" if self.about else ""
        if self.has_lines and not about:
            about = ": lines of orders or tills, added up by day"
        yield f"read as {self.layout}, by {self.frequency}{about}"
        left_out = f", {self.left_out_rows:,} of them left out" if self.left_out_rows else ""
        returned = f", {self.returned_units:,.12g} returned" if self.returned_units else ""
        yield (
            f"found {self.rows:,} rows{left_out}; {self.units:,.12g} units sold{returned}; "
            f"{self.stores:,} stores, {self.skus:,} SKUs, {self.first_date} to {self.last_date}"
        )
        if self.empty_cells:
            yield f"{self.empty_cells:,} empty cells: nothing was recorded there"
        if self.absent:
            yield (
                f"{self.absent:,} {self.frequency}s of a store and SKU have no row: nothing was "
                "sold then"
            )
        if self.zones:
            found = f"times are in zones ({', '.join(self.zones[:5])})"
            default = "as they are written; --zone Europe/Berlin would take that one's"
            yield f"{found}; days are {f'those of {self.zone}' if self.zone else default}"

    def to_json(self) -> dict[str, Any]:
        """Returns what `from-data --json` says of it."""
        return {
            "layout": self.layout,
            "frequency": self.frequency,
            "totals": {
                "rows": self.rows,
                "units": _to_number(self.units),
                "returned_units": _to_number(self.returned_units),
                "left_out_rows": self.left_out_rows,
                "absent_rows": self.absent,
                "empty_cells": self.empty_cells,
            },
            "first_date": str(self.first_date),
            "last_date": str(self.last_date),
            "stores": self.stores,
            "skus": self.skus,
        }


def _to_number(value: float) -> float | int:
    return int(value) if value.is_integer() else value


@dataclass(frozen=True)
class ReturnRecords:
    """Units that came back, a row each."""

    day: IntArray  # (rows,) of the return, counted from the first day of demand
    store: IntArray  # (rows,) position among the demand's stores
    sku: IntArray  # (rows,) position among the demand's SKUs
    units: IntArray  # (rows,)
    delay: IntArray  # (rows,) days since the sale; -1 where it is not known
    table: Table  # whose rows these are


@dataclass(frozen=True)
class SkuRecord:
    """A row of the SKU file."""

    category: str | None = None
    price: float | None = None
    unit_cost: float | None = None
    shelf_life: float | None = None  # days in a store
    pack: float | None = None  # units of a case pack
    weight: float | None = None  # of a unit


@dataclass(frozen=True)
class NodeRecord:
    """A row of the node file."""

    kind: str  # dc or store
    parent: str | None
    capacity: float | None  # units


@dataclass(frozen=True)
class LaneRecord:
    """A row of the lane file."""

    distance: float | None
    lead_time: int | None  # days
    cost: float | None  # per unit


@dataclass(frozen=True, kw_only=True)
class AssortmentRecord:
    """When stores have SKUs on sale: periods of the record, and before and after it."""

    first: IntArray  # (S, K) `ALWAYS` where it has no beginning
    last: IntArray  # (S, K) `FOREVER` where it has no end

    @property
    def carried(self) -> BoolArray:
        """What stores carry from the record's first day on, or from a later one, (S, K)."""
        return (self.first <= self.last) & (self.last >= 0)


@dataclass(frozen=True)
class Dataset:
    """All of it."""

    demand: DemandRecords
    returns: ReturnRecords | None
    skus: dict[str, SkuRecord] | None
    nodes: dict[str, NodeRecord] | None
    lanes: dict[tuple[str, str], LaneRecord] | None  # by (from, to)
    reading: Reading
    assortment: AssortmentRecord | None = None  # None: everything, always
