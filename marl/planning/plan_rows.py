"""A recommendation's rows: every decision of a plan, and every node's outlook.

Beside each decision stands the one that a classical rule would make.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from envs.omnichannel.types import FloatArray, IntArray, Network, View, sum_axis
from envs.omnichannel.world.account.costs import Ordering
from envs.omnichannel.world.account.transport import Transport
from marl.planning.decision_maker import Proposed
from marl.planning.plan import Plan
from marl.planning.recommendation import Decision, Outlook

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


def price_lines(scenario: Scenario, network: Network, flows: Flows) -> FloatArray:
    """Returns what today's orders and shipments cost, money by node and SKU, (N, K).

    An order costs `costs.fixed_order` and the SKUs' own `unit_cost`; a shipment costs its lane's
    rate and its part of the trucks.

    Args:
        scenario: with the rates.
        network: of the scenario.
        flows: of one copy.
    """
    moved = replace(flows, **{name: np.zeros_like(getattr(flows, name)) for name in _OTHERS})
    money = np.zeros((1, network.num_nodes, network.num_skus))
    for term in (Transport, Ordering):
        term(scenario, network).price(moved, money)
    worth = np.array([sku.unit_cost or 0.0 for sku in scenario.skus])
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
    arrival: list[date | int]  # of what is sent to each node today, (N,)

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
            np.repeat(net.lead_time[:, None] + 1, net.num_skus, axis=1),
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
                repeat(source),
                repeat(destination),
                amounts,
                choices if is_share else absent,
                absent if is_share else choices,
                map(dict, map(zip, repeat(modules), gaps)),
                others,
                repeat(None if is_share else self.arrival[first + g]),
                absent if is_share else map(count_packs, amounts, packs[first + g]),
                absent if is_share else cost[first + g],
            )

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
