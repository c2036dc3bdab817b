"""Event 5: walk-ins and pickups from the store, online orders from store and DC, oldest first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr

from envs.omnichannel.network_rules import Fulfillment, Unmet
from envs.omnichannel.scenario import CHANNELS, PICKUP_CHANNEL
from envs.omnichannel.types import (
    ONLINE,
    PICKUP,
    STORE,
    FloatArray,
    IntArray,
    Network,
    sum_axis,
)
from envs.omnichannel.world.allocation import ration_proportionally


@dataclass(frozen=True)
class Fulfilled:
    """What event 5 did; units, (B, S, K) unless noted."""

    on_hand: IntArray  # (B, N, K) afterwards
    backorders: IntArray  # (B, P, S, K) afterwards
    sold_store: IntArray
    sold_pickup: IntArray
    store_from_dc: IntArray
    pickup_from_dc: IntArray
    online_from_store: IntArray
    online_from_dc: IntArray
    on_time: IntArray  # (B, S, K, C)
    lost: IntArray  # (B, S, K, C)
    wait_days: IntArray  # unit-days that the online orders served now had waited
    handed_over: IntArray  # (B, S, K, C) backorders included


@dataclass(frozen=True)
class _Counter:
    """What became of a channel that the store serves, (B, S, K)."""

    handed_over: IntArray  # from the store and from the DC
    from_dc: IntArray
    on_time: IntArray
    lost: IntArray
    backorders: IntArray  # (B, P_c, S, K)


@dataclass(frozen=True)
class _Kept:
    """What became of a channel's orders, (B, S, K) unless noted."""

    backorders: IntArray  # (B, P_c, S, K) afterwards
    on_time: IntArray  # of the new demand
    lost: IntArray
    wait_days: IntArray


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
    dcs, stores = on_hand[:, : network.num_dcs], on_hand[:, network.num_dcs :]
    with_pickup = demand.shape[-1] > 2
    online_end = rules.count_slots(CHANNELS[ONLINE])
    store_end = online_end + rules.count_slots(CHANNELS[STORE])
    owed = backorders[:, online_end:store_end], backorders[:, store_end:]

    sold_store = np.minimum(stores, _add_waiting(demand[..., STORE], owed[0]))
    stores = stores - sold_store
    none = np.broadcast_to(np.int64(0), sold_store.shape)
    sold_pickup = none
    if with_pickup:
        sold_pickup = np.minimum(stores, _add_waiting(demand[..., PICKUP], owed[1]))
        stores = stores - sold_pickup
    offered = np.maximum(stores - rules.reserve, 0)

    waiting = sum_axis(backorders[:, :online_end], 1)
    orders = waiting + demand[..., ONLINE]
    at_store = np.floor(online_share * orders + 0.5).astype(np.int64)
    from_store = np.minimum(at_store, offered)
    from_dc = ration_proportionally(orders - at_store, dcs, network)
    if rules.spill_over:
        left = dcs - network.sum_by_dc(from_dc)
        from_dc = from_dc + ration_proportionally(at_store - from_store, left, network)
        from_store = from_store + np.minimum(orders - from_store - from_dc, offered - from_store)
    dcs = dcs - network.sum_by_dc(from_dc)
    online = from_store + from_dc
    online_kept = _keep_or_lose(
        backorders[:, :online_end], demand[..., ONLINE], online, rules.get_unmet(CHANNELS[ONLINE])
    )

    def serve_counter(channel: int, name: str, sold: IntArray, dcs: IntArray) -> _Counter:
        """What the DC adds to the units sold at a counter, and what becomes of the rest."""
        new, rule, waited = demand[..., channel], rules.get_unmet(name), owed[channel // PICKUP]
        from_dc, handed_over = none, sold
        if rule == "partial":
            assert dc_offer is not None, "`partial` needs the period's draw"
            accepted = thin(new - sold, rules.dc_offer, dc_offer[..., channel // PICKUP])
            from_dc = ration_proportionally(accepted, dcs, network)
            handed_over = sold + from_dc
        kept = _keep_or_lose(waited, new, handed_over, rule)
        return _Counter(handed_over, from_dc, kept.on_time, kept.lost, kept.backorders)

    counters = [serve_counter(STORE, CHANNELS[STORE], sold_store, dcs)]
    if counters[0].from_dc is not none:
        dcs = dcs - network.sum_by_dc(counters[0].from_dc)
    if with_pickup:
        counters.append(serve_counter(PICKUP, PICKUP_CHANNEL, sold_pickup, dcs))
        dcs = dcs - network.sum_by_dc(counters[1].from_dc)
    walk_in, pickup = counters[0], counters[1:]
    slots = [online_kept.backorders, *(c.backorders for c in counters if c.backorders.shape[1])]
    return Fulfilled(
        on_hand=np.concatenate([dcs, stores - from_store], axis=1),
        backorders=np.concatenate(slots, axis=1) if len(slots) > 1 else slots[0],
        sold_store=sold_store,
        sold_pickup=sold_pickup,
        store_from_dc=walk_in.from_dc,
        pickup_from_dc=pickup[0].from_dc if pickup else none,
        online_from_store=from_store,
        online_from_dc=from_dc,
        on_time=np.stack(
            [walk_in.on_time, online_kept.on_time, *(c.on_time for c in pickup)], axis=-1
        ),
        lost=np.stack([walk_in.lost, online_kept.lost, *(c.lost for c in pickup)], axis=-1),
        handed_over=np.stack(
            [walk_in.handed_over, online, *(c.handed_over for c in pickup)], axis=-1
        ),
        wait_days=online_kept.wait_days,
    )


def _add_waiting(new: IntArray, backorders: IntArray) -> IntArray:
    return new + sum_axis(backorders, 1) if backorders.shape[1] else new


def thin(units: IntArray, probability: float, uniform: FloatArray) -> IntArray:
    """Returns how many of the units are kept, each with the probability: a binomial quantile.

    Args:
        units: (...), >= 0.
        probability: in [0, 1].
        uniform: in (0, 1), (...).
    """
    kept = np.zeros_like(units)
    if probability in {0, 1}:
        return units if probability else kept
    some = np.nonzero(units)
    u, n = uniform[some], units[some]
    count = np.zeros_like(n)
    # The quantile counts the values whose distribution function lies below u. Step by step,
    # because SciPy's inverse (bdtrik) does not come back for some arguments.
    for value in range(int(n.max(initial=0))):
        below = bdtr(np.minimum(value, n), n, probability) < u
        if not below.any():
            break
        count += below
    kept[some] = count
    return kept


def _keep_or_lose(backorders: IntArray, new: IntArray, served: IntArray, rule: Unmet) -> _Kept:
    """Serves who waits longest first; what is open then is lost or waits, by the rule.

    Args:
        backorders: of the channel by age, (B, P_c, S, K).
        new: this period's demand, (B, S, K).
        served: units handed over, (B, S, K).
        rule: what happens to unmet demand.
    """
    if rule in {"lost", "partial"}:
        return _Kept(backorders, served, new - served, np.zeros_like(served))
    waiting = sum_axis(backorders, 1)
    on_time = np.maximum(served - waiting, 0)
    if rule == "backorder":
        # Ages are not kept, so the days are counted while they pass instead of at the end.
        still = (waiting + new - served)[:, None]
        return _Kept(still, on_time, np.zeros_like(served), waiting)
    remaining, expired, wait_days = _serve_oldest_first(backorders, np.minimum(served, waiting))
    still = np.concatenate([(new - on_time)[:, None], remaining], axis=1)
    return _Kept(still, on_time, expired, wait_days)


def _serve_oldest_first(
    backorders: IntArray, served: IntArray
) -> tuple[IntArray, IntArray, IntArray]:
    """Takes `served` units (B, S, K) off the oldest orders; the last age slot then expires.

    Returns:
        The orders of the younger slots that still wait, (B, P - 1, S, K), the expired units, and
        the unit-days that the served units have waited.
    """
    # A unit of slot `age` has waited age + 1 days: one for each slot at which it is served already.
    wait_days = backorders.shape[1] * served
    remaining = backorders.copy()
    for age in reversed(range(backorders.shape[1])):
        taken = np.minimum(backorders[:, age], served)
        remaining[:, age] -= taken
        served = served - taken
        wait_days -= served
    return remaining[:, :-1], remaining[:, -1], wait_days
