"""Boosted levels: one LightGBM of all cells, of the extra `forecast`, corrects each one's level."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np

from envs.errors import InputError
from envs.omnichannel.types import BoolArray, Float32Array, FloatArray

NAME = "boosted"
_WEEKS = 4  # between two fits; the first one needs so many weeks to learn from
_FEWEST = 14.0  # days that a cell must have seen to be corrected
_LEAST = 1e-3  # units a day; slower cells are left as they are
_MOST = 0.7  # of a correction's logarithm: half to twice the level
_MOST_ROWS = 100_000  # that a fit learns from: a second, whatever the record's size
_ROUNDS = 40
_SETTINGS: dict[str, Any] = {
    "objective": "tweedie",  # many zeros, variance between Poisson's and gamma's
    "tweedie_variance_power": 1.3,
    "learning_rate": 0.05,
    "num_leaves": 7,
    "min_data_in_leaf": 1000,
    "max_bin": 63,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "seed": 1,
    "verbose": -1,
}


def can_boost() -> bool:
    """Returns whether LightGBM is installed."""
    return find_spec("lightgbm") is not None


def correct_levels(
    level: Float32Array,
    weight: Float32Array,
    units: FloatArray,
    in_stock: BoolArray | None,
    cycle: int,
) -> Float32Array:
    """Returns the levels before each day as the model corrects them, (D + 1, S, K, C).

    Every four weeks the model is fitted to the days before, which are all that it ever knows: how
    many units a day the week after each morning brought, as a factor of the level. It corrects the
    levels of the mornings until the next fit.

    Args:
        level: as of `History.smoothed`, (D + 1, S, K, C).
        weight: as of `History.weight`, (D + 1, S, K).
        units: of each day, (D, S, K, C).
        in_stock: as of `History.roll`, (D, S, K).
        cycle: days a week.

    Raises:
        InputError: if LightGBM is not installed.
    """
    if not can_boost():
        raise InputError(
            f"forecast.method: {NAME!r} needs LightGBM: `pip install 'omnichannel-marl[forecast]'`"
        )
    import lightgbm

    total = level.sum(axis=-1, dtype=np.float64)
    seen = np.ones(units.shape[:-1]) if in_stock is None else in_stock.astype(np.float64)
    sold, days = _accumulate(units.sum(axis=-1) * seen), _accumulate(seen)
    known = (weight >= _FEWEST) & (total >= _LEAST)
    features = _describe(total, weight, sold, days, cycle)
    log_level = np.log(np.maximum(total, _LEAST))
    factor, step = np.ones(total.shape), _WEEKS * cycle
    for origin in range(2 * step, len(total), step):
        first, end = step, origin - cycle + 1  # mornings whose week is over by then
        open_days = days[first + cycle : origin + 1] - days[first:end]
        brought = sold[first + cycle : origin + 1] - sold[first:end]
        rows = known[first:end] & (open_days > 0)
        rows &= np.arange(rows.size).reshape(rows.shape) % -(-rows.size // _MOST_ROWS) == 0
        if not brought[rows].any():
            continue
        taught = brought[rows] / open_days[rows]
        # Boosting starts from the level itself: a model without trees changes nothing.
        start = log_level[first:end][rows]
        data = lightgbm.Dataset(features[first:end][rows], taught, init_score=start)
        model = lightgbm.train(_SETTINGS, data, _ROUNDS)
        block = factor[origin : origin + step]
        seen_now = features[origin : origin + step].reshape(block.size, -1)
        found = np.asarray(model.predict(seen_now, raw_score=True), np.float64)
        block[:] = np.exp(np.clip(found, -_MOST, _MOST)).reshape(block.shape)
    return np.asarray(level * np.where(known, factor, 1.0)[..., None], np.float32)


def _describe(
    level: FloatArray, weight: Float32Array, sold: FloatArray, days: FloatArray, cycle: int
) -> FloatArray:
    """What the model sees of each cell on each morning, (D + 1, S, K, F)."""
    own = np.maximum(level, _LEAST)
    by_sku = np.maximum(level.sum(axis=1, keepdims=True), _LEAST)
    columns = [np.log(own), np.log(by_sku), np.log1p(weight)]
    for weeks in (1, _WEEKS, 2 * _WEEKS):
        open_days = np.maximum(_sum_last(days, weeks * cycle), 1)
        lately = _sum_last(sold, weeks * cycle) / open_days
        columns += [lately / own, lately.sum(axis=1, keepdims=True) / by_sku]
    return np.stack(np.broadcast_arrays(*columns), axis=-1)


def _accumulate(values: FloatArray) -> FloatArray:
    """Sums of the days before each morning, (D + 1, S, K)."""
    return np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])


def _sum_last(sums: FloatArray, length: int) -> FloatArray:
    """Of the last days before each morning, fewer at the start, (D + 1, S, K)."""
    return np.asarray(sums - sums[np.maximum(np.arange(len(sums)) - length, 0)])
