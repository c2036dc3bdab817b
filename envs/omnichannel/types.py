"""The arrays of states and demand, what is known of them, and the network they live on.

Axes: B copies, W DCs, S stores, N = W + S nodes (DCs first), K SKUs, C channels (store,
online, and pickup where it is sold), L lead-time slots (slot 0 arrives at the next event 1). Units
are integers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache, cached_property
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from envs.omnichannel.scenario import PERIOD_DAYS, Scenario
from envs.omnichannel.scenario.assortment import Dates
from envs.omnichannel.scenario.network import expect_lead_time
from envs.omnichannel.scenario.schedule import Schedule

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]
Half = NDArray[np.float16]
Bytes = NDArray[np.uint8]
BoolArray = NDArray[np.bool_]
Options = NDArray[np.integer[Any]]  # what Gymnasium's MultiDiscrete samples
SeedArray = NDArray[np.uint64]
# module_id -> options, (B, A_m, K), or (B, 1, K) of what the high level holds.
ModuleOptions = Mapping[str, IntArray]
ArrayT = TypeVar("ArrayT", NDArray[np.int64], NDArray[np.float64])

WEEK = PERIOD_DAYS["week"]  # days
LOWEST_RATE = 0.05  # units a day; dividing by a smaller demand rate would magnify noise

STORE, ONLINE, PICKUP = 0, 1, 2  # channel axis
RESTOCK, CONSOLIDATE, LIQUIDATE = 0, 1, 2  # disposition axis


# Two sums that numpy's own does 3 to 50 times more slowly, because the last axes are short.
def sum_axis(array: ArrayT, axis: int) -> ArrayT:
    """Sums over one axis, counted from the front."""
    return np.einsum(_name_axes(array.ndim, axis), array)


@cache
def _name_axes(ndim: int, summed: int) -> str:
    """The einsum subscripts of a sum over one axis: 1.4 to 2.1 times as fast as `sum` here."""
    axes = "abcdef"[:ndim]
    return f"{axes}->{axes.replace(axes[summed], '')}"


def sum_channels(by_channel: ArrayT) -> ArrayT:
    """Sums (..., C) over the channels."""
    total: ArrayT = by_channel[..., STORE] + by_channel[..., ONLINE]
    return total if by_channel.shape[-1] == 2 else total + by_channel[..., PICKUP]


@cache
def no_units(shape: tuple[int, ...]) -> IntArray:
    """Zeros of what did not happen; read-only, without memory of their own."""
    return np.broadcast_to(np.int64(0), shape)


@dataclass(frozen=True)
class Network:
    """A scenario's nodes and lanes as arrays."""

    num_dcs: int
    num_stores: int
    num_skus: int
    parent: IntArray  # (S,) index of the store's DC
    distance: IntArray  # (S,) distance band of its lane
    lead_time: IntArray  # (N,) periods from supplier or parent; rounded mean where random
    capacity: FloatArray  # (N,) units, inf where unlimited
    members: tuple[IntArray, ...]  # W arrays of store indices by DC
    online_slots: int = 0  # the first slots of `State.backorders`; the stores owe the others
    cycle: int = WEEK  # periods a week
    carried: BoolArray | None = None  # (N, K) `Scenario.carried_by_node`; None: all carry all
    dates: Dates | None = None  # when stores sell SKUs; None: always
    schedule: Schedule | None = None  # when orders are taken and arrive; None: daily, lead times

    @classmethod
    def from_scenario(cls, scenario: Scenario) -> Self:
        """Builds the arrays of a validated scenario."""
        dcs, stores = scenario.network.dcs, scenario.network.stores
        index = {dc.name: w for w, dc in enumerate(dcs)}
        parent = np.array([index[store.parent] for store in stores], dtype=np.int64)
        lanes = [(dc.supplier_lead_time, dc.random_lead_time) for dc in dcs]
        lanes += [(store.lead_time, store.random_lead_time) for store in stores]
        limits = [dc.capacity for dc in dcs] + [store.capacity for store in stores]
        return cls(
            num_dcs=len(dcs),
            num_stores=len(stores),
            num_skus=len(scenario.skus),
            parent=parent,
            distance=np.array([store.distance for store in stores], dtype=np.int64),
            lead_time=np.array([expect_lead_time(*lane) for lane in lanes], np.int64),
            capacity=np.array([np.inf if limit is None else limit for limit in limits]),
            members=tuple(np.flatnonzero(parent == w) for w in range(len(dcs))),
            online_slots=scenario.fulfillment.count_slots("online"),
            cycle=scenario.cycle,
            carried=scenario.carried_by_node,
            dates=scenario.dates,
            schedule=scenario.schedule,
        )

    @property
    def num_nodes(self) -> int:
        """N, DCs and stores."""
        return self.num_dcs + self.num_stores

    @cached_property
    def lane_lead_time(self) -> IntArray:
        """Periods from a store's parent DC to the store, (S,)."""
        return self.lead_time[self.num_dcs :]

    @cached_property
    def groups(self) -> tuple[IntArray, IntArray]:
        """Starts, (W + 1,), and stores, (S,): DC w has `stores[starts[w]:starts[w + 1]]`."""
        starts = np.cumsum([0, *(len(stores) for stores in self.members)], dtype=np.int64)
        return starts, np.concatenate(self.members)

    def sum_by_dc(self, by_store: ArrayT) -> ArrayT:
        """Sums (B, S, ...) over the stores of each DC, (B, W, ...)."""
        if self.num_dcs == 1:
            return sum_axis(by_store, 1)[:, None]
        return np.stack([sum_axis(by_store[:, m], 1) for m in self.members], axis=1)


