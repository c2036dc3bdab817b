"""The simulator: (state, decisions, demand) -> (state, flows), without hidden state."""

from __future__ import annotations

from functools import cached_property
from typing import TypeVar

import numpy as np

from envs.errors import InputError
from envs.omnichannel.flows import Decisions, Flows
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.start import tabulate_start
from envs.omnichannel.types import Demand, FloatArray, IntArray, Network, SeedArray, State
from envs.omnichannel.world.demand import Split, make_demand
from envs.omnichannel.world.events import EVENTS
from envs.omnichannel.world.events.fulfillment import Fulfil
from envs.omnichannel.world.events.records import Count
from envs.omnichannel.world.events.substitution import Substitute
from envs.omnichannel.world.events.supply_cuts import CutSupply
from envs.omnichannel.world.period import Event, Fields, Period

EventT = TypeVar("EventT", bound=Event)


class Simulator:
    """B copies of the network, one period at a time.

    In every period (a day), in this order:

    1. **Arrivals.** Units whose lead time ends now become on hand: supplier to DC, DC to store,
       consolidated returns to the DC, inspected returns to the shelf. With a `delivery`, some
       order lines arrive in part or never.
    2. **Observe, propose, coordinate.** The agents see this state; the coordinator turns their
       proposals into one decision each, which fits `shelf_rules` and the assortment's dates.
    3. **Order and dispatch.** DCs order from suppliers, who confirm as much as announced cuts
       and their capacity allow, and dispatch to stores within stock and shipment capacity, with
       `order_rules` in whole packs. A DC that is short rations: `proportional`, `min_shortage`,
       `fair_share`, `equal_cover` or `random_order`. Lead times are fixed, or drawn for every
       order. With `transshipment`, stores above their target then help stores of the same DC
       that it left short.
    4. **Demand** (eq. 1, or another process) of every store region, SKU and channel (`store`,
       `online`, and `pickup` where a SKU has `pickup_demand`).
    5. **Fulfil.** Walk-ins, then pickups from the store. Online orders from the store (the
       decided share) and the DC (the rest). Unmet demand is, by channel, `lost`, waits without
       limit (`backorder`) or for `patience` days, or is offered to the DC (`partial`). By
       default walk-ins and pickups are lost and online orders wait three days. With
       `substitution`, a part of the walk-ins who would be lost take another SKU.
    6. **Returns** (eq. 2). Some of the sold units come back after a random delay and are
       restocked, consolidated to the DC or liquidated, in the decided shares; some are
       scrapped.
    7. **Account.** Perishables spoil; with `records`, units vanish and stock is counted. One
       ledger, `Flows`, gives costs (eq. 3, 4), reward (eq. 8) and metrics.

    Steps 3 and 5 to 7, and step 1 of the next period, are the `EVENTS` of this scenario, each of
    which says more in its file. A `State` is what there is between steps 1 and 3, so
    `simulate_period` runs from there to the next one. A lead time of 0 arrives within step 3.

    Conservation, per copy and SKU, exact: initial on hand + supplied + returned = on hand + in
    transit + in inspection or its queue + sold + liquidated + scrapped + shrunk + wasted +
    undelivered.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.network = Network.from_scenario(scenario)
        self.demand = make_demand(scenario)
        self._take([event(scenario, self.network) for event in EVENTS if event.is_on(scenario)])

    def find(self, kind: type[EventT]) -> EventT | None:
        """Returns the event of a class; None where the scenario has it off."""
        return next((event for event in self.events if isinstance(event, kind)), None)

    def put(self, event: Event) -> None:
        """Puts an event in the place of the one whose class it derives from."""
        self._take([event if isinstance(event, type(own)) else own for own in self.events])

    def _take(self, events: list[Event]) -> None:
        self.events = events
        # Asked in every period, so found beforehand.
        self._records, self._cuts = self.find(Count), self.find(CutSupply)
        # Behind the last event of step 5.
        self._served = 1 + max(
            i for i, e in enumerate(events) if isinstance(e, Fulfil | Substitute)
        )
        self._draws = [event.draw for event in events if type(event).draw is not Event.draw]

    def make_state(self, seed: SeedArray, split: Split = "train") -> State:
        """Returns the state at the start of an episode.

        There is stock on hand and nothing on its way, unless the scenario gives a start state.

        Args:
            seed: of each copy's exogenous draws, (B,).
            split: which part of recorded demand an episode comes from.
        """
        copies = len(seed)
        day = self.demand.sample_start(seed, self.scenario.horizon, split)
        slots = max(event.reach for event in self.events)
        on_hand, coming = self._make_stock(day)
        in_transit = np.zeros((copies, max(slots, len(coming)), *on_hand.shape[1:]), np.int64)
        in_transit[:, : len(coming)] = coming
        kept: Fields = {}
        for event in self.events:
            kept |= event.begin(seed, on_hand)
        return State(
            seed=seed,
            period=np.zeros(copies, np.int64),
            day=day,
            on_hand=on_hand,
            in_transit=in_transit,
            log_drift=self.demand.sample_log_drift(seed),
            **kept,
        )

    def _make_stock(self, day: IntArray) -> tuple[IntArray, IntArray]:
        """Units on hand, (B, N, K), and in transit by periods until they arrive, (L, N, K)."""
        rules, net = self.scenario, self.network
        if self._start is not None:
            given, coming = self._start
            return np.repeat(given[None], len(day), axis=0), coming
        mean = self.demand.mean_before(day).sum(axis=-1)  # (B, S, K)
        if net.dates is not None:
            mean = mean * net.dates.is_on_sale(day)
        stores = np.rint(rules.initial_store_cover * mean)
        dcs = np.rint(rules.initial_dc_cover * net.sum_by_dc(mean))
        on_hand = np.concatenate([dcs, stores], axis=1).astype(np.int64)
        return on_hand, np.zeros((0, *on_hand.shape[1:]), np.int64)

    @cached_property
    def _start(self) -> tuple[IntArray, IntArray] | None:
        """The scenario's start state, as `_make_stock` returns it, of one copy."""
        rules = self.scenario
        if rules.start is None:
            return None
        if rules.start.file is not None:
            raise InputError(
                f"start.file: '{rules.start.file}' is not read yet; load_scenario reads it"
            )
        return tabulate_start(rules.start, rules.node_names, rules.sku_names)

    def sample_demand(self, state: State) -> Demand:
        """Draws what the world brings in the state's period: demand, and the events' draws."""
        drawn: Fields = {}
        for draw in self._draws:
            drawn.update(draw(state))
        return Demand(
            units=self._sample_units(state),
            next_log_drift=self.demand.step_log_drift(state),
            **drawn,
        )

    def _sample_units(self, state: State) -> IntArray:
        """The demand of what is on sale, (B, S, K, C)."""
        units, dates = self.demand.sample_units(state), self.network.dates
        return units if dates is None else units * dates.is_on_sale(state.day)[..., None]

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
        period = Period(state, decisions, demand)
        for event in self.events:
            event.apply(period)
        return period.finish()

    def serve_demand(self, state: State, decisions: Decisions, demand: Demand) -> Flows:
        """Returns a period's flows until its demand is served, events 3 to 5; others are zero.

        Args as of `simulate_period`.
        """
        period = Period(state, decisions, demand)
        for event in self.events[: self._served]:
            event.apply(period)
        return period.finish()[1]

    def show(self, state: State) -> State:
        """Returns the state as the stock records have it; the state itself where they are right."""
        return state if self._records is None else self._records.show(state)

    def announce(self, state: State) -> FloatArray | None:
        """Returns the shares that suppliers will confirm, (B, W, H); None without supply cuts."""
        return None if self._cuts is None else self._cuts.announce(state.seed, state.period)
