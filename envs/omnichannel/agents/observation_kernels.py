"""Observation, compiled: NumPy would make a hundred passes over small arrays.

A kernel works on one copy after the other, so that what it needs of a copy stays in the processor's
cache. Kernels that call each other share a file, because the compiler's cache on disk notices
changes of a function's own file only. Rows are the DCs, the stores, the network as a
whole.
"""

from __future__ import annotations

from math import log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.compiler import compiled
from envs.omnichannel.agents.observation_arrays import Context, Rows, Shown, Units
from envs.omnichannel.types import (
    LOWEST_RATE,
    ONLINE,
    Float32Array,
    FloatArray,
)

Bits = NDArray[np.uint16]  # float16 as the compiler knows it

CLIP = np.float32(5.0)  # all features lie in [-5, 5]
_SOON = 3  # days in which `expiring_soon` counts the units whose shelf life ends


class _Features(NamedTuple):
    """The columns of an observation."""

    stock: int
    inbound_1: int
    inbound_2: int
    inbound_3: int
    inbound_later: int
    position: int
    waiting_new: int
    waiting_old: int
    returns_soon: int
    returns_later: int
    in_inspection: int
    dc_stock: int
    dc_inbound_soon: int
    dc_inbound_later: int
    all_stores_stock: int
    system_waiting: int
    system_shortage: int
    smoothed: int
    last_demand: int
    season: int
    season_ahead: int
    lead_time: int
    log_demand: int
    return_rate: int
    online_fraction: int
    days_to_review: int
    lowest_cover: int
    goal_cover: int
    goal_push_cover: int
    goal_online_share: int
    goal_restock: int
    goal_consolidate: int
    is_dc: int
    is_store: int


FEATURES = _Features._fields
COLUMN = _Features(*range(len(FEATURES)))
BY_SKU = (
    COLUMN.season,
    COLUMN.season_ahead,
    COLUMN.goal_cover,
    COLUMN.goal_push_cover,
    COLUMN.goal_online_share,
    COLUMN.goal_restock,
    COLUMN.goal_consolidate,
)  # the same in all rows
_SEASON, _SEASON_AHEAD = BY_SKU.index(COLUMN.season), BY_SKU.index(COLUMN.season_ahead)
CONSTANT = (COLUMN.lead_time, COLUMN.return_rate, COLUMN.is_dc, COLUMN.is_store)


class _Cell(NamedTuple):
    """What a row holds of a SKU before it is scaled: units, or units a period.

    From `stores_stock` to `expiring`, DCs and network hold the sums over their stores.
    """

    stock: int  # a DC's own; of the network that of all nodes, as of the next four
    inbound_1: int
    inbound_2: int
    inbound_3: int
    inbound_later: int
    position: int  # inventory position of a store, echelon position of DCs and network
    stores_stock: int
    waiting_new: int
    waiting_old: int
    returns_soon: int
    returns_later: int
    in_inspection: int
    shortage: int
    forecast: int
    online_forecast: int
    smoothed: int
    last_demand: int
    expiring: int
    lowest_cover: int  # days, the lowest below
    dc_stock: int  # of DCs; of the network that of all DCs, as of the next two
    dc_soon: int
    dc_later: int


_NUM_CELLS = len(_Cell._fields)
_CELL = _Cell(*range(_NUM_CELLS))


@compiled
def write_observations(
    obs: Float32Array,
    first: int,
    stored: Bits,
    period: int,
    num_features: int,
    constant: Float32Array,
    units: Units,
    context: Context,
    shown: Shown,
    rows: Rows,
) -> None:
    """Writes all features, clipped.

    Args:
        obs: (R', B, K, F or more), written in place: rows from `first` on. Where units perish, the
            last of F columns tells of them; what lies beyond is the caller's to write afterwards.
        first: the row that `obs` begins with.
        stored: (B, T, R, K, F), at whose `period` the same is written as float16; empty: nowhere.
        period: of the second axis of `stored`.
        num_features: F.
        constant: the features of `CONSTANT`, which no period changes, (R, K, 4).
        units: of B copies.
        context: of B copies.
        shown: of goals and cuts.
        rows: of the network.
    """
    num_rows, skus, _ = constant.shape
    cells, num_own = np.empty((num_rows, skus, _NUM_CELLS)), shown.first_cut - len(COLUMN)
    first_spread, sees_spread = shown.first_cut + context.cuts.shape[2], context.spread.shape[3] > 0
    by_sku = np.empty((skus, len(BY_SKU) + num_own))
    shifted = np.empty(skus * num_features, np.float32)
    for b in range(obs.shape[1]):
        cells[:] = 0.0
        _gather_nodes(cells, units, b)
        _gather_stores(cells, units, rows, b)
        _roll_up(cells, rows)
        _gather_by_sku(by_sku, context, shown, b)
        for row in range(first, first + len(obs)):
            for k in range(skus):
                features, cell = obs[row - first, b, k, :num_features], cells[row, k]
                for i in range(len(CONSTANT)):
                    features[CONSTANT[i]] = constant[row, k, i]
                features[COLUMN.days_to_review] = context.to_review[b]
                for i in range(len(BY_SKU)):
                    features[BY_SKU[i]] = by_sku[k, i]
                for i in range(num_own):
                    features[len(COLUMN) + i] = by_sku[k, len(BY_SKU) + i]
                for i in range(context.cuts.shape[2]):
                    features[shown.first_cut + i] = context.cuts[b, row, i]
                upper = cells[rows.upper[row], k]
                _scale(features, cell, upper, rows.lead_time[row], rows.base[row, k])
                if units.shelf.shape[1]:
                    features[-1] = cell[_CELL.expiring] / max(cell[_CELL.forecast], LOWEST_RATE)
            if sees_spread:
                last = first_spread + context.spread.shape[3]
                obs[row - first, b, :, first_spread:last] = context.spread[b, row]
            of_skus = obs[row - first, b].reshape(-1)
            for i in range(len(of_skus)):
                value = of_skus[i]
                value = CLIP if value > CLIP else value
                of_skus[i] = -CLIP if value < -CLIP else value
            if len(stored):
                store_half(of_skus, shifted, stored[b, period, row].reshape(-1))


