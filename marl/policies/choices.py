"""Choices around a reference plan: the options that a residual agent has.

Option 0 is always the reference rule's own decision, so an agent that knows nothing acts as the
rule does. The decisions here are those whose effect is large enough to be seen (whether a truck
leaves, when and how much a DC orders).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from envs.omnichannel.types import (
    LOWEST_RATE,
    WEEK,
    FloatArray,
    IntArray,
    sum_axis,
)
from marl.policies.choice import Choice, Lies
from marl.policies.plan import Plan, compute_need


class Dispatch(Choice):
    """How much leaves for a store today: nothing, what is asked for, or so many full trucks.

    One agent a store. Options: the rule's load, nothing, exactly the need, the need's full trucks,
    one truck more, two trucks more.
    """

    name = "dispatch"
    is_joint = True
    lies: ClassVar[Lies] = "store"
    num_options = 6
    features = (
        "gap", "trucks", "started_truck", "rule_trucks", "cover", "stock_cover", "lowest_cover",
        "dc_fill", "all_trucks", "distance",
    )  # fmt: skip

    def list_options(self, plan: Plan) -> FloatArray:
        """Returns loads, units, (B, S, A)."""
        capacity = self._capacity
        need = compute_need(plan)
        full = np.floor(need / capacity) * capacity
        rule = need if plan.load is None else plan.load
        nothing = np.zeros_like(need)
        options = [rule, nothing, need, full, full + capacity, full + 2 * capacity]
        return np.stack(options, axis=-1)

    def take(self, plan: Plan, values: FloatArray) -> None:
        """Sets the loads."""
        plan.load = values

    def get_values(self, plan: Plan) -> FloatArray:
        """Returns the loads, (B, S)."""
        return compute_need(plan) if plan.load is None else plan.load

    def weigh(self, plan: Plan) -> FloatArray:
        """A store that needs next to nothing has nothing to decide."""
        return 0.15 + np.minimum(compute_need(plan) / self._capacity, 1.2)

    @property
    def rows(self) -> slice:
        """The stores."""
        return slice(self.network.num_dcs, self.network.num_nodes)

    def compute_own(self, plan: Plan) -> list[FloatArray]:
        """Returns features of every store and SKU."""
        net, view, capacity = self.network, plan.view, self._capacity
        gap, rate = plan.shipment_gap, plan.floored_rate
        wanted = np.maximum(gap, 0)
        trucks = sum_axis(wanted, 2)[..., None] / capacity
        cover = plan.position / rate - net.lane_lead_time[:, None]
        by_dc = net.sum_by_dc(wanted)
        fill = np.minimum(view.on_hand[:, : net.num_dcs] / np.maximum(by_dc, 1), 3)
        return [
            gap / capacity,
            trucks,
            trucks % 1,
            self.get_values(plan)[..., None] / capacity,
            cover - 2,
            view.on_hand[:, net.num_dcs :] / (2 * rate) - 1,
            cover.min(axis=-1, keepdims=True) - 2,
            fill[:, net.parent],
            sum_axis(by_dc, 2)[:, net.parent][..., None] / (5 * capacity),
            net.distance[None, :, None] - 2.0,
        ]

    @property
    def _capacity(self) -> int:
        """Of a truck, units."""
        assert self.setting.truck_capacity is not None, "dispatch needs trucks"
        return self.setting.truck_capacity


class SupplierOrder(Choice):
    """How much a DC orders of a SKU: what the rule orders, nothing, or up to another target.

    One agent a DC and SKU. Options: the rule's order, none, and order-up-to targets that lie
    so many days of demand beside the rule's, ordered at once. Beside a safety stock they lie so
    many standard deviations of its demand.
    """

    name = "supplier_order"
    is_joint = False
    lies: ClassVar[Lies] = "sku"
    days: ClassVar[tuple[float, ...]] = (-4, -2, 0, 2, 4, 7)
    sigmas: ClassVar[tuple[float, ...]] = (-2, -1, 0, 1, 2, 3.5)
    num_options = 2 + len(days)
    features = (
        "up_to_gap", "rule_gap", "echelon_cover", "stock_cover", "inbound_cover", "all_gaps",
        "dc_fill",
    )  # fmt: skip

    def list_options(self, plan: Plan) -> FloatArray:
        """Returns supplier gaps, units, signed, (B, W K, A)."""
        up_to, deviation = plan.up_to_gap, plan.echelon_deviation
        if deviation is None:
            scale = self.network.cycle / WEEK  # periods a day
            shifted = [up_to + days * scale * plan.system_rate for days in self.days]
        else:
            shifted = [up_to + sigmas * deviation for sigmas in self.sigmas]
        options = np.stack([plan.supplier_gap, np.minimum(up_to, 0), *shifted], axis=-1)
        return options.reshape(len(up_to), -1, self.num_options)

    def take(self, plan: Plan, values: FloatArray) -> None:
        """Sets the supplier gaps."""
        plan.supplier_gap = values.reshape(plan.supplier_gap.shape)

    def get_values(self, plan: Plan) -> FloatArray:
        """Returns the supplier gaps, (B, W K)."""
        return plan.supplier_gap.reshape(len(plan.supplier_gap), -1)

    @property
    def rows(self) -> slice:
        """The DCs."""
        return slice(0, self.network.num_dcs)

    def compute_own(self, plan: Plan) -> list[FloatArray]:
        """Returns features of every DC and SKU."""
        net, view = self.network, plan.view
        rate = np.maximum(plan.system_rate, LOWEST_RATE)
        stock = view.on_hand[:, : net.num_dcs]
        total = rate.sum(axis=-1, keepdims=True)
        capacity = np.where(np.isinf(net.capacity), 0, net.capacity)[: net.num_dcs, None]
        return [
            plan.up_to_gap / (5 * rate),
            plan.supplier_gap / (5 * rate),
            plan.echelon / (10 * rate) - 1,
            stock / (5 * rate) - 1,
            sum_axis(view.in_transit[:, :, : net.num_dcs], 1) / (5 * rate) - 1,
            plan.up_to_gap.sum(axis=-1, keepdims=True) / (5 * total),
            np.where(capacity > 0, stock.sum(axis=-1, keepdims=True) / np.maximum(capacity, 1), 0),
        ]


CHOICES: dict[str, type[Choice]] = {c.name: c for c in (Dispatch, SupplierOrder)}


def find_distinct(options: FloatArray) -> tuple[IntArray, IntArray]:
    """Finds the options that come to the same units, to simulate each only once.

    Args:
        options: values, (M, A); all below zero are one: nothing is sent.

    Returns:
        Flat indices of the distinct ones, (D,), and for every option the place of its equal among
        those, (M, A).
    """
    units = np.rint(np.maximum(options, 0))
    first = (units[:, :, None] == units[:, None, :]).argmax(axis=-1)
    count = options.shape[1]
    distinct = np.flatnonzero((first == np.arange(count)).ravel())
    flat = first + count * np.arange(len(options))[:, None]
    return distinct, np.searchsorted(distinct, flat)
