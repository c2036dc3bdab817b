"""The agents that order in a small network: their features and their orders."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from envs.errors import InputError
from envs.omnichannel.flows import Targets
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import Float32Array, IntArray, Stocks, sum_axis
from marl.policies.base import Setting

Quantities = Mapping[str, IntArray]  # group -> units by agent, (B, G)


@dataclass(frozen=True)
class Group(ABC):
    """Agents that share a network: G of them, each of whom sees D numbers of units.

    Attributes:
        setting: of the scenario.
        largest_order: days of mean demand.
    """

    setting: Setting
    largest_order: float

    name: ClassVar[str]

    @property
    @abstractmethod
    def num_agents(self) -> int:
        """G."""

    @property
    @abstractmethod
    def mean_demand(self) -> float:
        """Units a period that an agent's orders are to replace."""

    @property
    @abstractmethod
    def most(self) -> list[int]:
        """The highest number of units that is told apart, by what is seen, D."""

    @abstractmethod
    def observe(self, stocks: Stocks) -> IntArray:
        """Returns units that each agent sees, (B, G, D)."""

    @property
    def num_options(self) -> int:
        """A: orders of 0, 1, ..., A - 1 units."""
        return math.ceil(self.largest_order * self.mean_demand) + 1

    @property
    def initial_option(self) -> int:
        """What an untrained agent orders."""
        return round(self.mean_demand)


class StoreOrders(Group):
    """One agent a store; sees its own stock and pipeline, the DC's, and the other stores'."""

    name = "store_order"

    @property
    def num_agents(self) -> int:
        """S."""
        return self.setting.network.num_stores

    @property
    def mean_demand(self) -> float:
        """Of the store with the highest demand."""
        return float(self.setting.mean_demand.sum(axis=(1, 2)).max())

    @property
    def most(self) -> list[int]:
        """Own stock and open orders, the DC's, the others' positions in descending order."""
        own = [_count(self.mean_demand, self._lead_time + 3), *self._open_orders]
        dc = DcOrders(self.setting, self.largest_order)
        warehouse = dc.most[: 1 + dc.num_open] if has_dc_orders(self.setting) else []
        return [*own, *warehouse, *[own[0]] * (self.num_agents - 1)]

    def observe(self, stocks: Stocks) -> IntArray:
        """Returns units that each store sees, (B, S, D)."""
        positions = get_positions(stocks)
        seen = [stocks.on_hand[:, 1:, 0]]
        seen += [stocks.in_transit[:, slot, 1:, 0] for slot in range(len(self._open_orders))]
        if has_dc_orders(self.setting):
            dc = DcOrders(self.setting, self.largest_order).see_own(stocks)
            seen += [np.broadcast_to(units[:, None], positions.shape) for units in dc]
        stores = np.arange(self.num_agents)
        others = np.array([np.delete(stores, s) for s in stores], dtype=np.int64)  # (S, S - 1)
        columns = np.stack(seen, axis=-1)
        return np.concatenate([columns, -np.sort(-positions[:, others], axis=-1)], axis=-1)

    @property
    def _lead_time(self) -> int:
        return int(self.setting.network.lane_lead_time.max())

    @property
    def _open_orders(self) -> list[int]:
        return [self.num_options - 1] * (self._lead_time - 1)


class DcOrders(Group):
    """The agent of the DC; sees its stock and pipeline and the stores' positions."""

    name = "dc_order"

    @property
    def num_agents(self) -> int:
        """One."""
        return 1

    @property
    def mean_demand(self) -> float:
        """Of all stores."""
        return float(self.setting.mean_demand.sum())

    @property
    def num_open(self) -> int:
        """Orders that are under way when the next one is placed."""
        return max(int(self.setting.network.lead_time[0]) - 1, 0)

    @property
    def most(self) -> list[int]:
        """Own stock and open orders, the stores' positions in descending order."""
        stores = StoreOrders(self.setting, self.largest_order)
        position = _count(stores.mean_demand, stores.setting.network.lane_lead_time.max() + 3)
        own = [_count(self.mean_demand, 3), *[self.num_options - 1] * self.num_open]
        return [*own, *[position] * stores.num_agents]

    def see_own(self, stocks: Stocks) -> list[IntArray]:
        """Returns the stock and the open orders, soonest first, each (B,)."""
        orders = [stocks.in_transit[:, slot, 0, 0] for slot in range(self.num_open)]
        return [stocks.on_hand[:, 0, 0], *orders]

    def observe(self, stocks: Stocks) -> IntArray:
        """Returns units that the DC sees, (B, 1, D)."""
        positions = -np.sort(-get_positions(stocks), axis=-1)
        own = np.stack(self.see_own(stocks), axis=-1)
        return np.concatenate([own, positions], axis=-1)[:, None]


def get_positions(stocks: Stocks) -> IntArray:
    """Returns the stores' units on hand and under way, (B, S)."""
    return stocks.on_hand[:, 1:, 0] + sum_axis(stocks.in_transit[:, :, 1:, 0], 1)


def has_dc_orders(setting: Setting) -> bool:
    """Whether the DC decides: without a lead time it orders what the stores ask for."""
    return bool(setting.network.lead_time[0] > 0)


def make_groups(scenario: Scenario, largest_order: float) -> dict[str, Group]:
    """Returns who orders in a scenario, by name.

    Raises:
        InputError: if it is not one SKU in one DC's network, the same every day.
    """
    setting = Setting.from_scenario(scenario)
    for field, count in (("skus", len(scenario.skus)), ("dcs", setting.network.num_dcs)):
        if count > 1:
            raise InputError(
                f"method: orders is for one of {field}; scenario {scenario.name} has {count}"
            )
    if not setting.is_stationary:
        raise InputError(
            "method: orders is for demand that is the same every day, without season; "
            f"that of scenario {scenario.name} is not"
        )
    if setting.network.lane_lead_time.min() == 0:
        raise InputError(
            "method: orders needs stores with a lead time of 1 or more; scenario "
            f"{scenario.name} has 0"
        )
    kinds = [StoreOrders, *[DcOrders] * has_dc_orders(setting)]
    return {kind.name: kind(setting, largest_order) for kind in kinds}


def encode_units(units: Float32Array, most: Sequence[int]) -> Float32Array:
    """Returns what networks read, (..., F + D): is it at least 1, at least 2, ...; the shares.

    Args:
        units: that agents see, (..., D).
        most: the highest number that is told apart, by input, D.
    """
    columns = np.repeat(np.arange(len(most)), most)
    thresholds = np.concatenate([np.arange(1, number + 1) for number in most])
    reached = units[..., columns] >= thresholds.astype(np.float32)
    shares = units / np.array(most, np.float32)
    return np.concatenate([reached.astype(np.float32), shares], axis=-1)


def make_targets(quantities: Quantities) -> Targets:
    """Returns what the agents order; a DC that does not decide orders what its stores ask for."""
    stores = quantities[StoreOrders.name]
    gap = stores[..., None].astype(np.float64)
    dc = quantities.get(DcOrders.name, stores.sum(axis=1, keepdims=True))
    disposition = np.zeros((*gap.shape, 3))
    disposition[..., 0] = 1.0
    return Targets(
        supplier_gap=dc[..., None].astype(np.float64),
        shipment_gap=gap,
        online_share=np.zeros(gap.shape),
        disposition=disposition,
    )


def _count(mean: float, days: float) -> int:
    return math.ceil(mean * days)