@compiled
def _gather_by_sku(by_sku: FloatArray, context: Context, shown: Shown, b: int) -> None:
    """Seasons and goals, which all rows share, (K, ...)."""
    for k in range(len(by_sku)):
        now = context.season[b, k]
        by_sku[k, _SEASON] = 3 * (now - 1)
        by_sku[k, _SEASON_AHEAD] = 5 * (context.season_ahead[b, k] - now)
        for g in range(len(shown.goal)):
            by_sku[k, shown.goal[g]] = shown.value[g, context.held[b, shown.module[g], k]]


@compiled
def store_half(features: Float32Array, shifted: Float32Array, half: Bits) -> None:
    """Rounds features in [-5, 5] to the nearest float16, ties to even.

    Bits instead of a cast, because the compiler has none; without branches, so that it takes
    several at a time. Below 2^-14, float16 has fixed steps, as float32 has them above 1/2.

    Args:
        features: (F,).
        shifted: (F,), what is computed with.
        half: (F,), written in place.
    """
    bits, shifted_bits = features.view(np.uint32), shifted.view(np.uint32)
    for i in range(len(features)):
        shifted[i] = abs(features[i]) + np.float32(0.5)
    for i in range(len(features)):
        size = bits[i] & np.uint32(0x7FFFFFFF)
        odd = (size >> np.uint32(13)) & np.uint32(1)
        normal = (size - np.uint32(0x38000000) + np.uint32(0xFFF) + odd) >> np.uint32(13)
        small = shifted_bits[i] - np.uint32(0x3F000000)
        rounded = small if size < np.uint32(0x38800000) else normal
        half[i] = np.uint16(rounded | ((bits[i] >> np.uint32(16)) & np.uint32(0x8000)))


@compiled
def _gather_nodes(cells: FloatArray, units: Units, b: int) -> None:
    """Stock, what is on its way to DCs and stores, and all positions."""
    slots = units.in_transit.shape[1]
    for i in range(units.on_hand.shape[1]):
        for k in range(units.on_hand.shape[2]):
            cell = cells[i, k]
            cell[_CELL.stock] = units.on_hand[b, i, k]
            cell[_CELL.position] = units.positions[b, i, k]
            for slot in range(slots):
                column = min(_CELL.inbound_1 + slot, _CELL.inbound_later)
                cell[column] += units.in_transit[b, slot, i, k]
    top = len(cells) - 1
    for k in range(cells.shape[1]):
        cells[top, k, _CELL.position] = units.positions[b, top, k]


@compiled
def _gather_stores(cells: FloatArray, units: Units, rows: Rows, b: int) -> None:
    """Orders, returns and forecasts of the stores' regions."""
    _, stores, skus, channels = units.last_demand.shape
    first = units.on_hand.shape[1] - stores
    for s in range(stores):
        lead_time = rows.lead_time[first + s]
        for k in range(skus):
            cell = cells[first + s, k]
            for slot in range(units.in_inspection.shape[1]):
                cell[_CELL.in_inspection] += units.in_inspection[b, slot, s, k]
            for slot in range(units.backorders.shape[1]):
                column = _CELL.waiting_old if slot else _CELL.waiting_new
                cell[column] += units.backorders[b, slot, s, k]
            for slot in range(units.returns_due.shape[1]):
                column = _CELL.returns_soon if slot < 2 else _CELL.returns_later
                cell[column] += units.returns_due[b, slot, s, k]
            for slot in range(min(units.shelf.shape[1], _SOON)):
                cell[_CELL.expiring] += units.shelf[b, slot, s, k]
            for c in range(channels):
                cell[_CELL.forecast] += units.forecast[b, s, k, c]
                cell[_CELL.smoothed] += units.smoothed[b, s, k, c]
                cell[_CELL.last_demand] += units.last_demand[b, s, k, c]
            cell[_CELL.online_forecast] = units.forecast[b, s, k, ONLINE]
            cell[_CELL.stores_stock] = cell[_CELL.stock]
            position, forecast = cell[_CELL.position], cell[_CELL.forecast]
            cell[_CELL.shortage] = max((lead_time + 1.5) * forecast - position, 0.0)
            cell[_CELL.lowest_cover] = position / max(forecast, LOWEST_RATE) - lead_time


