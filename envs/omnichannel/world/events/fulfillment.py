"""Event 5: walk-ins and pickups from the store, online orders from store and DC, oldest first."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from math import floor

import numpy as np

from envs.compiler import compiled
from envs.omnichannel.scenario import CHANNELS, PICKUP_CHANNEL, Scenario
from envs.omnichannel.scenario.fulfillment import Fulfillment
from envs.omnichannel.types import (
    ONLINE,
    PICKUP,
    STORE,
    FloatArray,
    IntArray,
    Network,
    SeedArray,
    State,
    no_units,
    sum_axis,
)
from envs.omnichannel.world import draws
from envs.omnichannel.world.allocation.ration import ration
from envs.omnichannel.world.demand.quantiles import thin
from envs.omnichannel.world.period import Event, Fields, Period

_NAMES = (*CHANNELS, PICKUP_CHANNEL)  # along axis C


class Fulfil(Event):
    """Serves the period's demand, as the scenario's `fulfillment` says."""

    def __init__(self, scenario: Scenario, network: Network) -> None:
        super().__init__(scenario, network)
        self._rules = rules = scenario.fulfillment
        self._slots = sum(rules.count_slots(c) for c in scenario.channels)
        self._has_offers = "partial" in {rules.get_unmet(c) for c in scenario.channels}

    def begin(self, seed: SeedArray, on_hand: IntArray) -> Fields:
        """Returns `backorders`: nobody waits yet."""
        net = self.network
        shape = (len(seed), self._slots, net.num_stores, net.num_skus)
        return {"backorders": np.zeros(shape, np.int64)}

    def draw(self, state: State) -> dict[str, FloatArray | IntArray]:
        """Draws who accepts the DC's offer, (B, S, K, 2), where a channel makes one."""
        if not self._has_offers:
            return {}
        shape = (*state.return_rate.shape[1:], 2)
        return {"dc_offer": draws.sample_uniform(state.seed, state.period, draws.DC_OFFER, shape)}

    def apply(self, period: Period) -> None:
        """Serves all copies' demand."""
        served = fulfill_demand(
            period.on_hand,
            period.state.backorders,
            period.demand.units,
            period.decisions.online_share,
            self.network,
            self._rules,
            period.demand.dc_offer,
        )
        period.offered, period.on_hand = period.on_hand, served.on_hand
        period.handed_over = served.handed_over
        period.after["backorders"] = served.backorders
        for name in _LEDGER:
            period.flows[name] = getattr(served, name)
        period.flows["waiting"] = sum_axis(served.backorders, 1)


@dataclass(frozen=True, kw_only=True)
class Fulfilled:
    """What was served; units, (B, S, K) unless noted."""

    on_hand: IntArray  # (B, N, K) afterwards
    backorders: IntArray  # (B, P, S, K) afterwards
    handed_over: IntArray  # (B, S, K, C) backorders included
    sold_store: IntArray
    sold_pickup: IntArray
    store_from_dc: IntArray
    pickup_from_dc: IntArray
    online_from_store: IntArray
    online_from_dc: IntArray
    on_time: IntArray  # (B, S, K, C)
    lost: IntArray  # (B, S, K, C)
    wait_days: IntArray  # unit-days that the online orders served now had waited


_LEDGER = tuple(
    f.name for f in fields(Fulfilled) if f.name not in {"on_hand", "backorders", "handed_over"}
)


