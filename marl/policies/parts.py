"""The parts that classical families are made of.

A `Plan` is a period's wishes in the making; each part fills in or changes some of them, in the
order in which its family lists them. Parameters are numbers, or arrays (B,) by which every copy
follows its own member of the family.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from envs.omnichannel.agents.inventory import (
    compute_echelon_position,
    compute_store_position,
    compute_store_rate,
    compute_system_rate,
)
from envs.omnichannel.agents.packing import fill_to_total, limit_total
from envs.omnichannel.types import ONLINE, STORE, FloatArray, IntArray, Targets, View, sum_axis
from envs.omnichannel.world.allocation import ration
from marl.policies.base import Parameter, Setting

MAX_CLASSES = 3
MAX_SKU_CLASSES = 4
_LOWEST_RATE = 0.05  # units a day; covers are divided by rates

Values = Mapping[str, float | FloatArray]


@dataclass
class Plan:
    """What a rule wishes for a period, in the making."""

    view: View
    position: IntArray  # (B, S, K) inventory position of the stores, units
    echelon: IntArray  # (B, W, K) echelon inventory position of the DCs, units
    online_share: FloatArray  # (B, S, K)
    store_rate: FloatArray  # (B, S, K) units a day that the stores are to serve
    system_rate: FloatArray  # (B, W, K) units a day demanded below the DC
    shipment_gap: FloatArray  # (B, S, K) target - position, units, signed
    supplier_gap: FloatArray  # (B, W, K) the same for the DC's echelon
    up_to_gap: FloatArray  # (B, W, K) the supplier gap before a reorder rule holds orders back
    disposition: FloatArray  # (B, S, K, 3)
    load: FloatArray | None = None  # (B, S) units that leave for each store; None: all gaps

    @classmethod
    def start(cls, view: View, setting: Setting) -> Self:
        """An empty plan: nothing is ordered, shipped or restocked."""
        network = setting.network
        position = compute_store_position(view.state, network)
        echelon = compute_echelon_position(view.state, position, network)
        share = np.zeros(position.shape)
        return cls(
            view=view,
            position=position,
            echelon=echelon,
            online_share=share,
            store_rate=compute_store_rate(view, share),
            system_rate=compute_system_rate(view, network),
            shipment_gap=-position.astype(np.float64),
            supplier_gap=-echelon.astype(np.float64),
            up_to_gap=-echelon.astype(np.float64),
            disposition=np.zeros((*position.shape, 3)),
        )

    def select(self, copies: IntArray) -> Plan:
        """The plans of some copies."""
        arrays = {
            f.name: getattr(self, f.name) for f in fields(self) if f.name not in {"view", "load"}
        }
        chosen = {name: array[copies] for name, array in arrays.items()}
        load = None if self.load is None else self.load[copies]
        return Plan(view=self.view.select(copies), load=load, **chosen)

    def pack(self) -> FloatArray:
        """Returns the shipment gaps after the loads are filled, (B, S, K)."""
        if self.load is None:
            return self.shipment_gap
        return fill_to_total(self.shipment_gap, self.floored_rate, self.load)

    @property
    def floored_rate(self) -> FloatArray:
        """The stores' rates, above zero, (B, S, K)."""
        return np.maximum(self.store_rate, _LOWEST_RATE)

    def make_targets(self) -> Targets:
        """Returns the finished plan."""
        return Targets(
            supplier_gap=self.supplier_gap,
            shipment_gap=self.pack(),
            online_share=self.online_share,
            disposition=self.disposition,
        )


class Part(ABC):
    """One consideration of a rule, with the parameters that it leaves open."""

    def __init__(self, setting: Setting, values: Values) -> None:
        self.setting = setting
        self.network = setting.network
        self.values = values

    @classmethod
    @abstractmethod
    def make_parameters(cls, setting: Setting) -> tuple[Parameter, ...]:
        """Returns the open parameters; they may depend on the network."""

    @abstractmethod
    def apply(self, plan: Plan) -> None:
        """Fills in or changes the plan."""

    def get(self, name: str, axes: int) -> FloatArray:
        """A parameter, with `axes` axes after the optional B."""
        value = np.asarray(self.values[name], dtype=np.float64)
        return value.reshape(value.shape + (1,) * axes)

    def get_by_class(self, prefix: str, classes: IntArray) -> FloatArray:
        """A parameter of every class, spread to the members, ([B,] G)."""
        values = [np.asarray(self.values[f"{prefix}_{c}"]) for c in range(classes.max() + 1)]
        return np.stack(values, axis=-1)[..., classes]


