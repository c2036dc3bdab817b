"""The classical families: which parts each is made of, simplest first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np

from envs.omnichannel.types import FloatArray, Targets, View
from marl.policies.base import ParameterSpace, Setting, TunableRule
from marl.policies.parts import (
    Covers,
    CutPlanning,
    FairShare,
    FixedDisposition,
    FixedSplit,
    FullTrucks,
    MinimumLoad,
    Part,
    Plan,
    ReorderGap,
    SkuCovers,
    StockDisposition,
    StockSplit,
)


class ComposedRule(TunableRule):
    """A family given by its parts, applied in order; its parameters are theirs."""

    parts: ClassVar[tuple[type[Part], ...]]
    knows_forecast: ClassVar[bool] = True  # else it expects the mean every day

    def __init__(self, setting: Setting, parameters: Mapping[str, float | FloatArray]) -> None:
        super().__init__(setting, parameters)
        self.steps = [part(setting, parameters) for part in self.parts]

    @classmethod
    def make_space(cls, setting: Setting) -> ParameterSpace:
        """Returns the parameters of all parts."""
        return ParameterSpace(tuple(p for part in cls.parts for p in part.make_parameters(setting)))

    def make_plan(self, view: View) -> Plan:
        """Returns the period's plan, all parts applied."""
        if not self.knows_forecast:
            mean = np.broadcast_to(self.setting.mean_demand, view.forecast.shape)
            view = replace(view, forecast=mean)
        plan = Plan.start(view, self.setting)
        for step in self.steps:
            step.apply(plan)
        return plan

    def compute_targets(self, view: View) -> Targets:
        """Returns signed gaps in units and fractions."""
        return self.make_plan(view).make_targets()


class OrderUpTo(ComposedRule):
    """Order-up-to levels in days of mean demand, constant split and disposition."""

    name: ClassVar[str] = "order_up_to"
    parts = (FixedSplit, Covers, FixedDisposition)
    knows_forecast = False


class ForecastOrderUpTo(ComposedRule):
    """The same in days of forecast demand."""

    name: ClassVar[str] = "forecast_order_up_to"
    parts = OrderUpTo.parts


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
    needs_trucks = True
    parts = (*StockDependent.parts[:-1], FullTrucks)


class FullTruckBySku(ComposedRule):
    """`full_truck` with covers by SKU: the strongest family here, about 25 parameters."""

    name: ClassVar[str] = "full_truck_by_sku"
    parts = (StockSplit, Covers, SkuCovers, *FullTruck.parts[2:])

    @classmethod
    def get_simpler(cls, setting: Setting) -> str:
        """Returns the family without covers by SKU."""
        return (StockDependent if setting.truck_capacity is None else FullTruck).name


FAMILIES: dict[str, type[ComposedRule]] = {
    family.name: family
    for family in (
        OrderUpTo, ForecastOrderUpTo, ReorderPoint, StockDependent, FullTruck, FullTruckBySku,
    )
}  # fmt: skip
