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
    sum_axis,
)
from envs.omnichannel.world import draws
from envs.omnichannel.world.allocation import ration, split_by_shares
from envs.omnichannel.world.demand import Split, make_demand
from envs.omnichannel.world.fulfillment import fulfill_demand
from envs.omnichannel.world.returns import ReturnProcess
from envs.omnichannel.world.supply import Supply
from envs.omnichannel.world.transit import Pipelines, shift


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
       the DC (lane lead time + 1) or liquidated; a part is not resaleable and is scrapped.
    7. Account. Flows record all of it; costs, reward and metrics read them.

    A `State` is the situation between events 1 and 3, so `simulate_period` runs events 3 to 7 and
    the next period's event 1. A lead time of 0 arrives within event 3.

    Conservation, per copy and SKU, exact: initial on hand + supplied + returned = on hand + in
    transit + in inspection + sold + liquidated + scrapped.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.network = Network.from_scenario(scenario)
        self.demand = make_demand(scenario)
        self.returns = ReturnProcess(scenario)
        self.pipelines = Pipelines(scenario, self.network)
        self.supply = Supply(scenario, self.network)
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
        on_hand = np.concatenate([dcs, stores]).astype(np.int64)
        cells = (net.num_stores, net.num_skus)

        def empty(*shape: int) -> IntArray:
            return np.zeros((copies, *shape), np.int64)

        return State(
            seed=seed,
            period=empty(),
            day=self.demand.sample_start(seed, rules.horizon, split),
            return_rate=self.returns.sample_rate(seed),
            on_hand=np.broadcast_to(on_hand, (copies, *on_hand.shape)).copy(),
            in_transit=empty(self.pipelines.num_slots, net.num_nodes, net.num_skus),
            in_inspection=empty(rules.returns.inspection_days, *cells),
            backorders=empty(self._backorder_slots, *cells),
            returns_due=empty(len(self.returns.delays), *cells),
        )

    def sample_demand(self, state: State) -> Demand:
        """Draws what the world brings in the state's period (event 4 and the draws of event 6)."""
        seed, period = state.seed, state.period
        units = self.demand.sample_units(seed, period, state.day)
        cells = units.shape[1:-1]
        return Demand(
            units=units,
            return_rate=state.return_rate,
            return_rounding=draws.sample_uniform(seed, period, draws.RETURN_ROUNDING, cells),
            scrap_rounding=draws.sample_uniform(seed, period, draws.SCRAP_ROUNDING, cells),
            dc_offer=(
                draws.sample_uniform(seed, period, draws.DC_OFFER, (*cells, 2))
                if self._has_offers
                else None
            ),
            rationing=(
                draws.sample_uniform(seed, period, draws.RATIONING, cells[:1])
                if self.scenario.fulfillment.rationing == "random_order"
                else None
            ),
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
        on_hand, in_transit = self.pipelines.dispatch(state, supplied, shipped, demand.lead_time)
        moved_out, moved_in = self.pipelines.transship(on_hand, in_transit, decisions, shipped)
        served = fulfill_demand(
            on_hand,
            state.backorders,
            demand.units,
            decisions.online_share,
            net,
            self.scenario.fulfillment,
            demand.dc_offer,
        )

        returns_due = state.returns_due + self.returns.schedule(served.handed_over, demand)
        returned = returns_due[:, 0]
        scrapped = self.returns.scrap(returned, demand)
        disposed = split_by_shares(returned - scrapped, decisions.disposition)
        on_hand = served.on_hand
        if not self.scenario.returns.inspection_days:  # back on the shelf before the day ends
            on_hand[:, net.num_dcs :] += disposed[..., RESTOCK]
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
            returned=returned,
            restocked=disposed[..., RESTOCK],
            consolidated=disposed[..., CONSOLIDATE],
            liquidated=disposed[..., LIQUIDATE],
            scrapped=scrapped,
            on_hand=on_hand,
        )
        after = replace(
            state,
            period=state.period + 1,
            day=state.day + 1,
            backorders=served.backorders,
            returns_due=shift(returns_due),
        )
        return self._arrive(after, flows, in_transit), flows

    def _available_to_ship(self, state: State, supplied: IntArray) -> IntArray:
        """What the DCs can dispatch: on hand, and orders that arrive within event 3, (B, W, K)."""
        num_dcs = self.network.num_dcs
        at_once = (self.network.lead_time[:num_dcs] == 0)[:, None]
        return state.on_hand[:, :num_dcs] + at_once * supplied

    def _arrive(self, state: State, flows: Flows, in_transit: IntArray) -> State:
        """Sends returns on their way, then event 1 of the next period."""
        net = self.network
        self.pipelines.send_returns(flows, in_transit)
        on_hand = flows.on_hand + in_transit[:, 0]
        in_inspection = state.in_inspection
        if in_inspection.shape[1]:
            in_inspection = in_inspection.copy()
            in_inspection[:, -1] += flows.restocked
            on_hand[:, net.num_dcs :] += in_inspection[:, 0]
            in_inspection = shift(in_inspection)
        return replace(
            state, on_hand=on_hand, in_transit=shift(in_transit), in_inspection=in_inspection
        )
