"""Inventory positions and demand rates that order-up-to rules compare."""

from __future__ import annotations

from envs.omnichannel.types import (
    ONLINE,
    STORE,
    FloatArray,
    IntArray,
    Network,
    State,
    View,
    sum_axis,
    sum_channels,
)


def compute_store_position(state: State, network: Network) -> IntArray:
    """Returns on hand + in transit + in inspection at the stores, units, (B, S, K)."""
    first = network.num_dcs
    position = (
        state.on_hand[:, first:]
        + sum_axis(state.in_transit[:, :, first:], 1)
        + sum_axis(state.in_inspection, 1)
    )
    if state.inspection_queue.shape[1]:
        position += state.inspection_queue[:, first:]
    return position


def compute_echelon_position(state: State, store_position: IntArray, network: Network) -> IntArray:
    """Returns each DC's echelon inventory position, units, (B, W, K).

    Source: Snyder & Shen, Fundamentals of Supply Chain Theory, 2nd ed., section 6.2.2: stock in
    and on its way to the DC and everything below it, minus open backorders.
    """
    first = network.num_dcs
    below = network.sum_by_dc(store_position - sum_axis(state.backorders, 1))
    position = state.on_hand[:, :first] + sum_axis(state.in_transit[:, :, :first], 1) + below
    if state.inspection_queue.shape[1]:
        position += state.inspection_queue[:, :first]
    return position


def compute_store_rate(view: View, online_share: FloatArray) -> FloatArray:
    """Returns units a period that the store itself is to serve, (B, S, K)."""
    return view.forecast[..., STORE] + online_share * view.forecast[..., ONLINE]


def compute_system_rate(view: View, network: Network) -> FloatArray:
    """Returns units a period demanded in all regions of each DC, (B, W, K)."""
    return network.sum_by_dc(sum_channels(view.forecast))
