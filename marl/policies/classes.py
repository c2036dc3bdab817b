"""Classes of nodes and SKUs: members of one share a rule's parameters."""

from __future__ import annotations

import numpy as np

from envs.omnichannel.types import FloatArray, IntArray
from marl.policies.base import Setting

MAX_CLASSES = 3
MAX_SKU_CLASSES = 4


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


def classify_nodes(setting: Setting) -> tuple[IntArray, IntArray]:
    """Returns the classes of the stores, (S,), and of the DCs, (W,)."""
    network = setting.network
    suppliers = network.lead_time[: network.num_dcs]
    return classify_lead_times(network.lane_lead_time), classify_lead_times(suppliers)
