"""Decisions of a period, and the ledger of what moves in it.

Axes as in `types`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from envs.omnichannel.types import ArrayRecord, FloatArray, IntArray

# Target of a decision -> its proposals, (P, ...) by the decision's proposers, else as in `Targets`.
Proposals = Mapping[str, FloatArray]


@dataclass(frozen=True, kw_only=True)
class Targets(ArrayRecord):
    """What each decision aims at, coordinated but not yet feasible."""

    supplier_gap: FloatArray  # (B, W, K) order-up-to target minus position, units, signed
    shipment_gap: FloatArray  # (B, S, K) the same of the stores
    online_share: FloatArray  # (B, S, K) of online orders served from the store
    disposition: FloatArray  # (B, S, K, 3) shares of returns, sum 1


@dataclass(frozen=True, kw_only=True)
class Decisions(ArrayRecord):
    """What is done in event 3 and after."""

    supplier_order: IntArray  # (B, W, K) units >= 0
    shipment: IntArray  # (B, S, K) units >= 0 requested from the parent DC
    online_share: FloatArray  # (B, S, K) in [0, 1]
    disposition: FloatArray  # (B, S, K, 3) in [0, 1], sum 1
    surplus: IntArray | None = None  # (B, S, K) units above the target, free for other stores
    # (B, 2, S, K) positions, units, and rates, units a period; where DCs ration by cover
    covers: FloatArray | None = None


class Ledger(NamedTuple):
    """What compiled loops read of `Flows`, each without gaps."""

    supplied: IntArray
    shipped: IntArray
    transshipped_in: IntArray
    demand: IntArray
    sold_store: IntArray
    sold_pickup: IntArray
    store_from_dc: IntArray
    pickup_from_dc: IntArray
    online_from_store: IntArray
    online_from_dc: IntArray
    on_time: IntArray
    lost: IntArray
    waiting: IntArray
    wait_days: IntArray
    returned: IntArray
    restocked: IntArray
    consolidated: IntArray
    liquidated: IntArray
    scrapped: IntArray
    mailed: IntArray
    shrunk: IntArray
    wasted: IntArray
    on_hand: IntArray


_get_ledger = attrgetter(*Ledger._fields)


@dataclass(frozen=True, kw_only=True)
class Flows(ArrayRecord):
    """The ledger of a period: what moved. Costs, reward and metrics read it, none recomputes it."""

    supplied: IntArray  # (B, W, K) ordered from suppliers, in transit from now on
    requested: IntArray  # (B, S, K) asked of the DC
    shipped: IntArray  # (B, S, K) dispatched by the DC
    transshipped_out: IntArray  # (B, S, K) to other stores of the DC
    transshipped_in: IntArray  # (B, S, K) from other stores, in transit from now on
    demand: IntArray  # (B, S, K, C)
    sold_store: IntArray  # (B, S, K) to walk-ins, from the store
    sold_pickup: IntArray  # (B, S, K) collected in the store
    store_from_dc: IntArray  # (B, S, K) walk-ins whom the DC served at once
    pickup_from_dc: IntArray  # (B, S, K)
    online_from_store: IntArray  # (B, S, K)
    online_from_dc: IntArray  # (B, S, K)
    on_time: IntArray  # (B, S, K, C) of this period's demand, served this period
    lost: IntArray  # (B, S, K, C)
    waiting: IntArray  # (B, S, K) orders open at the end of the period
    wait_days: IntArray  # (B, S, K) unit-days that online orders served this period had waited
    returned: IntArray  # (B, S, K) came back this period, to the store or by mail
    restocked: IntArray  # (B, S, K)
    consolidated: IntArray  # (B, S, K)
    liquidated: IntArray  # (B, S, K)
    scrapped: IntArray  # (B, S, K)
    mailed: IntArray  # (B, S, K) resaleable units that came by mail, now the DC's
    shrunk: IntArray  # (B, S, K) vanished from the stores
    wasted: IntArray  # (B, S, K) perishables whose last day in the store ended
    on_hand: IntArray  # (B, N, K) at the end of the period, before the next arrivals
    # Stocks at the end; None where the scenario has none of it:
    queued: IntArray | None = None  # (B, N, K) waits for inspection
    record_error: IntArray | None = None  # (B, S, K) recorded - real stock
    # Walk-ins who took another SKU; None without substitution:
    substituted_out: IntArray | None = None  # (B, S, K) of what was sold out, neither sold nor lost
    substituted_in: IntArray | None = None  # (B, S, K) sold in its place, beside `sold_store`
    # (B, N, K) was due at the next event 1 and did not arrive; None where all that is sent arrives
    undelivered: IntArray | None = None
    # (B, W, K) who got each order, -1 without a name; None where no supplier has prices of its own
    supplier: IntArray | None = None

    @cached_property
    def ledger(self) -> Ledger:
        """The arrays for compiled loops."""
        return Ledger._make(map(np.ascontiguousarray, _get_ledger(self)))

    @cached_property
    def served(self) -> IntArray:
        """Units handed over this period by channel, backorders included, (B, S, K, C)."""
        online = self.online_from_store + self.online_from_dc
        channels = [self.sold_store + self.store_from_dc, online]
        if self.demand.shape[-1] > 2:
            channels.append(self.sold_pickup + self.pickup_from_dc)
        return np.stack(channels, axis=-1)
