"""The contents of the checked files, as arrays and records."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from envs.omnichannel.types import IntArray
from marl.planning.from_data.tables import BoolArray, Table


@dataclass(frozen=True)
class DemandRecords:
    """Units sold on consecutive days."""

    first_day: date
    stores: list[str]
    skus: list[str]
    channels: list[str]  # those recorded, of store, online, pickup, in that order
    units: IntArray  # (days, S, K, C)
    filled: int  # cells (day, store, SKU, channel) that had no row
    promotion: BoolArray | None = None  # (days, S, K)
    price: dict[str, float] | None = None  # median of the days that have one, by SKU
    assumes_store_channel: bool = False  # the file has no column `channel`

    @property
    def num_days(self) -> int:
        """Days recorded."""
        return len(self.units)

    def get_date(self, day: int) -> date:
        """Returns the date of a day counted from 0."""
        return self.first_day + timedelta(day)


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


@dataclass(frozen=True)
class Dataset:
    """All of it."""

    demand: DemandRecords
    returns: ReturnRecords | None
    skus: dict[str, SkuRecord] | None
    nodes: dict[str, NodeRecord] | None
    lanes: dict[tuple[str, str], LaneRecord] | None  # by (from, to)