class FixedSplit(Part):
    """The same share of online orders from every store, always."""

    @classmethod
    def make_parameters(cls, setting: Setting) -> tuple[Parameter, ...]:
        """`online_share`: of online orders that the stores serve."""
        return (Parameter("online_share", low=0.0, high=1.0, initial=0.1),)

    def apply(self, plan: Plan) -> None:
        """Sets the split and what the stores are to serve with it."""
        plan.online_share = np.broadcast_to(self.get("online_share", 2), plan.position.shape)
        plan.store_rate = compute_store_rate(plan.view, plan.online_share)


class StockSplit(Part):
    """Rationing thresholds between the channels.

    A store plans with a fixed share, but takes more of the online orders the more days its stock
    lasts beyond a threshold, fewer below it; when its DC has run out it takes what it can. The
    thresholds protect walk-ins, who cannot wait, as those of Goedhart et al. (2022) do.
    """

    @classmethod
    def make_parameters(cls, setting: Setting) -> tuple[Parameter, ...]:
        """The planned share, the threshold (days of walk-in demand) and the slope around it."""
        return (
            Parameter("online_share", low=0.0, high=1.0, initial=0.1),
            Parameter("split_threshold", low=0.0, high=12.0, initial=4.0),
            Parameter("split_slope", low=0.0, high=0.5, initial=0.02),
            Parameter("dc_out_threshold", low=0.0, high=3.0, initial=0.5),
        )

    def apply(self, plan: Plan) -> None:
        """Sets today's split; what the stores plan for stays the fixed share."""
        view, net = plan.view, self.network
        planned = np.broadcast_to(self.get("online_share", 2), plan.position.shape)
        plan.store_rate = compute_store_rate(view, planned)
        walk_in = np.maximum(view.forecast[..., STORE], _LOWEST_RATE)
        days = view.state.on_hand[:, net.num_dcs :] / walk_in
        beyond = days - self.get("split_threshold", 2)
        share = np.clip(planned + self.get("split_slope", 2) * beyond, 0, 1)
        online = np.maximum(net.sum_by_dc(view.forecast[..., ONLINE]), _LOWEST_RATE)
        dc_days = view.state.on_hand[:, : net.num_dcs] / online
        out = (dc_days < self.get("dc_out_threshold", 2))[:, net.parent]
        plan.online_share = np.where(out & (beyond > 0), 1.0, share)


class Covers(Part):
    """Order-up-to levels in days of forecast demand, by class of lead time.

    Stores aim at (lead time + cover) x the rate that they are to serve. DCs follow an echelon
    base-stock policy (Snyder & Shen, Fundamentals of Supply Chain Theory, 2nd ed., section 6.2.2).
    """

    def __init__(self, setting: Setting, values: Values) -> None:
        super().__init__(setting, values)
        store_class, dc_class = _classify_nodes(setting)
        self.store_days = (
            self.network.lane_lead_time + self.get_by_class("store_cover", store_class)
        )[..., None]
        self.dc_days = self.get_by_class("dc_cover", dc_class)[..., None]

    @classmethod
    def make_parameters(cls, setting: Setting) -> tuple[Parameter, ...]:
        """`store_cover_<i>` beyond the lead time, `dc_cover_<i>` with it; shortest lead first."""
        network = setting.network
        store_class, dc_class = _classify_nodes(setting)
        # Safety stock in days grows with the coefficient of variation, so with 1 / sqrt(mean); a
        # range much wider than needed costs the search its precision.
        mean = max(float(setting.mean_demand.sum(axis=-1).mean()), 0.1)
        highest = 4 + 8 / mean**0.5
        stores = [
            Parameter(f"store_cover_{c}", low=0.0, high=highest, initial=1.5)
            for c in range(store_class.max() + 1)
        ]
        dcs = []
        for c in range(dc_class.max() + 1):
            supplier = network.lead_time[: network.num_dcs][dc_class == c].mean()
            # An echelon must bridge the supplier's lead time and the way on to the stores.
            bridge = float(supplier + network.lane_lead_time.mean())
            dcs.append(Parameter(f"dc_cover_{c}", bridge, bridge + 10, bridge + 2))
        return (*stores, *dcs)

    def apply(self, plan: Plan) -> None:
        """Sets both gaps."""
        plan.shipment_gap = self.store_days * plan.store_rate - plan.position
        plan.up_to_gap = self.dc_days * plan.system_rate - plan.echelon
        plan.supplier_gap = plan.up_to_gap


