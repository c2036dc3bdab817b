"""Order-up-to families: constant demand, and the same rule fed with the forecast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from envs.omnichannel.types import FloatArray, IntArray, Network, Targets, View
from marl.policies.base import (
    OrderUpToLevels,
    Parameter,
    ParameterSpace,
    Setting,
    TunableRule,
    assume_mean_demand,
    compute_order_up_to_targets,
)

MAX_CLASSES = 3


class OrderUpTo(TunableRule):
    """Order-up-to levels in days of mean demand.

    Parameters:

    - `store_cover_<i>`: days beyond the lead time, by class of lane lead time, shortest first.
    - `dc_cover_<i>`: days of echelon cover, by class of supplier lead time, shortest first.
    - `online_share`: of online orders that the stores serve.
    - `restock`: share of returns put back on the store's shelf.
    - `consolidate`: share of the other returns sent to the DC; what is left is liquidated.
    """

    name: ClassVar[str] = "order_up_to"

    def __init__(self, setting: Setting, parameters: Mapping[str, float | FloatArray]) -> None:
        super().__init__(setting, parameters)
        store_class, dc_class = _classify_nodes(setting.network)
        restock = np.asarray(parameters["restock"])
        consolidate = (1 - restock) * parameters["consolidate"]
        liquidate = 1 - restock - consolidate
        self.levels = OrderUpToLevels(
            store_cover=_read_by_class("store_cover", parameters, store_class),
            dc_cover=_read_by_class("dc_cover", parameters, dc_class),
            online_share=np.asarray(parameters["online_share"]),
            disposition=np.stack([restock, consolidate, liquidate], axis=-1),
        )

    @classmethod
    def make_space(cls, setting: Setting) -> ParameterSpace:
        """Returns the parameters of the network's lead-time classes."""
        network = setting.network
        store_class, dc_class = _classify_nodes(network)
        # Safety stock in days grows with the coefficient of variation, so with 1 / sqrt(mean); a
        # range much wider than needed costs the search its precision.
        mean = max(float(setting.mean_demand.sum(axis=-1).mean()), 0.1)
        highest = 4 + 8 / mean**0.5
        store_covers = [
            Parameter(f"store_cover_{c}", low=0.0, high=highest, initial=1.5)
            for c in range(store_class.max() + 1)
        ]
        dc_covers = []
        for c in range(dc_class.max() + 1):
            supplier = network.lead_time[: network.num_dcs][dc_class == c].mean()
            # An echelon must bridge the supplier's lead time and the way on to the stores.
            bridge = float(supplier + network.lane_lead_time.mean())
            dc_covers.append(Parameter(f"dc_cover_{c}", bridge, bridge + 10, bridge + 2))
        return ParameterSpace(
            (
                *store_covers,
                *dc_covers,
                Parameter("online_share", low=0.0, high=1.0, initial=0.1),
                Parameter("restock", low=0.0, high=1.0, initial=0.5),
                Parameter("consolidate", low=0.0, high=1.0, initial=1.0),
            )
        )

    def compute_targets(self, view: View) -> Targets:
        """Returns signed gaps in units and fractions."""
        known = assume_mean_demand(view, self.setting.mean_demand)
        return compute_order_up_to_targets(known, self.setting.network, self.levels)


class ForecastOrderUpTo(OrderUpTo):
    """Order-up-to levels in days of forecast demand; the parameters of `OrderUpTo`."""

    name: ClassVar[str] = "forecast_order_up_to"

    def compute_targets(self, view: View) -> Targets:
        """Returns signed gaps in units and fractions."""
        return compute_order_up_to_targets(view, self.setting.network, self.levels)


def classify_lead_times(lead_time: IntArray) -> IntArray:
    """Returns each node's class: one a distinct lead time, neighbours merged beyond three.

    Args:
        lead_time: periods, (G,).

    Returns:
        Classes 0, 1, ... from the shortest lead time, (G,), none of them empty.
    """
    distinct, rank = np.unique(lead_time, return_inverse=True)
    if len(distinct) <= MAX_CLASSES:
        return rank.astype(np.int64)
    return np.rint(rank * (MAX_CLASSES - 1) / (len(distinct) - 1)).astype(np.int64)


def _classify_nodes(network: Network) -> tuple[IntArray, IntArray]:
    suppliers = network.lead_time[: network.num_dcs]
    return classify_lead_times(network.lane_lead_time), classify_lead_times(suppliers)


def _read_by_class(
    prefix: str, parameters: Mapping[str, float | FloatArray], node_class: IntArray
) -> FloatArray:
    """The value of every node's class, ([B,] G)."""
    values = [parameters[f"{prefix}_{c}"] for c in range(node_class.max() + 1)]
    return np.stack(values, axis=-1)[..., node_class]
