"""Rates of a scenario as arrays: penalties by SKU and channel, the price of a lane."""

from __future__ import annotations

import numpy as np

from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.costs import Costs as CostRates
from envs.omnichannel.types import FloatArray, Network


def price_lanes(rates: CostRates, network: Network) -> tuple[FloatArray, FloatArray]:
    """Returns what a unit and what a truck costs on each store's lane, money, (S,) each."""
    distance = network.distance.astype(np.float64)
    return (
        rates.transport * (1 + distance),
        rates.truck_cost + rates.truck_cost_distance * distance,
    )


def price_units(rates: CostRates, network: Network, quantity_rate: float) -> FloatArray:
    """Returns what a unit of a full truck costs on each store's lane, money, (S,).

    Args:
        rates: of the scenario.
        network: whose lanes.
        quantity_rate: factor of the lane's rate, by the quantity of the shipment.
    """
    lane, truck = price_lanes(rates, network)
    cost = lane * quantity_rate
    return cost + truck / rates.truck_capacity if rates.truck_capacity else cost


def list_lost_sale(scenario: Scenario) -> FloatArray:
    """Returns the penalty of a lost unit by SKU and channel, (K, C): its own, or its margin."""
    penalties = []
    for sku in scenario.skus:
        common = scenario.costs.lost_sale if sku.margin is None else sku.margin
        own = [getattr(sku, f"{channel}_lost_sale") for channel in scenario.channels]
        penalties.append([common if rate is None else rate for rate in own])
    return np.array(penalties)


def list_late(scenario: Scenario) -> FloatArray:
    """Returns the penalty of a unit that waits, per period, by SKU, (K,)."""
    common = scenario.costs.late
    return np.array([common if sku.late is None else sku.late for sku in scenario.skus])


def list_holding(scenario: Scenario) -> tuple[FloatArray, FloatArray]:
    """Returns what a unit in stock costs a period at stores and at DCs, by SKU, (K,) each."""
    costs = scenario.costs
    stores = _price_stock(scenario, costs.holding_store, costs.holding_share_store)
    return stores, _price_stock(scenario, costs.holding_dc, costs.holding_share_dc)


def list_waste(scenario: Scenario) -> FloatArray:
    """Returns what a unit costs that vanishes or spoils: what it was bought for, by SKU, (K,)."""
    return _price_stock(scenario, scenario.costs.waste, 1.0)


def _price_stock(scenario: Scenario, common: float, share: float | None) -> FloatArray:
    """A share of each SKU's unit cost, or what all have in common where one is not known."""
    costs = [None if share is None else sku.unit_cost for sku in scenario.skus]
    return np.array([common if cost is None else (share or 0.0) * cost for cost in costs])


def list_premiums(scenario: Scenario) -> FloatArray:
    """Returns what suppliers charge above a SKU's own unit cost, money a unit, (J + 1, K).

    Of a SKU without a unit cost it is what they charge above the cheapest one. The last row is the
    supplier without a name, who charges the unit cost.
    """
    suppliers = scenario.suppliers or ()
    premiums = np.zeros((len(suppliers) + 1, len(scenario.skus)))
    for k, sku in enumerate(scenario.skus):
        stated = {j: (s.unit_cost or {}).get(sku.name) for j, s in enumerate(suppliers)}
        prices = {j: price for j, price in stated.items() if price is not None}
        own = min(prices.values(), default=0.0) if sku.unit_cost is None else sku.unit_cost
        for j, price in prices.items():
            premiums[j, k] = price - own
    return premiums
