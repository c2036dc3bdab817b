"""The classical families: which parts each is made of, simplest first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np

from envs.errors import InputError
from envs.omnichannel.flows import Targets
from envs.omnichannel.types import FloatArray, View
from marl.policies.ageing import FreshSafetyStock
from marl.policies.base import ParameterSpace, Setting, TunableRule
from marl.policies.loads import FairShare, FullTrucks, MinimumLoad
from marl.policies.newsvendor import NewsvendorStock
from marl.policies.parts import (
    Covers,
    CoversByStock,
    CutPlanning,
    FixedDisposition,
    FixedSplit,
    OrderCap,
    Part,
    ReorderGap,
    Reserve,
    SkuCovers,
    StockDisposition,
    StockSplit,
)
from marl.policies.plan import Plan
from marl.policies.safety_stock import PlainSafetyStock, SafetyStock

_EQUAL = 1e-9  # up to which ratios do not differ


class ComposedRule(TunableRule):
    """A family given by its parts, applied in order; its parameters are theirs."""

    parts: ClassVar[tuple[type[Part], ...]]
    knows_forecast: ClassVar[bool] = True  # else it expects the mean of the days before, always

    def __init__(self, setting: Setting, parameters: Mapping[str, float | FloatArray]) -> None:
        super().__init__(setting, parameters)
        self.steps = [part(setting, parameters) for part in self.parts]
        self._first_packing = next((i for i, s in enumerate(self.steps) if s.packs), None)

    @classmethod
    def make_space(cls, setting: Setting) -> ParameterSpace:
        """Returns the parameters of all parts."""
        return ParameterSpace(tuple(p for part in cls.parts for p in part.make_parameters(setting)))

    def make_plan(self, view: View) -> Plan:
        """Returns the period's plan, all parts applied."""
        if not self.knows_forecast:
            mean, _ = self.setting.forecast.read_plain(view.origin)
            if self.setting.listing is not None:
                mean = mean * self.setting.listing.may_order(view)[..., None]
            view = replace(view, forecast=mean)
        plan = Plan.start(view, self.setting)
        for i, step in enumerate(self.steps):
            if i == self._first_packing:
                plan.keep_rules(self.setting)
            step.apply(plan)
        return plan

    def compute_targets(self, view: View) -> Targets:
        """Returns signed gaps in units and fractions."""
        return self.make_plan(view).make_targets()


class OrderUpTo(ComposedRule):
    """Orders up to days of mean demand, constant split and disposition."""

    name: ClassVar[str] = "order_up_to"
    parts = (FixedSplit, Covers, FixedDisposition)
    knows_forecast = False


class ForecastOrderUpTo(ComposedRule):
    """The same in days of forecast demand."""

    name: ClassVar[str] = "forecast_order_up_to"
    parts = OrderUpTo.parts


class CappedBaseStock(ComposedRule):
    """`order_up_to` whose orders are capped: near the optimum where unmet demand is lost."""

    name: ClassVar[str] = "capped_base_stock"
    parts = (FixedSplit, Covers, OrderCap, FixedDisposition)
    knows_forecast = False

    @classmethod
    def suits(cls, setting: Setting) -> bool:
        """Where demand is the same every day and no trucks are to be filled."""
        return setting.is_stationary and setting.truck_capacity is None


class WarehouseReserve(ComposedRule):
    """`capped_base_stock` with a reserve at the DC and store covers that follow its stock."""

    name: ClassVar[str] = "warehouse_reserve"
    parts = (FixedSplit, Covers, CoversByStock, OrderCap, Reserve, FixedDisposition)
    knows_forecast = False

    @classmethod
    def suits(cls, setting: Setting) -> bool:
        """Where, besides, a DC that waits for its supplier has several stores."""
        network = setting.network
        waits = network.lead_time[: network.num_dcs].any()
        several = network.num_stores > network.num_dcs
        return CappedBaseStock.suits(setting) and several and bool(waits)


class ReorderPoint(ComposedRule):
    """(s, S) at the DC, minimum loads to the stores, building up before supply cuts."""

    name: ClassVar[str] = "reorder_point"
    parts = (FixedSplit, Covers, CutPlanning, ReorderGap, MinimumLoad, FixedDisposition)


