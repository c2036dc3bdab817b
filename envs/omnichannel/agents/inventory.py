"""Inventory positions and demand rates that order-up-to rules compare."""

from __future__ import annotations

from envs.omnichannel.types import (
    ONLINE,
    PICKUP,
    STORE,
    FloatArray,
    IntArray,
    Network,
    Stocks,
    View,
    sum_axis,
    sum_channels,
)


def compute_store_position(stocks: Stocks, network: Network) -> IntArray:
    """Returns the stores' inventory position, units, (B, S, K).

    On hand + in transit + in inspection - what the store itself owes (walk-ins and pickups that
    wait). Online orders that wait count for the DC's echelon, because either may serve them.
    """
    first = network.num_dcs
    position: IntArray = (
        stocks.on_hand[:, first:]
        + sum_axis(stocks.in_transit[:, :, first:], 1)
        + sum_axis(stocks.in_inspection, 1)
    )
    if stocks.inspection_queue is not None:
        position += stocks.inspection_queue[:, first:]
    if stocks.backorders.shape[1] > network.online_slots:
        position -= sum_axis(stocks.backorders[:, network.online_slots :], 1)
    return position


def compute_online_waiting(stocks: Stocks, network: Network) -> IntArray:
    """Returns the online orders that wait, (B, S, K)."""
    return sum_axis(stocks.backorders[:, : network.online_slots], 1)


def compute_echelon_position(
    stocks: Stocks, store_position: IntArray, network: Network
) -> IntArray:
    """Returns each DC's echelon inventory position, units, (B, W, K).

    Source: Snyder & Shen, Fundamentals of Supply Chain Theory, 2nd ed., section 6.2.2: stock in
    and on its way to the DC and everything below it, minus open backorders.
    """
    first = network.num_dcs
    below = network.sum_by_dc(store_position - compute_online_waiting(stocks, network))
    position = stocks.on_hand[:, :first] + sum_axis(stocks.in_transit[:, :, :first], 1) + below
    if stocks.inspection_queue is not None:
        position += stocks.inspection_queue[:, :first]
    return position


def compute_store_rate(view: View, online_share: FloatArray) -> FloatArray:
    """Returns units a period that the store itself is to serve, (B, S, K)."""
    rate = view.forecast[..., STORE] + online_share * view.forecast[..., ONLINE]
    return rate if view.forecast.shape[-1] == 2 else rate + view.forecast[..., PICKUP]


def compute_system_rate(view: View, network: Network) -> FloatArray:
    """Returns units a period demanded in all regions of each DC, (B, W, K)."""
    return network.sum_by_dc(sum_channels(view.forecast))