class LevelsByStock(Part):
    """Stores aim higher or lower the more stock their DC has."""

    @classmethod
    def make_parameters(cls, setting: Setting) -> tuple[Parameter, ...]:
        """`level_slope`: days of a store's cover for each day of the DC's stock."""
        return (Parameter("level_slope", low=-0.5, high=0.5, initial=0.0),)

    def apply(self, plan: Plan) -> None:
        """Moves the stores' levels."""
        net = self.network
        rate = np.maximum(plan.system_rate, _LOWEST_RATE)
        days = plan.view.state.on_hand[:, : net.num_dcs] / rate
        more = self.get("level_slope", 2) * days[:, net.parent]
        plan.shipment_gap = plan.shipment_gap + more * plan.store_rate


class OrderCap(Part):
    """No order exceeds a cap, however far below its level a location is.

    After a bad day there is no use in ordering all that is missing at once: what is lost does not
    come back. Source: Xin 2021, Understanding the performance of capped base-stock policies in
    lost-sales inventory models, Operations Research 69(1).
    """

    @classmethod
    def make_parameters(cls, setting: Setting) -> tuple[Parameter, ...]:
        """The caps of stores and DCs, days of demand."""
        return (
            Parameter("store_order_cap", low=0.5, high=3.0, initial=1.2),
            Parameter("dc_order_cap", low=0.5, high=3.0, initial=2.0),
        )

    def apply(self, plan: Plan) -> None:
        """Caps both gaps."""
        most = self.get("store_order_cap", 2) * plan.store_rate
        plan.shipment_gap = np.minimum(plan.shipment_gap, most)
        most = self.get("dc_order_cap", 2) * plan.system_rate
        plan.up_to_gap = np.minimum(plan.up_to_gap, most)
        plan.supplier_gap = np.minimum(plan.supplier_gap, most)


class Reserve(Part):
    """A DC keeps a reserve that no shipment touches, for customers whom it serves itself.

    What remains is given so that the largest shortage is as small as it can be.
    """

    @classmethod
    def make_parameters(cls, setting: Setting) -> tuple[Parameter, ...]:
        """`dc_stock_reserve`: days of the region's demand."""
        return (Parameter("dc_stock_reserve", low=0.0, high=2.0, initial=0.4),)

    def apply(self, plan: Plan) -> None:
        """Lowers the gaps that the free stock does not cover, in whole units."""
        net = self.network
        reserve = np.rint(self.get("dc_stock_reserve", 2) * plan.system_rate).astype(np.int64)
        free = np.maximum(plan.view.state.on_hand[:, : net.num_dcs] - reserve, 0)
        wanted = (np.maximum(plan.shipment_gap, 0) + 0.5).astype(np.int64)  # as it will be rounded
        given = ration(wanted, free, net, "min_shortage")
        plan.shipment_gap = np.where(given < wanted, given, plan.shipment_gap)


class SkuCovers(Part):
    """More or fewer days of cover by SKU, at the stores and at the DC."""

    def __init__(self, setting: Setting, values: Values) -> None:
        super().__init__(setting, values)
        sku_class = classify_skus(setting)
        self.store_days = self.get_by_class("store_sku_cover", sku_class)[..., None, :]
        self.dc_days = self.get_by_class("dc_sku_cover", sku_class)[..., None, :]

    @classmethod
    def make_parameters(cls, setting: Setting) -> tuple[Parameter, ...]:
        """`store_sku_cover_<i>` and `dc_sku_cover_<i>`: days to add, by class of mean demand."""
        classes = range(classify_skus(setting).max() + 1)
        return (
            *(Parameter(f"store_sku_cover_{c}", -3.0, 3.0, 0.0) for c in classes),
            *(Parameter(f"dc_sku_cover_{c}", -6.0, 6.0, 0.0) for c in classes),
        )

    def apply(self, plan: Plan) -> None:
        """Adds to both gaps."""
        plan.shipment_gap = plan.shipment_gap + self.store_days * plan.store_rate
        plan.up_to_gap = plan.up_to_gap + self.dc_days * plan.system_rate
        plan.supplier_gap = plan.up_to_gap