class ArrayRecord:
    """Mixin: a dataclass of arrays that share their first axis B."""

    def select(self, copies: IntArray | slice) -> Self:
        """The record of some copies, for storing and branching states in batches."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]
        chosen = {name: None if v is None else v[copies] for name, v in values.items()}
        return replace(self, **chosen)  # type: ignore[type-var]


@dataclass(frozen=True, kw_only=True)
class State(ArrayRecord):
    """Everything the next period depends on, after event 1 (arrivals)."""

    seed: SeedArray  # (B,) of the exogenous draws, which are a function of seed and period
    period: IntArray  # (B,) periods since the episode began
    day: IntArray  # (B,) day of the demand process's calendar
    return_rate: FloatArray  # (B, S, K) lambda of eq. 2, constant in an episode
    on_hand: IntArray  # (B, N, K)
    in_transit: IntArray  # (B, L, N, K) by destination
    in_inspection: IntArray  # (B, L', S, K)
    # (B, P, S, K) by age, slot 0 has waited one period; online orders first, then the orders that
    # stores owe: walk-ins, pickup. One slot without age where a channel waits without limit.
    backorders: IntArray
    returns_due: IntArray  # (B, D, S, K) with customers; slot 0 comes back this period
    # None where the scenario has none of it:
    mail_due: IntArray | None = None  # (B, D, S, K) the same by mail to the DC
    inspection_queue: IntArray | None = None  # (B, N, K) waits for inspection
    log_drift: FloatArray | None = None  # (B, S, K) of demand's drift
    record_error: IntArray | None = None  # (B, S, K) recorded - real stock of the stores
    shelf: IntArray | None = None  # (B, A, S, K) perishables in stores; slot 0 has its last day
    spent: FloatArray | None = None  # (B, J) money by supplier, in the week until today
    in_return: IntArray | None = None  # (B, L', N, K) of what is in transit: not ordered


@dataclass(frozen=True, kw_only=True)
class Demand(ArrayRecord):
    """What the world brings in a period, independent of all decisions."""

    units: IntArray  # (B, S, K, C)
    return_rate: FloatArray  # (B, S, K) lambda of eq. 2
    return_rounding: FloatArray  # (B, S, K) uniform in (0, 1), rounds expected returns
    scrap_rounding: FloatArray  # (B, S, K) uniform in (0, 1), rounds what is not resaleable
    # None where the scenario has no use for it:
    next_log_drift: FloatArray | None = None  # (B, S, K) of the period after
    dc_offer: FloatArray | None = None  # (B, S, K, 2) uniform; thins unmet walk-ins and pickups
    rationing: FloatArray | None = None  # (B, S) uniform; its order is that of `random_order`
    record_draws: FloatArray | None = None  # (B, 2, S, K) uniform; for shrinkage and counts
    lead_time: IntArray | None = None  # (B, N, K) periods, of what is sent in this period
    confirmed: FloatArray | None = None  # (B, W) share of supplier orders that is confirmed
    delivery: FloatArray | None = None  # (B, N, K) uniform; what becomes of lines that are due
    # (B, S, R) uniform, by rule of `substitution`; thins the walk-ins who find a SKU sold out
    substitution: FloatArray | None = None


@dataclass(frozen=True, kw_only=True)
class Known(ArrayRecord):
    """What is known of demand's level and spread; forecasts keep it up to date."""

    smoothed: FloatArray  # (B, S, K, C) smoothed demand, season taken out
    variance: FloatArray  # (B, S, K) units² of a day's total over the channels around it
    weight: FloatArray  # (B, S, K) days that both rest on
    origin: IntArray  # (B,) calendar day on which the episode began
    zero_share: FloatArray | None = None  # (B, S, K) of days without a sale; None: no agent asks
    silent: FloatArray | None = None  # (B, S, K) days without one since the last sale; the same
    memory: FloatArray | None = None  # (B, S, K, M) what the forecast's method needs beside

    @property
    def known(self) -> Known:
        """This alone, of a record that holds more."""
        return Known(**{field.name: getattr(self, field.name) for field in fields(Known)})


