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
    """Returns the penalty of a lost unit by SKU and channel, (K, C)."""
    common = scenario.costs.lost_sale
    own = [[getattr(sku, f"{c}_lost_sale") for c in scenario.channels] for sku in scenario.skus]
    return np.array([[common if rate is None else rate for rate in rates] for rates in own])


def list_late(scenario: Scenario) -> FloatArray:
    """Returns the penalty of a unit that waits, per period, by SKU, (K,)."""
    common = scenario.costs.late
    return np.array([common if sku.late is None else sku.late for sku in scenario.skus])