class CutPlanning(Part):
    """Building up before an announced supply cut, and asking for more within it.

    Of the demand that a cut withholds, a share is ordered ahead, the more the nearer the cut; in
    the cut, orders are inflated by a share of what would make up for it.
    """

    @classmethod
    def make_parameters(cls, setting: Setting) -> tuple[Parameter, ...]:
        """Shares of a full build-up, days ahead at which it begins, and of a full inflation."""
        if not setting.has_cuts:
            return ()
        return (
            Parameter("pre_build", low=0.0, high=2.0, initial=0.2),
            Parameter("pre_build_days", low=1.0, high=16.0, initial=8.0),
            Parameter("cut_cover", low=-4.0, high=12.0, initial=0.0),
            Parameter("cut_inflation", low=0.0, high=1.5, initial=0.5),
        )

    def apply(self, plan: Plan) -> None:
        """Adds what a coming cut will withhold; inflates what a cut will take off today's order."""
        confirmed = plan.view.confirmed
        if confirmed is None:
            return
        now = confirmed[..., 0]  # (B, W)
        ahead = np.arange(confirmed.shape[-1])
        near = ahead <= self.get("pre_build_days", 2)
        withheld = sum_axis(np.where(near, 1 - confirmed, 0.0), 2)  # days of demand
        extra = np.where(now < 1, self.get("cut_cover", 1), self.get("pre_build", 1) * withheld)
        gap = plan.up_to_gap + extra[..., None] * plan.system_rate
        inflation = 1 + self.get("cut_inflation", 1) * (1 / np.maximum(now, 0.1) - 1)
        plan.up_to_gap = np.where(gap > 0, gap * inflation[..., None], gap)
        plan.supplier_gap = plan.up_to_gap


class ReorderGap(Part):
    """(s, S) at the DC: an order line waits until it is worth its fixed cost."""

    @classmethod
    def make_parameters(cls, setting: Setting) -> tuple[Parameter, ...]:
        """`reorder_gap`: days of demand between S and s."""
        return (Parameter("reorder_gap", low=0.0, high=10.0, initial=0.5),)

    def apply(self, plan: Plan) -> None:
        """Holds small orders back."""
        due = plan.up_to_gap >= self.get("reorder_gap", 2) * plan.system_rate
        plan.supplier_gap = np.where(due, plan.up_to_gap, np.minimum(plan.up_to_gap, 0))


class FairShare(Part):
    """A short DC leaves all its stores the same cover, and keeps a reserve for online orders."""

    @classmethod
    def make_parameters(cls, setting: Setting) -> tuple[Parameter, ...]:
        """`dc_reserve`: days of the DC's online demand that shipments leave behind."""
        return (Parameter("dc_reserve", low=0.0, high=4.0, initial=0.5),)

    def apply(self, plan: Plan) -> None:
        """Lowers the gaps of each short DC and SKU to equal cover."""
        net, view = self.network, plan.view
        from_dc = (1 - plan.online_share) * view.forecast[..., ONLINE]
        reserve = self.get("dc_reserve", 2) * net.sum_by_dc(from_dc)
        free = np.maximum(view.state.on_hand[:, : net.num_dcs] - reserve, 0)
        gap, rate = plan.shipment_gap.swapaxes(1, 2), plan.floored_rate.swapaxes(1, 2)
        limited = gap.copy()
        for w, stores in enumerate(net.members):
            limited[..., stores] = limit_total(gap[..., stores], rate[..., stores], free[:, w])
        plan.shipment_gap = limited.swapaxes(1, 2)


class MinimumLoad(Part):
    """A shipment waits until it fills a share of a truck, unless a SKU runs low."""

    @classmethod
    def make_parameters(cls, setting: Setting) -> tuple[Parameter, ...]:
        """`minimum_load`: share of a truck; `urgent_cover`: share of the target that is low."""
        if setting.truck_capacity is None:
            return ()
        return (
            Parameter("minimum_load", low=0.0, high=1.5, initial=0.5),
            Parameter("urgent_cover", low=0.0, high=1.0, initial=0.3),
        )

    def apply(self, plan: Plan) -> None:
        """Sets the loads: all gaps, or nothing."""
        if self.setting.truck_capacity is None:
            return
        need = compute_need(plan)
        enough = need >= self.get("minimum_load", 1) * self.setting.truck_capacity
        plan.load = np.where(enough | self.is_urgent(plan), need, 0.0)

    def is_urgent(self, plan: Plan) -> NDArray[np.bool_]:
        """Whether some SKU's position is a small part of its target, (B, S)."""
        target = plan.shipment_gap + plan.position
        low = plan.position < self.get("urgent_cover", 2) * target
        return np.logical_or.reduce(low, axis=-1)