def fulfill_demand(
    on_hand: IntArray,
    backorders: IntArray,
    demand: IntArray,
    online_share: FloatArray,
    network: Network,
    rules: Fulfillment,
    dc_offer: FloatArray | None = None,
) -> Fulfilled:
    """Serves walk-ins, pickups, then online orders; in each channel who waits comes first.

    Walk-ins and then pickups are served from the store. The decided share of online orders
    (rounded half up) goes to the store, the rest to its DC, which rations proportionally when it
    is short. With spill-over each source then helps the other. Stores keep `reserve` units back
    from online orders. Last come the `partial` channels' short units that customers let the DC
    serve. What is unmet then is lost or waits, as the channel's rule says.

    Args:
        on_hand: (B, N, K).
        backorders: by channel and age, (B, P, S, K).
        demand: (B, S, K, C).
        online_share: of online orders that the store serves, (B, S, K).
        network: for the stores of each DC.
        rules: what happens to unmet demand, spill-over, reserve.
        dc_offer: uniform draws that `partial` channels need, (B, S, K, 2).

    Returns:
        Stocks and backorders afterwards and everything that was served or lost.
    """
    slots, forever = _list_slots(rules, demand.shape[-1])
    demand, backorders = np.ascontiguousarray(demand), np.ascontiguousarray(backorders)
    on_hand, sold, short, for_dc = _serve_from_stores(
        on_hand, demand, backorders, slots, online_share, rules.reserve
    )
    from_store = sold[..., ONLINE].copy()
    from_dc = _serve_online(on_hand, from_store, short, for_dc, network, rules)
    sold[..., ONLINE] = from_store + from_dc
    store_by_dc, pickup_by_dc = _offer_to_dcs(on_hand, demand, sold, network, rules, dc_offer)
    after, on_time, lost, wait_days = _settle_orders(backorders, demand, sold, slots, forever)
    return Fulfilled(
        on_hand=on_hand,
        backorders=after,
        handed_over=sold,
        sold_store=sold[..., STORE] - store_by_dc,
        sold_pickup=sold[..., PICKUP] - pickup_by_dc if sold.shape[-1] > PICKUP else pickup_by_dc,
        store_from_dc=store_by_dc,
        pickup_from_dc=pickup_by_dc,
        online_from_store=from_store,
        online_from_dc=from_dc,
        on_time=on_time,
        lost=lost,
        wait_days=wait_days,
    )


def _serve_online(
    on_hand: IntArray,
    from_store: IntArray,
    short: IntArray,
    for_dc: IntArray,
    network: Network,
    rules: Fulfillment,
) -> IntArray:
    """Serves online orders from the DCs and by spill-over; returns the DCs' units, (B, S, K).

    Args:
        on_hand: (B, N, K), changed in place.
        from_store: units that stores served, (B, S, K), to which their help is added in place.
        short: orders that the stores were to serve and could not, (B, S, K).
        for_dc: orders that the DCs are to serve, (B, S, K).
        network: for the stores of each DC.
        rules: for spill-over and reserve.
    """
    dcs, stores = on_hand[:, : network.num_dcs], on_hand[:, network.num_dcs :]
    from_dc = ration(for_dc, dcs, network)
    if rules.spill_over:
        left = dcs - network.sum_by_dc(from_dc)
        helped = ration(short, left, network)
        still_open = for_dc - from_dc + short - helped
        more = np.minimum(still_open, np.maximum(stores - rules.reserve, 0))
        from_store += more
        stores -= more
        from_dc = from_dc + helped
    dcs -= network.sum_by_dc(from_dc)
    return from_dc


def _offer_to_dcs(
    on_hand: IntArray,
    demand: IntArray,
    sold: IntArray,
    network: Network,
    rules: Fulfillment,
    dc_offer: FloatArray | None,
) -> tuple[IntArray, IntArray]:
    """Lets DCs serve what `partial` channels lack; returns walk-ins and pickups, (B, S, K) each.

    Takes the units out of `on_hand` and adds them to `sold`, in place.
    """
    dcs = on_hand[:, : network.num_dcs]
    served = [no_units(demand.shape[:-1])] * 2
    for i, channel in enumerate((STORE, PICKUP)):
        if channel < demand.shape[-1] and rules.get_unmet(_NAMES[channel]) == "partial":
            assert dc_offer is not None, "`partial` needs the period's draw"
            missing = demand[..., channel] - sold[..., channel]
            accepted = thin(missing, rules.dc_offer, dc_offer[..., i])
            served[i] = ration(accepted, dcs, network)
            dcs -= network.sum_by_dc(served[i])
            sold[..., channel] += served[i]
    return served[0], served[1]


@cache
def _list_slots(rules: Fulfillment, channels: int) -> tuple[IntArray, IntArray]:
    """Where each channel's backorders are: the first age slot and the one after its last, (C, 2).

    Online orders come first in `State.backorders`, then walk-ins, then pickups. Also whether a
    channel's orders wait without limit, (C,).
    """
    slots, end = np.zeros((channels, 2), np.int64), 0
    for channel in (ONLINE, STORE, PICKUP)[:channels]:
        start, end = end, end + rules.count_slots(_NAMES[channel])
        slots[channel] = start, end
    forever = [rules.get_unmet(name) == "backorder" for name in _NAMES[:channels]]
    return slots, np.array(forever)


