"""Costs of a period by term, node and SKU, read from the flows (eq. 3, 4 and tiered transport)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import FloatArray, Flows, IntArray, Network, sum_channels

TERMS = ("lost_sales", "late", "holding", "overflow", "transport", "ordering", "returns", "waste")

Costs = dict[str, FloatArray]  # term -> (B, N, K) money a period


class CostModel:
    """Turns flows into money.

    - `lost_sales`, `late`: penalty per unit lost, and per unit and period an online order waits;
      a SKU may have its own, by channel.
    - `holding` (eq. 3): units x rate x days, on the stock at the end of the period.
    - `overflow`: rate per unit above a node's capacity, shared among SKUs by their stock.
    - `transport`: a lane's rate rises with its distance and falls with the quantity of the whole
      shipment (tiers), and every started truck has a fixed cost that rises with the distance,
      shared among SKUs by their units. Transshipments cost their own rate per unit. Plus the last
      mile of online orders from store or DC, and of walk-ins and pickups that the DC serves.
    - `ordering`: fixed cost per supplier order line.
    - `returns` (eq. 4): base fee per store, SKU and period in which anything came back, plus a
      unit fee by disposition.
    - `waste`: per unit that vanished from a store or reached the end of its shelf life there.
    """

    def __init__(self, scenario: Scenario, network: Network) -> None:
        self.rates = scenario.costs
        self.network = network
        self.holding: FloatArray = np.where(
            np.arange(network.num_nodes) < network.num_dcs,
            self.rates.holding_dc,
            self.rates.holding_store,
        )[:, None]
        self.lane_rate = (self.rates.transport * (1 + network.distance))[:, None]
        self.last_mile_dc = (
            self.rates.last_mile_dc + self.rates.last_mile_dc_distance * network.distance
        )[:, None]
        self.has_waste = scenario.has_waste
        skus, channels = scenario.skus, scenario.channels
        self.lost_sale = np.array(
            [
                [_choose(getattr(sku, f"{c}_lost_sale"), self.rates.lost_sale) for c in channels]
                for sku in skus
            ]
        )  # (K, C)
        self.late = np.array([_choose(sku.late, self.rates.late) for sku in skus])
        self.truck_cost = self.rates.truck_cost + self.rates.truck_cost_distance * network.distance
        lateral = scenario.transshipment
        self.transshipment_cost = lateral.cost if lateral else 0.0
        self.breaks = np.array(self.rates.quantity_breaks)
        self.tiers = np.array(self.rates.quantity_rates)

    def compute_costs(self, flows: Flows) -> Costs:
        """Returns money by term, each (B, N, K); what arises in a region is booked at its store."""
        lost = sum_channels(flows.lost * self.lost_sale)
        return {
            "lost_sales": self._at_stores(lost),
            "late": self._at_stores(flows.waiting * self.late),
            "holding": flows.on_hand * self.holding,
            "overflow": self._compute_overflow(flows),
            "transport": self._at_stores(self._compute_transport(flows)),
            "ordering": self._compute_ordering(flows),
            "returns": self._at_stores(self._compute_returns(flows)),
            "waste": self._compute_waste(flows),
        }

    def _at_stores(self, by_store: NDArray[np.floating]) -> FloatArray:
        dcs = np.zeros((len(by_store), self.network.num_dcs, by_store.shape[-1]))
        return np.concatenate([dcs, by_store], axis=1)

    def _compute_overflow(self, flows: Flows) -> FloatArray:
        if np.isinf(self.network.capacity).all():
            return np.zeros(flows.on_hand.shape)
        stock = flows.on_hand.sum(axis=-1)
        above = np.maximum(stock - self.network.capacity, 0) * self.rates.overflow
        return (above / np.maximum(stock, 1))[..., None] * flows.on_hand

    def _compute_transport(self, flows: Flows) -> FloatArray:
        shipment = flows.shipped.sum(axis=-1, keepdims=True)
        tier = self.tiers[np.searchsorted(self.breaks, shipment, side="right")]
        lane = flows.shipped * self.lane_rate * tier
        if self.rates.truck_capacity:
            trucks = count_trucks(shipment, self.rates.truck_capacity)
            share = flows.shipped / np.maximum(shipment, 1)  # of the load
            lane += share * trucks * self.truck_cost[:, None]
        last_mile = flows.online_from_store * self.rates.last_mile_store
        if self.transshipment_cost:
            lane += flows.transshipped_in * self.transshipment_cost
        from_dc = flows.online_from_dc + flows.store_from_dc + flows.pickup_from_dc
        return lane + last_mile + from_dc * self.last_mile_dc

    def _compute_ordering(self, flows: Flows) -> FloatArray:
        stores = np.zeros(flows.shipped.shape)
        return np.concatenate([(flows.supplied > 0) * self.rates.fixed_order, stores], axis=1)

    def _compute_waste(self, flows: Flows) -> FloatArray:
        if not self.has_waste:
            return np.broadcast_to(0.0, flows.on_hand.shape)
        return self._at_stores((flows.shrunk + flows.wasted) * self.rates.waste)

    def _compute_returns(self, flows: Flows) -> FloatArray:
        return (
            (flows.returned > 0) * self.rates.return_base
            + flows.restocked * self.rates.return_restock
            + flows.consolidated * self.rates.return_consolidate
            + flows.liquidated * self.rates.return_liquidate
            + flows.scrapped * self.rates.return_scrap
            + flows.mailed * self.rates.return_mail
        )


def _choose(own: float | None, common: float) -> float:
    return common if own is None else own


def count_trucks(shipment: IntArray, capacity: int) -> IntArray:
    """Returns the trucks that a shipment starts.

    Args:
        shipment: units of all SKUs, (...).
        capacity: of a truck, units.
    """
    return -(-shipment // capacity)
