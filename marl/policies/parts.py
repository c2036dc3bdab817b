"""The parts that classical families are made of.

A `Plan` holds a rule's targets for a period; each part fills in or changes some of them, in the
order in which its family lists them. Parameters are numbers, or arrays (B,) by which every copy
follows its own member of the family.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from envs.omnichannel.agents.positions import compute_store_rate
from envs.omnichannel.agents.protection import count_more_days
from envs.omnichannel.types import LOWEST_RATE, ONLINE, STORE, FloatArray, IntArray, sum_axis
from envs.omnichannel.world.allocation.ration import ration
from marl.policies.base import Parameter, Setting
from marl.policies.classes import classify_nodes, classify_skus
from marl.policies.plan import Plan

Values = Mapping[str, float | FloatArray]


class Part(ABC):
    """One consideration of a rule, with the parameters that it leaves open."""

    packs: ClassVar[bool] = False  # whether it shares out or loads what the parts before aim at

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
        walk_in = np.maximum(view.forecast[..., STORE], LOWEST_RATE)
        days = view.on_hand[:, net.num_dcs :] / walk_in
        beyond = days - self.get("split_threshold", 2)
        share = np.clip(planned + self.get("split_slope", 2) * beyond, 0, 1)
        online = np.maximum(net.sum_by_dc(view.forecast[..., ONLINE]), LOWEST_RATE)
        dc_days = view.on_hand[:, : net.num_dcs] / online
        out = (dc_days < self.get("dc_out_threshold", 2))[:, net.parent]
        plan.online_share = np.where(out & (beyond > 0), 1.0, share)


class Covers(Part):
    """Orders up to days of forecast demand, by class of lead time.

    Stores aim at (lead time + cover) x the rate that they are to serve. DCs follow an echelon
    base-stock policy (Snyder & Shen, Fundamentals of Supply Chain Theory, 2nd ed., section 6.2.2).
    """

    def __init__(self, setting: Setting, values: Values) -> None:
        super().__init__(setting, values)
        store_class, dc_class = classify_nodes(setting)
        self.store_days = (
            self.network.lane_lead_time + self.get_by_class("store_cover", store_class)
        )[..., None]
        self.dc_days = self.get_by_class("dc_cover", dc_class)[..., None]

    @classmethod
    def make_parameters(cls, setting: Setting) -> tuple[Parameter, ...]:
        """`store_cover_<i>` beyond the lead time, `dc_cover_<i>` with it; shortest lead first."""
        network = setting.network
        store_class, dc_class = classify_nodes(setting)
        # Safety stock in days grows with the coefficient of variation, so with 1 / sqrt(mean); a
        # range much wider than needed costs the search its precision.
        by_pair = setting.mean_demand.sum(axis=-1)
        carried = network.carried
        own = by_pair if carried is None else by_pair[carried[network.num_dcs :]]
        mean = max(float(own.mean()), 0.1)
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
        store_days, dc_days = self.store_days, self.dc_days
        more = count_more_days(self.network, plan.view.day)
        if more is not None:
            dcs = self.network.num_dcs
            store_days, dc_days = store_days + more[:, dcs:], dc_days + more[:, :dcs]
        plan.shipment_gap = store_days * plan.store_rate - plan.position
        plan.aim_echelons(dc_days * plan.system_rate)


class CoversByStock(Part):
    """Stores aim higher or lower the more stock their DC has."""

    @classmethod
    def make_parameters(cls, setting: Setting) -> tuple[Parameter, ...]:
        """`cover_slope`: days of a store's cover for each day of the DC's stock."""
        return (Parameter("cover_slope", low=-0.5, high=0.5, initial=0.0),)

    def apply(self, plan: Plan) -> None:
        """Moves what the stores aim at."""
        net = self.network
        rate = np.maximum(plan.system_rate, LOWEST_RATE)
        days = plan.view.on_hand[:, : net.num_dcs] / rate
        more = self.get("cover_slope", 2) * days[:, net.parent]
        plan.shipment_gap = plan.shipment_gap + more * plan.store_rate


class OrderCap(Part):
    """No order exceeds a cap, however far below its target a location is.

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

    packs: ClassVar[bool] = True

    @classmethod
    def make_parameters(cls, setting: Setting) -> tuple[Parameter, ...]:
        """`dc_stock_reserve`: days of the region's demand."""
        return (Parameter("dc_stock_reserve", low=0.0, high=2.0, initial=0.4),)

    def apply(self, plan: Plan) -> None:
        """Lowers the gaps that the free stock does not cover, in whole units."""
        net = self.network
        reserve = np.rint(self.get("dc_stock_reserve", 2) * plan.system_rate).astype(np.int64)
        free = np.maximum(plan.view.on_hand[:, : net.num_dcs] - reserve, 0)
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
        aim = plan.shipment_gap + plan.position if plan.aim is None else plan.aim
        target = np.maximum(aim, LOWEST_RATE)
        fill = plan.position / target
        system = plan.echelon / np.maximum(plan.up_to_gap + plan.echelon, LOWEST_RATE)
        surplus = (system > self.get("liquidate_above", 2))[:, self.network.parent]
        restock = fill < self.get("restock_below", 2)
        liquidate = ~restock & surplus
        plan.disposition = np.stack([restock, ~restock & ~liquidate, liquidate], axis=-1).astype(
            np.float64
        )