@dataclass(frozen=True, kw_only=True)
class Signals(Known):
    """What is known of demand and supply, which no decision changes."""

    forecast: FloatArray  # (B, S, K, C) expected units a period over the coming week
    ahead: FloatArray  # (B, H, S or 1, K) factors of smoothed demand, summed over 1 to H days
    last_demand: IntArray  # (B, S, K, C) units of the period before
    confirmed: FloatArray | None = None  # (B, W, H) announced shares from this period on
    # (B, S, K) periods until the first one on sale and until the last one; None: always on sale
    starts_in: IntArray | None = None
    ends_in: IntArray | None = None


@dataclass(frozen=True, kw_only=True)
class View(Signals):
    """What agents and policies may know when they decide: event 2. Shapes as in `State`.

    It has no seed of coming draws, nor what nobody sees: drift, return rates, errors of records.
    """

    period: IntArray
    day: IntArray
    on_hand: IntArray  # as recorded
    in_transit: IntArray
    in_inspection: IntArray
    backorders: IntArray
    returns_due: IntArray
    inspection_queue: IntArray | None = None
    shelf: IntArray | None = None
    spent: FloatArray | None = None

    @classmethod
    def make(cls, recorded: State, signals: Signals) -> Self:
        """Builds the view of a state whose stock is as recorded."""
        return cls(
            period=recorded.period,
            day=recorded.day,
            on_hand=recorded.on_hand,
            in_transit=recorded.in_transit,
            in_inspection=recorded.in_inspection,
            inspection_queue=recorded.inspection_queue,
            backorders=recorded.backorders,
            returns_due=recorded.returns_due,
            shelf=recorded.shelf,
            spent=recorded.spent,
            **vars(signals),
        )

    @property
    def signals(self) -> Signals:
        """What is known beside the stocks."""
        return Signals(**{field.name: getattr(self, field.name) for field in fields(Signals)})


Stocks = State | View  # true, or as recorded
