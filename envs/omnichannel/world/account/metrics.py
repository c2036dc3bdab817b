"""Metrics of episodes, all from flows and costs; each formula stands here once.

Units are summed over the episode, stores and SKUs; "a period" is a mean over periods. Store-SKUs
are those of the assortment.

Service:

- `served` = units served in the end / units demanded. The paper's "service level" (order
  fulfilment rate), a fill rate over all channels. What still waits at the end counts as unserved.
- `on_time` = units served in the period of their demand / units demanded: 5-20 points lower than
  `served` where online orders wait. Both also by channel, as `served/store` and so on.
- `cycle_service` = store-SKU-periods in which all demand was served on time / all
  store-SKU-periods (a period without demand has no stockout). Snyder & Shen, Fundamentals of
  Supply Chain Theory, 2nd ed., section 4.3.4, call it the type-1 service level.
- `lost`: units a period, also by channel; `waiting`: orders open at the end of a period.
- `substituted`: units a period that walk-ins took in place of what was sold out; neither served nor
  lost. Only with `substitution`.
- `undelivered`: units a period that were due from suppliers and DCs and never arrived. Only with a
  `delivery`.
- `response_days` = days that the served online orders waited / online orders served: 0 for all
  that are dispatched on the day of the order. What is lost or still waits has no response.
- `fairness/lowest`: the lowest `served` of a store; `fairness/gini`: the Gini coefficient of the
  stores' `served`, sum over pairs |f_i - f_j| / (2 S sum f): 0 is equal.

Stock and money:

- `stock`: units on hand in the network, end of a period; `turnover` = units served a year
  / `stock`; `days_of_cover` = `stock` / units demanded a period.
- `capacity_use` = units on hand / capacity, mean over the nodes with a limit (0 without one).
- `bullwhip` = variance over periods of the units ordered from suppliers / variance of the units
  demanded, network-wide, per SKU and then the mean over the SKUs whose demand varies (0 if none).
  Lee, Padmanabhan & Whang (1997), Management Science 43(4).
- `record_accuracy` = store-SKU records that are exactly right / all, mean over the ends of periods.
  `shrunk`: units a period that vanished.
- `wasted`: perishable units a period whose shelf life ended; `waste_share` = `wasted` / units
  ordered from suppliers a period (0 without orders).
- `cost/<term>` and `cost/total`: money a period. `reward`: eq. 8, mean over periods.

Returned units:

- `returned` = units a period = `restocked` + `consolidated` + `liquidated` + `scrapped` + `mailed`
  (came by mail and is restocked at the DC). `queued`: units that wait for inspection.
- `days_to_resale` = days until a restocked, mailed or consolidated unit is on hand again, mean over
  those units: the inspection's or the lane's days and those in the queue (0 without such units).

Forecast:

- `forecast/mae` = sum of |forecast - demand| / sum of demand, one period ahead, by store, SKU and
  channel; `forecast/bias` = sum of (forecast - demand) / sum of demand.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from envs.compiler import compiled
from envs.omnichannel.flows import Flows, Ledger
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import ONLINE, PICKUP, STORE, FloatArray, IntArray, Network
from envs.omnichannel.world.account.costs import TERMS, Costs

EpisodeMetrics = dict[str, FloatArray]  # metric -> (B,)

# Ledger entries that are reported as they are: units a period, summed over stores and SKUs.
_TOTALS = (
    "returned", "restocked", "consolidated", "liquidated", "scrapped", "mailed", "queued",
    "waiting", "shrunk", "wasted",
)  # fmt: skip


class Sums(NamedTuple):
    """What metrics need, summed over the periods."""

    demand: IntArray  # (B, S, K, C), as the next three
    served: IntArray
    on_time: IntArray
    lost: IntArray
    wait_days: IntArray  # (B, S, K), as all below
    returned: IntArray
    restocked: IntArray
    consolidated: IntArray
    liquidated: IntArray
    scrapped: IntArray
    mailed: IntArray
    waiting: IntArray
    shrunk: IntArray
    wasted: IntArray
    on_hand: IntArray  # (B, N, K)
    covered: IntArray  # (B,) store-SKU-periods in which all demand was served on time
    demand_moments: FloatArray  # (2, B, K) of the network's demand: sum, sum of squares
    order_moments: FloatArray  # (2, B, K) of the orders from suppliers


class MetricsAccumulator:
    """Sums what the metrics need over the periods of B episodes."""

    def __init__(self, scenario: Scenario, network: Network, num_copies: int) -> None:
        self.num_copies = num_copies
        self.channels = scenario.channels
        self.a_year = 365 / scenario.days_a_period  # periods
        self.network = network
        self.limited = np.isfinite(network.capacity)
        self.inspection_days = scenario.returns.inspection_days
        self.periods = 0
        nodes = (num_copies, network.num_nodes, network.num_skus)
        self.sums = _make_sums(network, num_copies, len(self.channels))
        self.queued = np.zeros(nodes, np.int64)
        self.substitutes, self.substituted = scenario.substitution is not None, np.zeros(num_copies)
        self.loses_orders, self.undelivered = scenario.loses_orders, np.zeros(num_copies)
        self.costs = np.zeros((len(TERMS), *nodes))
        self.reward, self.wrong = np.zeros(num_copies), np.zeros(num_copies)
        self.forecast_error, self.forecast_bias = np.zeros(num_copies), np.zeros(num_copies)

    def add(self, flows: Flows, costs: Costs, team_reward: FloatArray) -> None:
        """Adds a period."""
        self.periods += 1
        _add_ledger(self.sums, flows.ledger)
        if flows.queued is not None:
            self.queued += flows.queued
        if flows.substituted_in is not None:
            self.substituted += _sum_cells(flows.substituted_in)
        if flows.undelivered is not None:
            self.undelivered += _sum_cells(flows.undelivered)
        self.costs += costs.by_term
        self.reward += team_reward
        if flows.record_error is not None:
            self.wrong += np.count_nonzero(flows.record_error, axis=(1, 2))

    def add_forecast(self, forecast: FloatArray, demand: IntArray) -> None:
        """Adds a period's forecast, made before its demand; both (B, S, K, C) units."""
        error = (forecast - demand).reshape(len(demand), -1)
        self.forecast_bias += error.sum(axis=1)
        self.forecast_error += np.abs(error, out=error).sum(axis=1)

    def compute(self) -> EpisodeMetrics:
        """Returns each metric by episode, (B,); before the first period there is none."""
        if not self.periods:
            return {}
        periods, sums = self.periods, self.sums
        by_name = {**sums._asdict(), "queued": self.queued}
        totals = {name: _sum_cells(by_name[name]) for name in _TOTALS}
        money = zip(TERMS, self.costs, strict=True)
        costs = {f"cost/{term}": _sum_cells(of_term) / periods for term, of_term in money}
        demand, served, on_time, lost = (
            np.einsum("bskc->bc", units)
            for units in (sums.demand, sums.served, sums.on_time, sums.lost)
        )
        stock = _sum_cells(sums.on_hand) / periods
        cells, none = self._count_pairs()
        by_store = _ratio(sums.served.sum(axis=(2, 3)), sums.demand.sum(axis=(2, 3)))
        metrics = {
            "served": _ratio(served.sum(axis=1), demand.sum(axis=1)),
            "on_time": _ratio(on_time.sum(axis=1), demand.sum(axis=1)),
            "cycle_service": (sums.covered - none * periods) / (cells * periods),
            "record_accuracy": 1 - self.wrong / (cells * periods),
            "lost": lost.sum(axis=1) / periods,
            "response_days": _sum_cells(sums.wait_days) / np.maximum(served[:, ONLINE], 1),
            "fairness/lowest": by_store.min(axis=1),
            "fairness/gini": _compute_gini(by_store),
            "reward": self.reward / periods,
            "cost/total": sum(costs.values(), np.zeros(self.num_copies)),
            "stock": stock,
            "turnover": self.a_year * served.sum(axis=1) / periods / np.maximum(stock, 1e-9),
            "days_of_cover": stock / np.maximum(demand.sum(axis=1) / periods, 1e-9),
            "capacity_use": self._compute_capacity_use(),
            "bullwhip": self._compute_bullwhip(),
            "waste_share": totals["wasted"] / np.maximum(sums.order_moments[0].sum(axis=1), 1),
            "days_to_resale": self._compute_days_to_resale(),
            "forecast/mae": self.forecast_error / np.maximum(demand.sum(axis=1), 1),
            "forecast/bias": self.forecast_bias / np.maximum(demand.sum(axis=1), 1),
        }
        for c, channel in enumerate(self.channels):
            metrics[f"served/{channel}"] = _ratio(served[:, c], demand[:, c])
            metrics[f"on_time/{channel}"] = _ratio(on_time[:, c], demand[:, c])
            metrics[f"lost/{channel}"] = lost[:, c] / periods
        if self.substitutes:
            metrics["substituted"] = self.substituted / periods
        if self.loses_orders:
            metrics["undelivered"] = self.undelivered / periods
        return metrics | {name: total / periods for name, total in totals.items()} | costs

    def _count_pairs(self) -> tuple[int, int]:
        """Store-SKUs of the assortment, and others: those have no demand, all of it on time."""
        every, carried = self.network.num_stores * self.network.num_skus, self.network.carried
        own = every if carried is None else int(carried[self.network.num_dcs :].sum())
        return own, every - own

    def _compute_days_to_resale(self) -> FloatArray:
        restocked, consolidated = self.sums.restocked, self.sums.consolidated
        lane_days = (self.network.lane_lead_time + 1)[:, None]
        inspected = restocked + self.sums.mailed
        days = self.inspection_days * inspected + lane_days * consolidated
        total = _sum_cells(days) + _sum_cells(self.queued)
        return total / np.maximum(_sum_cells(inspected + consolidated), 1)

    def _compute_capacity_use(self) -> FloatArray:
        if not self.limited.any():
            return np.zeros(self.num_copies)
        held = self.sums.on_hand.sum(axis=-1)[:, self.limited]
        return (held / self.network.capacity[self.limited]).mean(axis=1) / self.periods

    def _compute_bullwhip(self) -> FloatArray:
        demand = _compute_variance(self.sums.demand_moments, self.periods)
        orders = _compute_variance(self.sums.order_moments, self.periods)
        varies = demand > 0
        ratio = np.where(varies, orders / np.where(varies, demand, 1), 0)
        return ratio.sum(axis=1) / np.maximum(varies.sum(axis=1), 1)


