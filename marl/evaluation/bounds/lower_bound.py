"""A bound that no policy can beat: the optimum for someone who knows the whole episode ahead."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from envs.errors import InputError
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import ONLINE, STORE, FloatArray, IntArray, SeedArray
from envs.omnichannel.world.account.costs import TERMS
from envs.omnichannel.world.account.rates import (
    list_holding,
    list_late,
    list_lost_sale,
    price_units,
)
from envs.omnichannel.world.demand import ParametricDemand, Split
from envs.omnichannel.world.events.returns import ReturnProcess
from marl.evaluation.bounds.expected_loss import make_tangents
from marl.evaluation.bounds.linear_program import LinearProgram
from marl.policies.stock_value import StockValue


def compute_reward_bounds(
    scenario: Scenario, seeds: SeedArray, split: Split, *, penalised: bool = False
) -> FloatArray:
    """Returns an upper bound on the mean reward a period (eq. 8) of each episode, (n,).

    Perfect-information relaxation (Brown, Smith & Sun 2010): demand, return rates and lead times
    of the episode are known from the start, units may be split, and what is not linear costs its
    least: a truck its share by the unit, a shipment the rate of the largest quantity, a supplier
    order and a day with returns nothing fixed. Supply cuts and orders that never arrive (others can
    make up for them), inspection queues, shrinkage, spoiling, reserves and refused offers are left
    out. Returns come at their expected rate.

    Who knows demand needs no safety stock, which makes the bound loose. With penalties, most of a
    lost walk-in's cost is charged for those that are expected to be lost, given the day's stock and
    true drift of demand, in the place of those that are. To a policy, which decides the stock
    before it sees the demand, both cost the same on average: so no policy exceeds the mean of these
    bounds, though it may that of single episodes.

    Args:
        scenario: without substitution, dates of the assortment, order calendars and suppliers.
        seeds: of the episodes, as evaluation uses them, (n,).
        split: which part of recorded demand the episodes come from.
        penalised: whether to add penalties. They change nothing where walk-ins are not lost at
            once, or demand is recorded.

    Raises:
        InputError: if customers substitute or items come and go, which no programme here knows.
    """
    for field, setting in (
        ("substitution", scenario.substitution),
        ("assortment.dates", scenario.dates),
        ("order_calendars", scenario.order_calendars),
        ("suppliers", scenario.suppliers),
    ):
        if setting is not None:
            raise InputError(
                f"{field}: not allowed for bounds (scenario {scenario.name}); none is needed"
            )
    return np.array([_bound_episode(scenario, seed, split, penalised) for seed in seeds])


def _bound_episode(scenario: Scenario, seed: np.uint64, split: Split, penalised: bool) -> float:
    env = BatchedEnv(scenario, 1, split)
    env.reset(np.array([seed], dtype=np.uint64))
    cost = _Network(env, _read_world(env, penalised)).program.solve()
    reward = env.reward_model
    return float(reward.weights.alpha - cost / (scenario.horizon * reward.team_scale))


# Of a lost walk-in's cost, beside what a unit's way costs: the share that real ones still cost. A
# scan on `volatile` is flat from 0.05 to 0.35; 0 is best on `lost_sales`.
_REAL_SHARE = 0.1


@dataclass(frozen=True)
class _World:
    """What an episode brings, whatever is decided; T periods."""

    demand: IntArray  # (T, S, K, C)
    return_rate: FloatArray  # (S, K)
    lead_time: IntArray  # (T, N, K) of what is sent in a period
    # Of the walk-ins that are expected to be lost: slopes and values, (T, J, S, K); None: unknown.
    tangents: tuple[FloatArray, FloatArray] | None


def _read_world(env: BatchedEnv, penalised: bool) -> _World:
    net, state, process = env.network, env.state, env.simulator.demand
    fixed = np.broadcast_to(net.lead_time[:, None], (net.num_nodes, net.num_skus))
    loses = env.scenario.fulfillment.get_unmet("store") == "lost"
    units, lead_times, tangents = [], [], []
    for _ in range(env.scenario.horizon):
        demand = env.simulator.sample_demand(state)
        units.append(demand.units[0])
        lead_times.append(fixed if demand.lead_time is None else demand.lead_time[0])
        if penalised and loses and isinstance(process, ParametricDemand):
            tangents.append(make_tangents(process, state))
        state = replace(
            state,
            period=state.period + 1,
            day=state.day + 1,
            log_drift=demand.next_log_drift,
        )
    return _World(
        np.stack(units), state.return_rate[0], np.stack(lead_times), _stack_tangents(tangents)
    )


def _stack_tangents(
    by_period: list[tuple[FloatArray, FloatArray]],
) -> tuple[FloatArray, FloatArray] | None:
    if not by_period:
        return None
    slopes, values = zip(*by_period, strict=True)
    return np.stack(slopes), np.stack(values)


class _Network:
    """An episode as a linear programme; axes (T, S, K) at the stores, (T, W, K) at the DCs."""

    def __init__(self, env: BatchedEnv, world: _World) -> None:
        self.env, self.scenario, self.net, self.world = env, env.scenario, env.network, world
        net = self.net
        self.weight = dict(zip(TERMS, env.reward_model.term_weights, strict=True))
        self.process = ReturnProcess(env.scenario)
        self.lost_sale, self.late = list_lost_sale(env.scenario), list_late(env.scenario)
        self.periods = len(world.demand)
        self.cells = (self.periods, net.num_stores, net.num_skus)
        self.dc_cells = (self.periods, net.num_dcs, net.num_skus)
        self.program = LinearProgram()
        # Balance of each node and SKU: stock at the end - stock before - what came + what left = 0.
        initial = np.zeros((self.periods, net.num_nodes, net.num_skus))
        initial[0] = env.state.on_hand[0]
        self.balance = self.program.add_rows(initial.shape, initial, initial)
        stores, dcs = list_holding(env.scenario)
        holding = np.repeat(np.stack([dcs, stores]), [net.num_dcs, net.num_stores], axis=0)
        self.stock = self.program.add_variables(initial.shape, self.weight["holding"] * holding)
        self.program.put(self.balance, self.stock)
        self.program.put(self.balance[1:], self.stock[:-1], -1.0)
        self._add_overflow()
        self._add_orders()
        self._add_shipments()
        returned = self._add_channels()
        self._add_dispositions(returned)

    def _add_overflow(self) -> None:
        """Units above a capacity pay."""
        capacity, cost = self.net.capacity, self.weight["overflow"] * self.scenario.costs.overflow
        limited = np.flatnonzero(np.isfinite(capacity))
        shape = (self.periods, len(limited))
        above = self.program.add_variables(shape, cost)
        rows = self.program.add_rows(shape, -np.inf, capacity[limited])
        self.program.put(rows[..., None], self.stock[:, limited])
        self.program.put(rows, above, -1.0)

    def _add_orders(self) -> None:
        """What DCs order from suppliers; free but for the capacity."""
        net = self.net
        orders = self.program.add_variables(self.dc_cells)
        self._arrive(orders, np.arange(net.num_dcs), self.world.lead_time[:, : net.num_dcs])
        for w, dc in enumerate(self.scenario.network.dcs):
            if dc.order_capacity is not None:
                rows = self.program.add_rows((self.periods,), -np.inf, float(dc.order_capacity))
                self.program.put(rows[:, None], orders[:, w])

    def _add_shipments(self) -> None:
        """What DCs ship to stores, and stores to each other."""
        net, rates = self.net, self.scenario.costs
        lane = price_units(rates, net, min(rates.quantity_rates))
        nodes = net.num_dcs + np.arange(net.num_stores)
        weight = self.weight["transport"]
        shipped = self.program.add_variables(self.cells, weight * lane[:, None])
        self.program.put(self.balance[:, net.parent], shipped)
        self._arrive(shipped, nodes, self.world.lead_time[:, net.num_dcs :])
        for w, dc in enumerate(self.scenario.network.dcs):
            if dc.shipment_capacity is not None:
                limit = float(dc.shipment_capacity)
                rows = self.program.add_rows((self.periods,), -np.inf, limit)
                self.program.put(rows[:, None, None], shipped[:, net.members[w]])
        lateral = self.scenario.transshipment
        if lateral is None:
            return
        out = self.program.add_variables(self.cells)
        into = self.program.add_variables(self.cells, weight * lateral.cost)
        self.program.put(self.balance[:, nodes], out)
        self._arrive(into, nodes, np.full(self.cells, lateral.lead_time))
        moved = self.program.add_rows(self.dc_cells, 0.0, 0.0)
        self.program.put(moved[:, net.parent], out)
        self.program.put(moved[:, net.parent], into, -1.0)

    def _arrive(self, sent: IntArray, nodes: IntArray, lead_time: IntArray) -> None:
        """Puts what is sent in each period on the shelf where and when it arrives, if it does."""
        period, column, sku = np.nonzero(sent >= 0)
        arrival = period + lead_time[period, column, sku]
        inside = arrival < self.periods
        rows = self.balance[arrival[inside], nodes[column[inside]], sku[inside]]
        self.program.put(rows, sent.ravel()[inside], -1.0)

    def _add_channels(self) -> IntArray:
        """What is served, waits or is lost; returns the rows of what comes back, (T, S, K)."""
        net, rates = self.net, self.scenario.costs
        process = self.process
        fit = 1 - process.scrap_rate  # (K,) of returns that can be sold again
        by_demand = process.basis == "demand"
        shares = self._list_return_shares()  # (C, S, K) to the store, (C, S, K) by mail
        expected = self._delay(np.einsum("tskc,csk->tsk", self.world.demand, shares[0])) * fit
        known = expected if by_demand else np.zeros(self.cells)
        returned = self.program.add_rows(self.cells, known, known)
        stores = net.num_dcs + np.arange(net.num_stores)
        dc_mile = np.asarray(rates.last_mile_dc + rates.last_mile_dc_distance * net.distance)
        from_stores = []
        for c, name in enumerate(self.scenario.channels):
            rule = self.scenario.fulfillment.get_unmet(name)
            store_mile = np.full(net.num_stores, rates.last_mile_store if c == ONLINE else 0.0)
            sources = [(stores, store_mile)]
            if c == ONLINE or rule == "partial":
                sources.append((net.parent, dc_mile))
            served = []
            for nodes, mile in sources:
                cost = self.weight["transport"] * mile[:, None]
                units = self.program.add_variables(self.cells, cost)
                self.program.put(self.balance[:, nodes], units)
                served.append(units)
                if nodes is stores:
                    from_stores.append(units)
                if not by_demand:
                    self._return(units, returned, shares[0][c] * fit)
                    self._return_by_mail(units, shares[1][c] * fit)
            self._add_waiting(c, name, served)
        self._add_expected_losses(from_stores)
        return returned

    def _list_return_shares(self) -> tuple[FloatArray, FloatArray]:
        """Of each channel's units, the share that comes back to the store, and by mail."""
        process, rate = self.process, self.world.return_rate
        factors = process.factors[:, None, None]
        back = np.minimum(rate * factors, 1)
        mailed = np.zeros(len(factors))
        mailed[ONLINE] = self.scenario.returns.by_mail
        by_mail = mailed[:, None, None]
        return back * (1 - by_mail), back * by_mail

    def _delay(self, units: FloatArray) -> FloatArray:
        """Known returns of known units, spread over the delays, (T, S, K)."""
        delayed = np.zeros(units.shape)
        for days, share in enumerate(self.process.delays[: self.periods]):
            delayed[days:] += share * units[: self.periods - days]
        return delayed

    def _return(self, units: IntArray, rows: IntArray, share: FloatArray) -> None:
        """Puts the resaleable share of what was handed over into the rows of its return."""
        for days, probability in enumerate(self.process.delays[: self.periods]):
            if probability:
                sold = units[: self.periods - days]
                self.program.put(rows[days:], sold, -probability * share)

    def _return_by_mail(self, units: IntArray, share: FloatArray) -> None:
        """The same for what comes back to the DC and is on its shelf after inspection."""
        if not share.any():
            return
        wait = max(self.scenario.returns.inspection_days, 1)
        shelf = np.full((self.periods + wait, *self.balance.shape[1:]), -1)
        shelf[: self.periods] = self.balance
        shelf = shelf[wait:, self.net.parent]
        for days, probability in enumerate(self.process.delays[: self.periods]):
            if probability:
                rows, sold = shelf[days:], units[: self.periods - days]
                inside = rows >= 0
                value = np.broadcast_to(-probability * share, rows.shape)
                self.program.put(rows[inside], sold[inside], value[inside])

    def _add_waiting(self, channel: int, name: str, served: list[IntArray]) -> None:
        """Demand is served, lost, or waits as long as the channel's rule allows."""
        rules = self.scenario.fulfillment
        rule, new = rules.get_unmet(name), self.world.demand[..., channel].astype(np.float64)
        rows = self.program.add_rows(self.cells, new, new)
        for units in served:
            self.program.put(rows, units)
        if rule != "backorder":
            cost = self.weight["lost_sales"] * self.lost_sale[:, channel]
            if channel == STORE:
                cost = cost - self._find_penalty()
            self.program.put(rows, self.program.add_variables(self.cells, cost))
        if rule in {"lost", "partial"}:
            return
        waiting = self.program.add_variables(
            self.cells, self.weight["late"] * list_late(self.scenario)
        )
        self.program.put(rows, waiting)
        self.program.put(rows[1:], waiting[:-1], -1.0)
        if rule == "patience":
            total = np.cumsum(new, axis=0)
            total[rules.patience :] -= total[: -rules.patience].copy()
            young = self.program.add_rows(self.cells, -np.inf, total)
            self.program.put(young, waiting)

    def _find_penalty(self) -> FloatArray:
        """What an expected lost walk-in costs in the place of a real one, money, (S, K).

        All but the value of the unit that stays in the store: who sells it must still gain by it.
        """
        cost = self.weight["lost_sales"] * self.lost_sale[:, STORE]
        if self.world.tangents is None:
            return np.zeros_like(cost)
        value = self.weight["transport"] * StockValue(self.env).by_store
        penalty: FloatArray = np.maximum((1 - _REAL_SHARE) * cost - value[:, None], 0.0)
        return penalty

    def _add_expected_losses(self, from_stores: list[IntArray]) -> None:
        """Charges the walk-ins that the day's stock, before demand, must be expected to lose.

        Args:
            from_stores: units that leave each store for its customers, (T, S, K) by channel.
        """
        if self.world.tangents is None:
            return
        slopes, values = self.world.tangents
        before = self.program.add_variables(self.cells)
        rows = self.program.add_rows(self.cells, 0.0, 0.0)
        self.program.put(rows, before)
        for units in (self.stock[:, self.net.num_dcs :], *from_stores):
            self.program.put(rows, units, -1.0)
        expected = self.program.add_variables(self.cells, self._find_penalty())
        above = self.program.add_rows(slopes.shape, values, np.inf)
        self.program.put(above, expected[:, None])
        self.program.put(above, before[:, None], -slopes)

    def _add_dispositions(self, returned: IntArray) -> None:
        """What can be sold again goes to the shelf, to the DC or to liquidation."""
        net, rates, weight = self.net, self.scenario.costs, self.weight["returns"]
        restock, consolidate, liquidate = (
            self.program.add_variables(self.cells, weight * cost)
            for cost in (rates.return_restock, rates.return_consolidate, rates.return_liquidate)
        )
        for units in (restock, consolidate, liquidate):
            self.program.put(returned, units)
        stores = net.num_dcs + np.arange(net.num_stores)
        inspection = max(self.scenario.returns.inspection_days, 1)
        self._arrive(restock, stores, np.full(self.cells, inspection))
        way_back = np.broadcast_to(net.lane_lead_time[:, None] + 1, self.cells)
        self._arrive(consolidate, net.parent, way_back)
