"""Event 5: walk-ins and pickups from the store, online orders from store and DC, oldest first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from envs.omnichannel.scenario import CHANNELS, PICKUP_CHANNEL
from envs.omnichannel.scenario.fulfillment import Fulfillment
from envs.omnichannel.types import (
    ONLINE,
    PICKUP,
    STORE,
    FloatArray,
    IntArray,
    Network,
    no_units,
)
from envs.omnichannel.world.allocation.ration import ration_proportionally
from envs.omnichannel.world.kernels import serve_from_stores, settle_orders

_NAMES = (*CHANNELS, PICKUP_CHANNEL)  # along axis C


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
    channels = demand.shape[-1]
    slots, forever = _list_slots(rules, channels)
    demand, backorders = np.ascontiguousarray(demand), np.ascontiguousarray(backorders)
    on_hand, sold, short, for_dc = serve_from_stores(
        on_hand, demand, backorders, slots, online_share, rules.reserve
    )
    dcs, stores = on_hand[:, : network.num_dcs], on_hand[:, network.num_dcs :]
    from_store = sold[..., ONLINE].copy()
    from_dc = ration_proportionally(for_dc, dcs, network)
    if rules.spill_over:
        left = dcs - network.sum_by_dc(from_dc)
        helped = ration_proportionally(short, left, network)
        still_open = for_dc - from_dc + short - helped
        more = np.minimum(still_open, np.maximum(stores - rules.reserve, 0))
        from_store += more
        stores -= more
        from_dc = from_dc + helped
    dcs -= network.sum_by_dc(from_dc)

    handed_over = sold
    handed_over[..., ONLINE] = from_store + from_dc
    none = no_units(from_dc.shape)
    by_dc = {STORE: none, PICKUP: none}  # walk-ins and pickups
    for counter, draw in ((STORE, 0), (PICKUP, 1)):
        if counter < channels and rules.get_unmet(_NAMES[counter]) == "partial":
            assert dc_offer is not None, "`partial` needs the period's draw"
            missing = demand[..., counter] - sold[..., counter]
            accepted = thin(missing, rules.dc_offer, dc_offer[..., draw])
            by_dc[counter] = ration_proportionally(accepted, dcs, network)
            dcs -= network.sum_by_dc(by_dc[counter])
            handed_over[..., counter] += by_dc[counter]
    after, on_time, lost, wait_days = settle_orders(backorders, demand, handed_over, slots, forever)
    return Fulfilled(
        on_hand=on_hand,
        backorders=after,
        sold_store=handed_over[..., STORE] - by_dc[STORE],
        sold_pickup=handed_over[..., PICKUP] - by_dc[PICKUP] if channels > PICKUP else none,
        store_from_dc=by_dc[STORE],
        pickup_from_dc=by_dc[PICKUP],
        online_from_store=from_store,
        online_from_dc=from_dc,
        on_time=on_time,
        lost=lost,
        wait_days=wait_days,
        handed_over=handed_over,
    )


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


def thin(units: IntArray, probability: float, uniform: FloatArray) -> IntArray:
    """Returns how many of the units are kept, each with the probability: a binomial quantile.

    Args:
        units: (...), >= 0.
        probability: in [0, 1].
        uniform: in (0, 1), (...).
    """
    from scipy.special import bdtr

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