def _make_sums(network: Network, num_copies: int, channels: int) -> Sums:
    """Zeros."""
    cells = (num_copies, network.num_stores, network.num_skus)
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(Sums._fields, cells)
    shapes |= dict.fromkeys(("demand", "served", "on_time", "lost"), (*cells, channels))
    shapes |= {"on_hand": (num_copies, network.num_nodes, network.num_skus)}
    shapes |= {"covered": (num_copies,)}
    zeros: dict[str, Any] = {name: np.zeros(shape, np.int64) for name, shape in shapes.items()}
    zeros |= {
        name: np.zeros((2, num_copies, network.num_skus))
        for name in ("demand_moments", "order_moments")
    }
    return Sums(**zeros)


def _compute_variance(moments: FloatArray, count: int) -> FloatArray:
    """Population variance, in an order that gives exactly 0 for a constant.

    Args:
        moments: sums and sums of squares of integers, exact in double precision, (2, ...).
        count: of integers.
    """
    total, squares = moments
    return (count * squares - total**2) / count**2


def _sum_cells(by_cell: FloatArray | IntArray) -> FloatArray:
    """(B, N, K) to (B,)."""
    return np.einsum("bnk->b", by_cell)


def _compute_gini(values: FloatArray) -> FloatArray:
    """Gini coefficient of each row, (B, S) to (B,); sorting replaces the sum over pairs."""
    count = values.shape[1]
    rank = 2 * np.arange(1, count + 1) - count - 1
    return (np.sort(values, axis=1) @ rank) / np.maximum(count * values.sum(axis=1), 1e-9)


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    """Part of the whole; 1 where nothing was demanded."""
    return np.where(whole > 0, part / np.maximum(whole, 1e-9), 1.0)