class FullTrucks(MinimumLoad):
    """Loads are rounded to full trucks with equal extra cover."""

    @classmethod
    def make_parameters(cls, setting: Setting) -> tuple[Parameter, ...]:
        """Adds `round_up`: the share of a started truck from which on it is filled up."""
        if setting.truck_capacity is None:
            return ()
        return (
            *super().make_parameters(setting),
            Parameter("round_up", low=0.0, high=1.0, initial=0.5),
        )

    def apply(self, plan: Plan) -> None:
        """Sets the loads: full trucks, or what is urgent."""
        capacity = self.setting.truck_capacity
        if capacity is None:
            return
        need = compute_need(plan)
        trucks = need / capacity
        full = np.floor(trucks)
        rounded = full + (trucks - full >= self.get("round_up", 1))
        enough = trucks >= self.get("minimum_load", 1)
        urgent = self.is_urgent(plan) & (rounded == 0)
        plan.load = np.where(enough, rounded * capacity, 0.0)
        plan.load = np.where(urgent & (plan.load == 0), np.minimum(need, capacity), plan.load)


class FixedDisposition(Part):
    """The same shares for all returns."""

    @classmethod
    def make_parameters(cls, setting: Setting) -> tuple[Parameter, ...]:
        """`restock`, and `consolidate` as a share of the rest; what is left is liquidated."""
        return (
            Parameter("restock", low=0.0, high=1.0, initial=0.5),
            Parameter("consolidate", low=0.0, high=1.0, initial=1.0),
        )

    def apply(self, plan: Plan) -> None:
        """Sets the disposition."""
        restock = np.asarray(self.values["restock"], dtype=np.float64)
        consolidate = (1 - restock) * self.values["consolidate"]
        shares = np.stack([restock, consolidate, 1 - restock - consolidate], axis=-1)
        plan.disposition = np.broadcast_to(shares[..., None, None, :], (*plan.position.shape, 3))


class StockDisposition(Part):
    """Returns go to the shelf where stock is short, to the DC where it is not.

    What no location will need for long is liquidated.
    """

    @classmethod
    def make_parameters(cls, setting: Setting) -> tuple[Parameter, ...]:
        """Thresholds as a share of the store's and the DC's targets."""
        return (
            Parameter("restock_below", low=0.0, high=3.0, initial=1.5),
            Parameter("liquidate_above", low=1.0, high=4.0, initial=3.0),
        )

    def apply(self, plan: Plan) -> None:
        """Sets one disposition for each store and SKU."""
        target = np.maximum(plan.shipment_gap + plan.position, _LOWEST_RATE)
        fill = plan.position / target
        system = plan.echelon / np.maximum(plan.up_to_gap + plan.echelon, _LOWEST_RATE)
        surplus = (system > self.get("liquidate_above", 2))[:, self.network.parent]
        restock = fill < self.get("restock_below", 2)
        liquidate = ~restock & surplus
        plan.disposition = np.stack([restock, ~restock & ~liquidate, liquidate], axis=-1).astype(
            np.float64
        )


def compute_need(plan: Plan) -> FloatArray:
    """Units that the gaps ask for, by store, (B, S)."""
    return sum_axis(np.maximum(plan.shipment_gap, 0), 2)


def classify_lead_times(lead_time: IntArray) -> IntArray:
    """Returns each node's class: one a distinct lead time, neighbours merged beyond three.

    Args:
        lead_time: periods, (G,).

    Returns:
        Classes 0, 1, ... from the shortest lead time, (G,), none of them empty.
    """
    return _merge(lead_time, MAX_CLASSES)


def classify_skus(setting: Setting) -> IntArray:
    """Returns each SKU's class by mean demand, slowest first, (K,)."""
    return _merge(setting.mean_demand.sum(axis=(0, 2)), MAX_SKU_CLASSES)


def _merge(values: IntArray | FloatArray, most: int) -> IntArray:
    distinct, rank = np.unique(values, return_inverse=True)
    if len(distinct) <= most:
        return rank.astype(np.int64)
    return np.rint(rank * (most - 1) / (len(distinct) - 1)).astype(np.int64)


def _classify_nodes(setting: Setting) -> tuple[IntArray, IntArray]:
    network = setting.network
    suppliers = network.lead_time[: network.num_dcs]
    return classify_lead_times(network.lane_lead_time), classify_lead_times(suppliers)
