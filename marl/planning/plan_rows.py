"""A recommendation's rows: every decision of a plan, and every node's outlook.

Beside each decision stands the one that a classical rule would make.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from itertools import product, repeat
from typing import Any, TypeVar

import numpy as np

from envs.omnichannel.agents.decisions import DECISIONS
from envs.omnichannel.agents.decisions.base import Decision as AnyDecision
from envs.omnichannel.agents.decisions.base import Line
from envs.omnichannel.agents.positions import (
    compute_store_rate,
    compute_system_rate,
    count_online_waiting,
    count_positions,
)
from envs.omnichannel.flows import Flows
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.order_rules import tabulate_rules
from envs.omnichannel.scenario.schedule import DEFAULT
from envs.omnichannel.types import FloatArray, IntArray, Network, View, sum_axis
from envs.omnichannel.world.account.costs import Ordering
from envs.omnichannel.world.account.transport import Transport
from marl.planning.decision_maker import Proposed
from marl.planning.plan import Plan
from marl.planning.recommendation import Decision, Outlook

SUPPLIER = "supplier"  # who has no name
RowT = TypeVar("RowT", Decision, Outlook)
# What moves beside orders and shipments, and is paid on later days or by other decisions.
_OTHERS = (
    "transshipped_in", "online_from_store", "online_from_dc", "store_from_dc", "pickup_from_dc",
)  # fmt: skip


def size_packs(scenario: Scenario) -> IntArray:
    """Returns the units of a pack by node and SKU, (N, K); 1 where no order rule names packs."""
    rules = scenario.order_rules or ()
    return tabulate_rules(rules, scenario.node_names, scenario.sku_names)["multiple"]


def count_packs(units: float, size: int) -> int:
    """Returns how many packs hold the units; the last one need not be full."""
    return -(-int(units) // size)


def name_suppliers(scenario: Scenario, network: Network, day: int) -> list[list[str]] | None:
    """Names who takes today's orders of each DC, (W, K); None where suppliers have no names."""
    known = scenario.suppliers
    if network.schedule is None or known is None:
        return None
    chosen = network.schedule.name_suppliers(np.array([day]))[0].tolist()
    return [[SUPPLIER if i == DEFAULT else known[i].name for i in row] for row in chosen]


def price_lines(
    scenario: Scenario,
    network: Network,
    flows: Flows,
    suppliers: list[list[str]] | None = None,
) -> FloatArray:
    """Returns what today's orders and shipments cost, money by node and SKU, (N, K).

    An order costs `costs.fixed_order` and what its supplier or else the SKU says of `unit_cost`; a
    shipment costs its lane's rate and its part of the trucks.

    Args:
        scenario: with the rates.
        network: of the scenario.
        flows: of one copy.
        suppliers: of each DC and SKU by name; None: they have no names.
    """
    moved = replace(flows, **{name: np.zeros_like(getattr(flows, name)) for name in _OTHERS})
    moved = replace(moved, supplier=None)  # the whole price is added below
    money = np.zeros((1, network.num_nodes, network.num_skus))
    for term in (Transport, Ordering):
        term(scenario, network).price(moved, money)
    prices = {supplier.name: supplier.unit_cost or {} for supplier in scenario.suppliers or ()}
    worth = np.array(
        [
            [
                prices.get(name, {}).get(sku.name, sku.unit_cost or 0.0)
                for name, sku in zip(row, scenario.skus, strict=True)
            ]
            for row in suppliers or [[SUPPLIER] * network.num_skus]
        ]
    )
    money[:, : network.num_dcs] += flows.supplied * worth
    return money[0]