@compiled
def _add_ledger(sums: Sums, ledger: Ledger) -> None:
    """Adds a period to the sums, in place."""
    _add(sums.demand, ledger.demand)
    _add(sums.on_time, ledger.on_time)
    _add(sums.lost, ledger.lost)
    _add(sums.wait_days, ledger.wait_days)
    _add(sums.returned, ledger.returned)
    _add(sums.restocked, ledger.restocked)
    _add(sums.consolidated, ledger.consolidated)
    _add(sums.liquidated, ledger.liquidated)
    _add(sums.scrapped, ledger.scrapped)
    _add(sums.mailed, ledger.mailed)
    _add(sums.waiting, ledger.waiting)
    _add(sums.shrunk, ledger.shrunk)
    _add(sums.wasted, ledger.wasted)
    _add(sums.on_hand, ledger.on_hand)
    units = np.empty(ledger.demand.shape[2], np.int64)
    for b in range(len(ledger.demand)):
        _add_service(sums, ledger, units, b)
        _add_moments(sums.demand_moments, units, b)
        units[:] = 0
        for w in range(ledger.supplied.shape[1]):
            for k in range(len(units)):
                units[k] += ledger.supplied[b, w, k]
        _add_moments(sums.order_moments, units, b)


@compiled
def _add(total: IntArray, units: IntArray) -> None:
    """Adds units to a total of their shape, as one row: its axes are short."""
    to, flat = total.reshape(-1), units.reshape(-1)
    for i in range(len(to)):
        to[i] += flat[i]


@compiled
def _add_moments(moments: FloatArray, units: IntArray, b: int) -> None:
    """Adds units, (K,), and their squares to (2, B, K)."""
    for k in range(len(units)):
        moments[0, b, k] += units[k]
        moments[1, b, k] += units[k] * units[k]


@compiled
def _add_service(sums: Sums, ledger: Ledger, demanded: IntArray, b: int) -> None:
    """Adds what was served, and where all was on time; writes the network's demand, (K,)."""
    _, stores, skus, channels = ledger.demand.shape
    demanded[:] = 0
    for s in range(stores):
        for k in range(skus):
            units, on_time = 0, 0
            for c in range(channels):
                units += ledger.demand[b, s, k, c]
                on_time += ledger.on_time[b, s, k, c]
            served = sums.served[b, s, k]
            served[STORE] += ledger.sold_store[b, s, k] + ledger.store_from_dc[b, s, k]
            served[ONLINE] += ledger.online_from_store[b, s, k] + ledger.online_from_dc[b, s, k]
            if channels > PICKUP:
                served[PICKUP] += ledger.sold_pickup[b, s, k] + ledger.pickup_from_dc[b, s, k]
            demanded[k] += units
            sums.covered[b] += units == on_time