@compiled
def _serve_from_stores(
    on_hand: IntArray,
    demand: IntArray,
    backorders: IntArray,
    slots: IntArray,
    online_share: FloatArray,
    reserve: int,
) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Serves walk-ins, pickups, then online orders from each store; who waits counts as well.

    Args:
        on_hand: (B, N, K), stores last.
        demand: (B, S, K, C).
        backorders: (B, P, S, K).
        slots: of channel c are `slots[c, 0]` to `slots[c, 1]`, (C, 2).
        online_share: of online orders that the store is to serve, (B, S, K).
        reserve: units kept back from online orders.

    Returns:
        On hand afterwards; units sold by channel, (B, S, K, C); online orders beyond them that the
        store was to serve, and those that the DC is to serve, (B, S, K).
    """
    copies, stores, skus, channels = demand.shape
    first = on_hand.shape[1] - stores
    after = on_hand.copy()
    sold = np.empty(demand.shape, np.int64)
    short, for_dc = np.empty(demand.shape[:3], np.int64), np.empty(demand.shape[:3], np.int64)
    for b in range(copies):
        for s in range(stores):
            for k in range(skus):
                left = on_hand[b, first + s, k]
                for c in (STORE, PICKUP):
                    if c < channels:
                        orders = demand[b, s, k, c]
                        for slot in range(slots[c, 0], slots[c, 1]):
                            orders += backorders[b, slot, s, k]
                        units = min(left, orders)
                        sold[b, s, k, c] = units
                        left -= units
                orders = demand[b, s, k, ONLINE]
                for slot in range(slots[ONLINE, 0], slots[ONLINE, 1]):
                    orders += backorders[b, slot, s, k]
                wanted = floor(online_share[b, s, k] * orders + 0.5)
                units = min(wanted, max(left - reserve, 0))
                sold[b, s, k, ONLINE] = units
                short[b, s, k] = wanted - units
                for_dc[b, s, k] = orders - wanted
                after[b, first + s, k] = left - units
    return after, sold, short, for_dc


@compiled
def _settle_orders(
    backorders: IntArray,
    demand: IntArray,
    served: IntArray,
    slots: IntArray,
    forever: IntArray,
) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Hands units out to who waits longest; what is open then ages a slot, or is lost.

    Args:
        backorders: (B, P, S, K).
        demand: of the period, (B, S, K, C).
        served: units handed over by channel, (B, S, K, C).
        slots: of channel c are `slots[c, 0]` to `slots[c, 1]`, (C, 2).
        forever: whether a channel's orders wait without limit and without age, (C,).

    Returns:
        Backorders afterwards, (B, P, S, K); units of the new demand that were served and units
        lost, (B, S, K, C); unit-days that the online orders served now had waited, (B, S, K), which
        are counted while they pass where ages are not kept.
    """
    copies, stores, skus, channels = demand.shape
    after = np.empty_like(backorders)
    on_time, lost = np.empty_like(demand), np.empty_like(demand)
    wait_days = np.zeros((copies, stores, skus), np.int64)
    for b in range(copies):
        new, given, before, then = demand[b], served[b], backorders[b], after[b]
        for c in range(channels):
            start, end, ageless = slots[c, 0], slots[c, 1], forever[c]
            for s in range(stores):
                for k in range(skus):
                    left, kept, days = given[s, k, c], 0, 0
                    for slot in range(end - 1, start - 1, -1):
                        waiting = before[slot, s, k]
                        taken = min(waiting, left)
                        left -= taken
                        days += waiting if ageless else (slot - start + 1) * taken
                        if ageless or slot == end - 1:
                            kept = waiting - taken
                        else:
                            then[slot + 1, s, k] = waiting - taken
                    missing = new[s, k, c] - left
                    on_time[b, s, k, c] = left
                    if start == end:
                        lost[b, s, k, c] = missing
                    elif ageless:
                        then[start, s, k], lost[b, s, k, c] = kept + missing, 0
                    else:
                        then[start, s, k], lost[b, s, k, c] = missing, kept
                    if c == ONLINE:
                        wait_days[b, s, k] = days
    return after, on_time, lost, wait_days