@dataclass(frozen=True, kw_only=True)
class PlanRows:
    """Two plans for the same day as the rows of a recommendation."""

    network: Network
    nodes: list[str]
    skus: list[str]
    plan: Plan
    classical: Plan
    cost: FloatArray  # (N, K) money of today's orders and shipments
    packs: IntArray  # (N, K) units of a pack
    arrival: list[list[date | int]]  # of what is sent to each node today, (N, K)
    suppliers: list[list[str]] | None  # by DC and SKU; None: they have no names
    protection: IntArray  # (N, K) days until what is decided at the next chance can arrive

    def list_decisions(self, proposed: Proposed) -> Iterator[Decision]:
        """Yields every line of every decision that the plan makes."""
        for decision in DECISIONS:
            if getattr(self.plan.decisions, decision.name) is not None:
                for line in decision.lines:
                    rows = self._list_line(decision, line, proposed[decision.target])
                    yield from self._leave_out(rows)

    def _leave_out(self, rows: Iterator[RowT]) -> Iterator[RowT]:
        """The rows, but those of what a node does not carry."""
        carried = self.network.carried
        if carried is None:
            return rows
        absent = {(self.nodes[n], self.skus[k]) for n, k in np.argwhere(~carried)}
        return (row for row in rows if (row.node, row.sku) not in absent)

    def list_outlook(self, view: View) -> Iterator[Outlook]:
        """Yields stock, forecast, cover and risk of every node and SKU."""
        return self._leave_out(self._list_outlook(view))

    def _list_outlook(self, view: View) -> Iterator[Outlook]:
        net, plan = self.network, self.plan
        position = count_positions(view, net).rows[0, : net.num_nodes]
        rate = np.concatenate(
            [compute_system_rate(view, net), compute_store_rate(view, plan.decisions.online_share)],
            axis=1,
        )[0]
        brought = np.concatenate([plan.carried_out.supplied, plan.carried_out.shipped], axis=1)
        coming = sum_axis(view.in_transit, 1)
        coming[:, net.num_dcs :] += sum_axis(view.in_inspection, 1)
        waiting = sum_axis(view.backorders, 1)
        online = count_online_waiting(view, net)
        owed = np.concatenate([net.sum_by_dc(online), waiting - online], axis=1)
        # By column: reading cell by cell out of the arrays takes three times as long.
        columns = (
            view.on_hand[0],
            coming[0],
            owed[0],
            position,
            rate,
            position + brought[0],
            self.protection,
            plan.shortage,
            self.classical.shortage,
        )
        cells = zip(*(column.ravel().tolist() for column in columns), strict=True)
        places = product(self.nodes, self.skus)
        for (node, sku), row in zip(places, cells, strict=True):
            on_hand, on_the_way, owes, before, forecast, after, days, risk, other = row
            yield Outlook(
                node=node,
                sku=sku,
                on_hand=on_hand,
                on_the_way=on_the_way,
                owed=owes,
                position=before,
                forecast=forecast,
                cover_before=_compute_cover(before, forecast),
                cover_after=_compute_cover(after, forecast),
                protection_days=days,
                stockout_probability=risk,
                classical_stockout_probability=other,
            )

    def _list_line(
        self, decision: type[AnyDecision], line: Line, proposals: Mapping[str, FloatArray]
    ) -> Iterator[Decision]:
        """One line for each place and SKU: units as carried out, or shares and expected units."""
        net, is_share = self.network, decision.is_share
        chosen = line.take(getattr(self.plan.decisions, decision.name)[0])
        units = np.zeros(chosen.shape)
        if line.units is not None:
            plan = self.plan
            units = (
                plan.expected[line.units]
                if is_share
                else getattr(plan.carried_out, line.units)[0].astype(np.float64)
            )
        found = self._find_classical(decision, line)
        nothing = np.full(chosen.shape, None)
        alternative = nothing if found is None else found.astype(np.float64)
        modules = tuple(proposals)
        proposed = np.stack([line.take(proposal) for proposal in proposals.values()], axis=-1)
        first = 0 if decision.at_dcs else net.num_dcs
        tables: list[Any] = [cells.tolist() for cells in (units, chosen, proposed, alternative)]
        absent = [None] * len(self.skus)
        cost, packs = self.cost.tolist(), self.packs.tolist()
        for g, (amounts, choices, gaps, others) in enumerate(zip(*tables, strict=True)):
            node = self.nodes[first + g]
            dc = self.nodes[g if decision.at_dcs else net.parent[g]]
            source, destination = (
                text.format(place=node, dc=dc) for text in (line.source, line.destination)
            )
            # Fields in their order, without a call of Python's own for each of thousands of rows.
            yield from map(
                Decision,
                repeat(node),
                self.skus,
                repeat(line.name),
                self._name_sources(line, source, g),
                repeat(destination),
                amounts,
                choices if is_share else absent,
                absent if is_share else choices,
                map(dict, map(zip, repeat(modules), gaps)),
                others,
                absent if is_share else self.arrival[first + g],
                absent if is_share else map(count_packs, amounts, packs[first + g]),
                absent if is_share else cost[first + g],
            )

    def _name_sources(self, line: Line, source: str, dc: int) -> Iterable[str]:
        """Who sends each SKU: of an order the supplier by name, where it has one."""
        named = self.suppliers is not None and line.source == SUPPLIER
        return self.suppliers[dc] if named and self.suppliers is not None else repeat(source)

    def _find_classical(self, decision: type[AnyDecision], line: Line) -> FloatArray | None:
        """What the classical rule would decide; None: nothing."""
        alternative = getattr(self.classical.decisions, decision.name)
        if alternative is None:
            return None
        if decision.is_share or line.units is None:
            return line.take(alternative[0])
        units: FloatArray = getattr(self.classical.carried_out, line.units)[0]
        return units


def _compute_cover(position: int, rate: float) -> float | None:
    """Days that the position lasts at the rate."""
    return position / rate if rate > 0 else None
