"""A recommendation's rows: every decision of a plan, and every node's outlook.

Beside each decision stands the one that a classical rule would make.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from envs.omnichannel.agents.positions import (
    compute_store_rate,
    compute_system_rate,
    count_online_waiting,
    count_positions,
)
from envs.omnichannel.scenario import DISPOSITIONS
from envs.omnichannel.types import FloatArray, IntArray, Network, View, sum_axis
from marl.planning.decision_maker import Proposed
from marl.planning.plan import Plan
from marl.planning.recommendation import Decision, Outlook


@dataclass(frozen=True, kw_only=True)
class PlanRows:
    """Two plans for the same day as the rows of a recommendation."""

    network: Network
    nodes: list[str]
    skus: list[str]
    plan: Plan
    classical: Plan

    def list_decisions(self, proposed: Proposed) -> Iterator[Decision]:
        """Yields supplier orders, shipments, then what the stores decide."""
        yield from self._list_orders(proposed)
        yield from self._list_store_decisions(proposed)

    def list_outlook(self, view: View) -> Iterator[Outlook]:
        """Yields stock, forecast, cover and risk of every node and SKU."""
        net, plan = self.network, self.plan
        position = count_positions(view, net).rows[0]
        rate = np.concatenate(
            [compute_system_rate(view, net), compute_store_rate(view, plan.decisions.online_share)],
            axis=1,
        )[0]
        brought = np.concatenate([plan.decisions.supplier_order, plan.decisions.shipment], axis=1)
        coming = sum_axis(view.in_transit, 1)
        coming[:, net.num_dcs :] += sum_axis(view.in_inspection, 1)
        waiting = sum_axis(view.backorders, 1)
        online = count_online_waiting(view, net)
        owed = np.concatenate([net.sum_by_dc(online), waiting - online], axis=1)
        for n, node in enumerate(self.nodes):
            for k, sku in enumerate(self.skus):
                before = int(position[n, k])
                yield Outlook(
                    node=node,
                    sku=sku,
                    on_hand=int(view.on_hand[0, n, k]),
                    on_the_way=int(coming[0, n, k]),
                    owed=int(owed[0, n, k]),
                    position=before,
                    forecast=float(rate[n, k]),
                    cover_before=_compute_cover(before, rate[n, k]),
                    cover_after=_compute_cover(before + int(brought[0, n, k]), rate[n, k]),
                    protection_days=int(net.lead_time[n]) + 1,
                    stockout_probability=float(plan.shortage[n, k]),
                    classical_stockout_probability=float(self.classical.shortage[n, k]),
                )

    def _list_orders(self, proposed: Proposed) -> Iterator[Decision]:
        """Supplier orders, then shipments to stores."""
        net, plan, other = self.network, self.plan, self.classical
        dcs, stores = self.nodes[: net.num_dcs], self.nodes[net.num_dcs :]
        yield from self._list_quantities(
            "order",
            ["supplier"] * len(dcs),
            dcs,
            plan.decisions.supplier_order[0],
            other.decisions.supplier_order[0],
            plan.wanted,
            proposed["supplier_gap"],
        )
        yield from self._list_quantities(
            "shipment",
            [dcs[w] for w in net.parent],
            stores,
            plan.decisions.shipment[0],
            other.decisions.shipment[0],
            plan.requested,
            proposed["shipment_gap"],
        )

    def _list_quantities(
        self,
        name: str,
        sources: list[str],
        destinations: list[str],
        units: IntArray,
        alternative: IntArray,
        requested: IntArray,
        proposals: Mapping[str, FloatArray],
    ) -> Iterator[Decision]:
        """Units for each destination and SKU, (W or S, K)."""
        for i, node in enumerate(destinations):
            for k, sku in enumerate(self.skus):
                yield Decision(
                    node=node,
                    sku=sku,
                    decision=name,
                    source=sources[i],
                    destination=node,
                    units=float(units[i, k]),
                    share=None,
                    requested=int(requested[i, k]),
                    proposals={m: float(gap[i, k]) for m, gap in proposals.items()},
                    classical=float(alternative[i, k]),
                )

    def _list_store_decisions(self, proposed: Proposed) -> Iterator[Decision]:
        """Who serves online orders and what is done with returns, expected units beside."""
        net, plan, other = self.network, self.plan, self.classical
        today = plan.today
        stores = self.nodes[net.num_dcs :]
        dcs = [self.nodes[w] for w in net.parent]
        online = proposed["online_share"]
        chosen, alternative = plan.decisions.online_share[0], other.decisions.online_share[0]
        customers = ["customers"] * len(stores)
        yield from self._list_shares(
            "online", stores, customers, chosen, alternative, today.online_from_store, online
        )
        rest = {m: 1 - share for m, share in online.items()}
        yield from self._list_shares(
            "online", dcs, customers, 1 - chosen, 1 - alternative, today.online_from_dc, rest
        )
        destinations = {"restock": stores, "consolidate": dcs, "liquidate": ["sale"] * len(stores)}
        units = (today.restocked, today.consolidated, today.liquidated)
        for d, name in enumerate(DISPOSITIONS):
            yield from self._list_shares(
                name,
                customers,
                destinations[name],
                plan.decisions.disposition[0, ..., d],
                other.decisions.disposition[0, ..., d],
                units[d],
                {m: shares[..., d] for m, shares in proposed["disposition"].items()},
            )

    def _list_shares(
        self,
        name: str,
        sources: list[str],
        destinations: list[str],
        share: FloatArray,
        alternative: FloatArray,
        units: IntArray,
        proposals: Mapping[str, FloatArray],
    ) -> Iterator[Decision]:
        """A share for each store and SKU, (S, K), with the mean of the futures' units."""
        expected = units.mean(axis=0)
        for s, store in enumerate(self.nodes[self.network.num_dcs :]):
            for k, sku in enumerate(self.skus):
                yield Decision(
                    node=store,
                    sku=sku,
                    decision=name,
                    source=sources[s],
                    destination=destinations[s],
                    units=float(expected[s, k]),
                    share=float(share[s, k]),
                    requested=None,
                    proposals={m: float(proposed[s, k]) for m, proposed in proposals.items()},
                    classical=float(alternative[s, k]),
                )


def _compute_cover(position: int, rate: float) -> float | None:
    """Days that the position lasts at the rate."""
    return position / rate if rate > 0 else None
