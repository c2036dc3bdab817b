"""The newsvendor's ratios: how safe each SKU's stock should be by what it is worth."""

from __future__ import annotations

import numpy as np

from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import FloatArray
from envs.omnichannel.world.account.rates import list_holding, list_late, list_lost_sale

_LOWEST, _HIGHEST = 0.01, 0.999  # beyond them a normal quantile says nothing of real demand


def compute_ratios(scenario: Scenario, mean_demand: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Returns the share of cycles in which stores and DCs should not run short, by SKU, (K,) each.

    A store's ratio is b / (b + h): b is what a unit short costs in a period, lost or made to wait,
    h what a unit in the store costs. A DC's echelon ends in the stores, so its ratio is
    (b + h') / (b + h) with h' what a store's unit costs more than one at the DC.

    Source: Snyder & Shen, Fundamentals of supply chain theory, 2nd ed., eq. 4.17; echelons by Shang
    & Song 2003, Newsvendor bounds and heuristic for optimal policies in serial supply chains,
    Management Science 49(5), section 3.

    Args:
        scenario: whose penalties and holding costs.
        mean_demand: units a period, (S, K, C); their sums weigh the channels, alike for all SKUs.
    """
    short = _price_shortage(scenario)
    units = mean_demand.sum(axis=(0, 1))
    b = short @ (units / units.sum()) if units.sum() > 0 else short.mean(axis=1)
    store, dc = list_holding(scenario)
    return _divide(b, b + store), _divide(b + np.maximum(store - dc, 0), b + store)


def _price_shortage(scenario: Scenario) -> FloatArray:
    """Money for a unit short in a period by SKU and channel, (K, C)."""
    money, late = list_lost_sale(scenario), list_late(scenario)
    for c, channel in enumerate(scenario.channels):
        unmet = scenario.fulfillment.get_unmet(channel)
        if unmet in {"backorder", "patience"}:
            money[:, c] = late
        elif unmet == "partial":  # the DC serves the others
            money[:, c] *= 1 - scenario.fulfillment.dc_offer
    return money


def _divide(part: FloatArray, whole: FloatArray) -> FloatArray:
    """A ratio inside its bounds; where nothing costs anything, the highest."""
    ratio = np.divide(part, whole, out=np.ones_like(part), where=whole > 0)
    found: FloatArray = np.clip(ratio, _LOWEST, _HIGHEST)
    return found
