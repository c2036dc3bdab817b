"""Event 5: walk-ins from the store, online orders from the store and the DC, oldest first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from envs.omnichannel.scenario import Fulfillment
from envs.omnichannel.types import ONLINE, STORE, FloatArray, IntArray, Network, sum_axis
from envs.omnichannel.world.allocation import ration_proportionally


@dataclass(frozen=True)
class Fulfilled:
    """What event 5 did; units, (B, S, K) unless noted."""

    on_hand: IntArray  # (B, N, K) afterwards
    backorders: IntArray  # (B, P, S, K) afterwards
    sold_store: IntArray
    online_from_store: IntArray
    online_from_dc: IntArray
    on_time: IntArray  # (B, S, K, C)
    lost: IntArray  # (B, S, K, C)
    wait_days: IntArray  # of the waiting orders served now


def fulfill_demand(
    on_hand: IntArray,
    backorders: IntArray,
    demand: IntArray,
    online_share: FloatArray,
    network: Network,
    rules: Fulfillment,
) -> Fulfilled:
    """Serves walk-ins, then waiting and new online orders.

    The decided share of online orders (rounded half up) goes to the store, the rest to its DC,
    which rations proportionally when it is short. With spill-over each source then helps the
    other. Stores keep `reserve` units for walk-ins. Online orders that have waited `patience`
    periods and are still open are lost; unmet walk-in demand is lost at once.

    Args:
        on_hand: (B, N, K).
        backorders: by age, (B, P, S, K).
        demand: (B, S, K, C).
        online_share: of online orders that the store serves, (B, S, K).
        network: for the stores of each DC.
        rules: patience, spill-over, reserve.

    Returns:
        Stocks and backorders afterwards and everything that was served or lost.
    """
    dcs, stores = on_hand[:, : network.num_dcs], on_hand[:, network.num_dcs :]
    sold_store = np.minimum(stores, demand[..., STORE])
    stores = stores - sold_store
    offered = np.maximum(stores - rules.reserve, 0)

    waiting = sum_axis(backorders, 1)
    orders = waiting + demand[..., ONLINE]
    at_store = np.floor(online_share * orders + 0.5).astype(np.int64)
    from_store = np.minimum(at_store, offered)
    from_dc = ration_proportionally(orders - at_store, dcs, network)
    if rules.spill_over:
        left = dcs - network.sum_by_dc(from_dc)
        from_dc = from_dc + ration_proportionally(at_store - from_store, left, network)
        from_store = from_store + np.minimum(orders - from_store - from_dc, offered - from_store)
    served = from_store + from_dc

    on_time_online = np.maximum(served - waiting, 0)
    remaining, expired, wait_days = _serve_oldest_first(backorders, np.minimum(served, waiting))
    unserved = demand[..., ONLINE] - on_time_online
    if rules.patience:
        remaining = np.concatenate([unserved[:, None], remaining], axis=1)
        lost_online = expired
    else:
        lost_online = unserved
    return Fulfilled(
        on_hand=np.concatenate([dcs - network.sum_by_dc(from_dc), stores - from_store], axis=1),
        backorders=remaining,
        sold_store=sold_store,
        online_from_store=from_store,
        online_from_dc=from_dc,
        on_time=np.stack([sold_store, on_time_online], axis=-1),
        lost=np.stack([demand[..., STORE] - sold_store, lost_online], axis=-1),
        wait_days=wait_days,
    )


def _serve_oldest_first(
    backorders: IntArray, served: IntArray
) -> tuple[IntArray, IntArray, IntArray]:
    """Takes `served` units (B, S, K) off the oldest orders; the last age slot then expires.

    Returns:
        The orders of the younger slots that still wait, (B, P - 1, S, K), the expired units, and
        the unit-days that the served units have waited.
    """
    if backorders.shape[1] == 0:
        return backorders, np.zeros_like(served), np.zeros_like(served)
    # A unit of slot `age` has waited age + 1 days: one for each slot at which it is served already.
    wait_days = backorders.shape[1] * served
    remaining = backorders.copy()
    for age in reversed(range(backorders.shape[1])):
        taken = np.minimum(backorders[:, age], served)
        remaining[:, age] -= taken
        served = served - taken
        wait_days -= served
    return remaining[:, :-1], remaining[:, -1], wait_days