@compiled
def _roll_up(cells: FloatArray, rows: Rows) -> None:
    """Adds the stores up for their DCs, then DCs and stores for the network."""
    top = len(cells) - 1
    num_dcs = top - len(rows.parent)
    cells[:num_dcs, :, _CELL.lowest_cover] = np.inf
    cells[top, :, _CELL.lowest_cover] = np.inf
    for i in range(num_dcs, top):
        _add_below(cells[rows.parent[i - num_dcs]], cells[i])
        _add_own(cells[top], cells[i])
    for w in range(num_dcs):
        _add_below(cells[top], cells[w])
        _add_own(cells[top], cells[w])
        for k in range(cells.shape[1]):
            cell, total = cells[w, k], cells[top, k]
            cell[_CELL.dc_stock] = cell[_CELL.stock]
            cell[_CELL.dc_soon] = cell[_CELL.inbound_1] + cell[_CELL.inbound_2]
            cell[_CELL.dc_later] = cell[_CELL.inbound_3] + cell[_CELL.inbound_later]
            for column in range(_CELL.dc_stock, _NUM_CELLS):
                total[column] += cell[column]


@compiled
def _add_own(above: FloatArray, node: FloatArray) -> None:
    """Adds a node's own stock and what is on its way to it, (K, ...)."""
    for k in range(len(above)):
        for column in range(_CELL.position):
            above[k, column] += node[k, column]


@compiled
def _add_below(above: FloatArray, below: FloatArray) -> None:
    """Adds what regions are counted by, (K, ...), and keeps the lowest cover."""
    for k in range(len(above)):
        for column in range(_CELL.stores_stock, _CELL.lowest_cover):
            above[k, column] += below[k, column]
        above[k, _CELL.lowest_cover] = min(
            above[k, _CELL.lowest_cover], below[k, _CELL.lowest_cover]
        )


@compiled
def _scale(
    features: Float32Array, cell: FloatArray, upper: FloatArray, lead_time: float, base: float
) -> None:
    """Divides a row's cell by its forecast, and that of the row above by the forecast there.

    Args:
        features: (F,), written in place.
        cell: of the row.
        upper: of its DC, or of the row itself where it is no store's.
        lead_time: periods.
        base: mean demand, units a period.
    """
    rate = max(cell[_CELL.forecast], LOWEST_RATE)
    upper_rate = max(upper[_CELL.forecast], LOWEST_RATE)
    horizon = (lead_time + 2) * rate
    features[COLUMN.stock] = cell[_CELL.stock] / horizon - 1
    features[COLUMN.inbound_1] = cell[_CELL.inbound_1] / horizon
    features[COLUMN.inbound_2] = cell[_CELL.inbound_2] / horizon
    features[COLUMN.inbound_3] = cell[_CELL.inbound_3] / horizon
    features[COLUMN.inbound_later] = cell[_CELL.inbound_later] / horizon
    features[COLUMN.position] = cell[_CELL.position] / ((lead_time + 3) * rate) - 1
    features[COLUMN.waiting_new] = cell[_CELL.waiting_new] / rate
    features[COLUMN.waiting_old] = cell[_CELL.waiting_old] / rate
    features[COLUMN.returns_soon] = cell[_CELL.returns_soon] / rate
    features[COLUMN.returns_later] = cell[_CELL.returns_later] / rate
    features[COLUMN.in_inspection] = cell[_CELL.in_inspection] / rate
    features[COLUMN.dc_stock] = upper[_CELL.dc_stock] / (5 * upper_rate)
    features[COLUMN.dc_inbound_soon] = upper[_CELL.dc_soon] / (2 * upper_rate)
    features[COLUMN.dc_inbound_later] = upper[_CELL.dc_later] / (5 * upper_rate)
    features[COLUMN.all_stores_stock] = upper[_CELL.stores_stock] / (3 * upper_rate)
    waiting = upper[_CELL.waiting_new] + upper[_CELL.waiting_old]
    features[COLUMN.system_waiting] = waiting / upper_rate
    features[COLUMN.system_shortage] = upper[_CELL.shortage] / upper_rate
    features[COLUMN.smoothed] = cell[_CELL.smoothed] / base - 1
    features[COLUMN.last_demand] = cell[_CELL.last_demand] / rate - 1
    features[COLUMN.log_demand] = 0.5 * log(rate / 10)
    features[COLUMN.online_fraction] = cell[_CELL.online_forecast] / rate
    features[COLUMN.lowest_cover] = cell[_CELL.lowest_cover] / 5