class StockDependent(ComposedRule):
    """`reorder_point` with a split and a disposition that follow the stock, and fair shares."""

    name: ClassVar[str] = "stock_dependent"
    parts = (
        StockSplit, Covers, CutPlanning, ReorderGap, StockDisposition, FairShare, MinimumLoad,
    )  # fmt: skip


class FullTruck(ComposedRule):
    """`stock_dependent` with loads rounded to full trucks."""

    name: ClassVar[str] = "full_truck"
    parts = (*StockDependent.parts[:-1], FullTrucks)

    @classmethod
    def suits(cls, setting: Setting) -> bool:
        """Where trucks are paid: without them it is `stock_dependent`."""
        return setting.truck_capacity is not None


class FullTruckBySku(ComposedRule):
    """`full_truck` with covers by SKU: the strongest family here, about 25 parameters."""

    name: ClassVar[str] = "full_truck_by_sku"
    parts = (StockSplit, Covers, SkuCovers, *FullTruck.parts[2:])

    @classmethod
    def get_simpler(cls, setting: Setting) -> str:
        """Returns the family without covers by SKU."""
        return (StockDependent if setting.truck_capacity is None else FullTruck).name


class Textbook(ComposedRule):
    """Mean plus z standard deviations of all days before: thirty lines of any textbook."""

    name: ClassVar[str] = "textbook"
    parts = (FixedSplit, PlainSafetyStock, FixedDisposition)


class SafetyStocks(ComposedRule):
    """`textbook` with running means and variances."""

    name: ClassVar[str] = "safety_stock"
    parts = (FixedSplit, SafetyStock, FixedDisposition)


class SafetyStocksByStock(ComposedRule):
    """`stock_dependent` with safety stocks in place of days of cover."""

    name: ClassVar[str] = "safety_stock_by_stock"
    parts = (StockSplit, SafetyStock, *StockDependent.parts[2:])


class SafetyStocksFullTruck(ComposedRule):
    """The same with loads rounded to full trucks."""

    name: ClassVar[str] = "safety_stock_full_truck"
    parts = (StockSplit, SafetyStock, *FullTruck.parts[2:])

    @classmethod
    def suits(cls, setting: Setting) -> bool:
        """Where trucks are paid."""
        return FullTruck.suits(setting)


class FreshSafetyStocks(ComposedRule):
    """Safety stocks of what spoils: expected waste is ordered again; trucks are filled if paid."""

    name: ClassVar[str] = "safety_stock_fresh"
    parts = (StockSplit, FreshSafetyStock, *FullTruck.parts[2:])

    @classmethod
    def get_simpler(cls, setting: Setting) -> str:
        """Returns the family that waste does not matter to."""
        return (SafetyStocksFullTruck if FullTruck.suits(setting) else SafetyStocksByStock).name

    @classmethod
    def suits(cls, setting: Setting) -> bool:
        """Where something spoils."""
        return bool((setting.shelf_life > 0).any())


class Newsvendor(ComposedRule):
    """Safety stocks by what each SKU is worth; trucks are filled where they are paid."""

    name: ClassVar[str] = "newsvendor"
    parts = (StockSplit, NewsvendorStock, *FullTruck.parts[2:])

    @classmethod
    def get_simpler(cls, setting: Setting) -> str:
        """Returns the family that takes all SKUs to be worth the same."""
        return FreshSafetyStocks.get_simpler(setting)

    @classmethod
    def suits(cls, setting: Setting) -> bool:
        """Where SKUs differ in what they are worth."""
        return any(np.ptp(ratio) > _EQUAL for ratio in (setting.store_ratio, setting.dc_ratio))


FAMILIES: dict[str, type[ComposedRule]] = {
    family.name: family
    for family in (
        OrderUpTo, ForecastOrderUpTo, CappedBaseStock, WarehouseReserve, ReorderPoint,
        StockDependent, FullTruck, FullTruckBySku,
        Textbook, SafetyStocks, SafetyStocksByStock, SafetyStocksFullTruck,
        FreshSafetyStocks, Newsvendor,
    )
}  # fmt: skip


def get_family(name: str, field: str = "family") -> type[ComposedRule]:
    """Returns a family by name.

    Raises:
        InputError: names the field, the value and what is allowed.
    """
    if name not in FAMILIES:
        raise InputError(f"{field}: {name!r} is not known; allowed: {', '.join(FAMILIES)}")
    return FAMILIES[name]
