"""The simulator: (state, decisions, demand) -> (state, flows), without hidden state."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import (
    CONSOLIDATE,
    LIQUIDATE,
    RESTOCK,
    Decisions,
    Demand,
    Flows,
    IntArray,
    Network,
    SeedArray,
    State,
    no_units,
    sum_axis,
)
from envs.omnichannel.world import draws
from envs.omnichannel.world.allocation.largest_remainder import limit_by_node, split_by_shares
from envs.omnichannel.world.allocation.ration import get_rule, ration
from envs.omnichannel.world.demand import Split, make_demand
from envs.omnichannel.world.fulfillment import fulfill_demand
from envs.omnichannel.world.records import RecordKeeping
from envs.omnichannel.world.returns import ReturnProcess
from envs.omnichannel.world.shelves import Shelves
from envs.omnichannel.world.supply import Supply
from envs.omnichannel.world.transit import Pipelines, send, shift


class Simulator:
    """B copies of the network, one period at a time.

    Sequence of events in a period:

    1. Arrivals. Units whose lead time ends now become on hand: supplier to DC, DC to store,
       consolidated returns to the DC, inspected returns to the shelf.
    2. Agents observe this state and propose; the coordinator turns proposals into decisions.
    3. Order and dispatch. DCs order from suppliers, who confirm what a cut and their capacity
       leave; DCs dispatch to stores what their stock and shipment capacity allow, rationing by
       the scenario's rule. Lead times are fixed, or drawn for every order. With transshipment,
       stores above their target then help those that the DC left short.
    4. Demand is realised per store, SKU and channel (eq. 1).
    5. Fulfil. Walk-ins, then pickups from the store. Online from the store (the decided share)
       and the DC (the rest), oldest orders first. What is unmet is lost, waits without limit or
       `patience` periods, or is offered to the DC, by the channel's rule.
    6. Returns (eq. 2) come back to the store and are restocked after inspection, consolidated to
       the DC (lane lead time + 1) or liquidated; those by mail come to the DC and are restocked
       there after inspection. A part is not resaleable and is scrapped. A location begins at most
       `inspection_capacity` inspections a period; the rest queues.
    7. Account. Units may vanish from stores, perishables whose last day it was are wasted, and
       records are counted (`records`). Flows record all of it; costs, reward and metrics read them.

    A `State` is the situation between events 1 and 3, so `simulate_period` runs events 3 to 7 and
    the next period's event 1. A lead time of 0 arrives within event 3.

    Conservation, per copy and SKU, exact: initial on hand + supplied + returned = on hand + in
    transit + in inspection or its queue + sold + liquidated + scrapped + shrunk + wasted.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.network = Network.from_scenario(scenario)
        self.demand = make_demand(scenario)
        self.returns = ReturnProcess(scenario)
        self.records = RecordKeeping(scenario, self.network)
        self.shelves = Shelves(scenario, self.network)
        self.pipelines = Pipelines(scenario, self.network)
        self.supply = Supply(scenario, self.network)
        # What a DC inspects travels in its pipeline, as if from a supplier next door.
        inspection = scenario.returns.inspection_days if self.returns.mails else 0
        self._transit_slots = max(self.pipelines.num_slots, inspection)
        self._queues = scenario.returns.inspection_capacity is not None
        self._inspects_at_dcs = self.returns.mails or self._queues
        rules = scenario.fulfillment
        self._backorder_slots = sum(rules.count_slots(c) for c in scenario.channels)
        self._has_offers = "partial" in {rules.get_unmet(c) for c in scenario.channels}

    def make_state(self, seed: SeedArray, split: Split = "train") -> State:
        """Returns the state at the start of an episode: stock on hand, empty pipelines.

        Args:
            seed: of each copy's exogenous draws, (B,).
            split: which part of recorded demand an episode comes from.
        """
        copies, net, rules = len(seed), self.network, self.scenario
        mean = self.demand.mean.sum(axis=-1)  # (S, K)
        stores = np.rint(rules.initial_store_cover * mean)
        dcs = np.rint(rules.initial_dc_cover * net.sum_by_dc(mean[None])[0])
        by_node = np.concatenate([dcs, stores]).astype(np.int64)
        on_hand = np.broadcast_to(by_node, (copies, *by_node.shape)).copy()
        cells = (net.num_stores, net.num_skus)

        def empty(*shape: int) -> IntArray:
            return np.zeros((copies, *shape), np.int64)

        return State(
            seed=seed,
            period=empty(),
            day=self.demand.sample_start(seed, rules.horizon, split),
            return_rate=self.returns.sample_rate(seed),
            on_hand=on_hand,
            in_transit=empty(self._transit_slots, net.num_nodes, net.num_skus),
            in_inspection=empty(rules.returns.inspection_days, *cells),
            backorders=empty(self._backorder_slots, *cells),
            returns_due=empty(len(self.returns.delays), *cells),
            mail_due=empty(len(self.returns.delays) * self.returns.mails, *cells),
            inspection_queue=empty(net.num_nodes * self._queues, net.num_skus),
            log_drift=self.demand.sample_log_drift(seed),
            record_error=self.records.make_error(seed, on_hand),
            shelf=self.shelves.make(on_hand),
        )

    def sample_demand(self, state: State) -> Demand:
        """Draws what the world brings in the state's period (event 4 and the draws of event 6)."""
        seed, period = state.seed, state.period
        units = self.demand.sample_units(state)
        cells = units.shape[1:-1]
        return Demand(
            units=units,
            return_rate=state.return_rate,
            return_rounding=draws.sample_uniform(seed, period, draws.RETURN_ROUNDING, cells),
            scrap_rounding=draws.sample_uniform(seed, period, draws.SCRAP_ROUNDING, cells),
            next_log_drift=self.demand.step_log_drift(state),
            dc_offer=(
                draws.sample_uniform(seed, period, draws.DC_OFFER, (*cells, 2))
                if self._has_offers
                else None
            ),
            rationing=(
                draws.sample_uniform(seed, period, draws.RATIONING, cells[:1])
                if get_rule(self.scenario.fulfillment.rationing).is_random
                else None
            ),
            record_draws=self.records.sample_draws(seed, period),
            lead_time=self.pipelines.sample_lead_times(seed, period),
            confirmed=self.supply.sample_confirmed(seed, period),
        )

    def simulate_period(
        self, state: State, decisions: Decisions, demand: Demand
    ) -> tuple[State, Flows]:
        """Advances all copies by a period: events 3 to 7, then the next event 1.

        Args:
            state: after arrivals; not modified.
            decisions: feasible, in units.
            demand: of this period.

        Returns:
            The state after the next arrivals, and the flows of the period.
        """
        net = self.network
        supplied = self.supply.confirm(decisions.supplier_order, demand.confirmed)
        shipped = ration(
            decisions.shipment,
            self._available_to_ship(state, supplied),
            net,
            self.scenario.fulfillment.rationing,
            demand.rationing,
        )
        shipped = self.supply.limit_shipments(shipped)
        on_hand, sent = self.pipelines.dispatch(state.on_hand, supplied, shipped, demand.lead_time)
        moved_out, moved_in = self.pipelines.transship(on_hand, decisions, shipped)
        served = fulfill_demand(
            on_hand,
            state.backorders,
            demand.units,
            decisions.online_share,
            net,
            self.scenario.fulfillment,
            demand.dc_offer,
        )

        returned, returns_due = self.returns.collect(state.returns_due, served.handed_over, demand)
        scrapped = self.returns.scrap(returned, demand.scrap_rounding)
        disposed = split_by_shares(returned - scrapped, decisions.disposition)
        nothing = no_units(returned.shape)
        mailed, mail_due = nothing, state.mail_due
        if self.returns.mails:
            came, mail_due = self.returns.collect_mail(mail_due, served.handed_over, demand)
            unfit = self.returns.scrap(came, 1 - demand.scrap_rounding)
            mailed = came - unfit
            returned, scrapped = returned + came, scrapped + unfit
        left = served.on_hand
        stores = left[:, net.num_dcs :]
        inspected, queue = self._begin_inspection(state, disposed[..., RESTOCK], mailed)
        if not self.scenario.returns.inspection_days:  # back on the shelf before the day ends
            left[:, -inspected.shape[1] :] += inspected
        shrunk = wasted = nothing
        if demand.record_draws is not None:
            shrunk = self.records.shrink(stores, demand.record_draws)
            stores -= shrunk
        shelf, record_error = state.shelf, state.record_error
        if self.shelves.are_used:
            received = (on_hand - state.on_hand)[:, net.num_dcs :] + moved_out
            shelf, wasted = self.shelves.age(shelf, received, moved_out, served, shrunk)
            stores -= wasted
        if demand.record_draws is not None:
            record_error = self.records.update_error(state, stores, shrunk, demand.record_draws)
        flows = Flows(
            supplied=supplied,
            requested=decisions.shipment,
            shipped=shipped,
            transshipped_out=moved_out,
            transshipped_in=moved_in,
            demand=demand.units,
            sold_store=served.sold_store,
            sold_pickup=served.sold_pickup,
            store_from_dc=served.store_from_dc,
            pickup_from_dc=served.pickup_from_dc,
            online_from_store=served.online_from_store,
            online_from_dc=served.online_from_dc,
            on_time=served.on_time,
            lost=served.lost,
            waiting=sum_axis(served.backorders, 1),
            wait_days=served.wait_days,
            returned=returned,
            restocked=disposed[..., RESTOCK],
            consolidated=disposed[..., CONSOLIDATE],
            liquidated=disposed[..., LIQUIDATE],
            scrapped=scrapped,
            mailed=mailed,
            queued=queue,
            shrunk=shrunk,
            wasted=wasted,
            on_hand=left,
            record_error=record_error,
        )
        arrived, in_transit = self.pipelines.move(state, flows, sent, demand.lead_time)
        next_on_hand, in_inspection = self._arrive(state, flows, arrived, in_transit, inspected)
        if self.shelves.are_used:
            shelf = self.shelves.add(shelf, (next_on_hand - left)[:, net.num_dcs :])
        after = replace(
            state,
            period=state.period + 1,
            day=state.day + 1,
            on_hand=next_on_hand,
            in_transit=in_transit,
            in_inspection=in_inspection,
            backorders=served.backorders,
            returns_due=returns_due,
            mail_due=mail_due,
            inspection_queue=queue,
            log_drift=demand.next_log_drift,
            record_error=record_error,
            shelf=shelf,
        )
        return after, flows

    def _available_to_ship(self, state: State, supplied: IntArray) -> IntArray:
        """What the DCs can dispatch: on hand, and orders that arrive within event 3, (B, W, K)."""
        num_dcs = self.network.num_dcs
        at_once = (self.network.lead_time[:num_dcs] == 0)[:, None]
        return state.on_hand[:, :num_dcs] + at_once * supplied

    def _begin_inspection(
        self, state: State, restocked: IntArray, mailed: IntArray
    ) -> tuple[IntArray, IntArray]:
        """Returns the units whose inspection begins now, and the queue left behind, (B, N, K).

        Without mail and queues only stores inspect, and the former is (B, S, K).
        """
        net = self.network
        if not self._inspects_at_dcs:
            return restocked, state.inspection_queue
        waiting = np.concatenate([net.sum_by_dc(mailed), restocked], axis=1)
        if not self._queues:
            return waiting, state.inspection_queue
        waiting += state.inspection_queue
        begun = limit_by_node(waiting, self.scenario.returns.inspection_capacity or 0)
        return begun, waiting - begun

    def _arrive(
        self,
        state: State,
        flows: Flows,
        arrived: IntArray,
        in_transit: IntArray,
        inspected: IntArray,
    ) -> tuple[IntArray, IntArray]:
        """Event 1 of the next period, with the inspections that this one began.

        What DCs begin to inspect goes into `arrived` or `in_transit`, in place.

        Returns:
            On hand then, (B, N, K), and what is in inspection at stores, (B, days, S, K).
        """
        net, in_inspection = self.network, state.in_inspection
        days = in_inspection.shape[1]
        if days and self.returns.mails:
            dcs = slice(None, net.num_dcs)
            send(inspected[:, dcs], days, dcs, arrived, in_transit)
        on_hand = flows.on_hand + arrived
        if days:
            done, in_inspection = shift(in_inspection, inspected[:, -net.num_stores :])
            on_hand[:, net.num_dcs :] += done
        return on_hand, in_inspection
