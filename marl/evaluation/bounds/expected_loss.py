"""Expected loss of a day's walk-ins at a store: convex in its stock, given by tangents."""

from __future__ import annotations

import numpy as np

from envs.omnichannel.types import STORE, FloatArray, State
from envs.omnichannel.world.demand.parametric import ParametricDemand

# Probabilities at which demand is evaluated: the body, and a tail that is ever finer.
_QUANTILES = np.concatenate([np.arange(0.0, 0.95, 1 / 200), 1 - 0.05 * 0.95 ** np.arange(140)])
# Stocks at which tangents touch, as quantiles of demand; beside zero.
_TOUCHED = (0.2, 0.4, 0.6, 0.75, 0.86, 0.93, 0.97, 0.99, 0.998)


def make_tangents(process: ParametricDemand, state: State) -> tuple[FloatArray, FloatArray]:
    """Returns tangents below E (D - y)+ of a day's walk-in demand D, as functions of the stock y.

    The expectation is a lower sum over quantiles of D: never too high, whatever the distribution.

    Args:
        process: of demand.
        state: one copy, whose day and drift D has.

    Returns:
        Slopes in [-1, 0] and values at y = 0, units, both (J, S, K).
    """
    weight = np.diff(np.append(_QUANTILES, 1.0))[:, None, None]  # (M, 1, 1)
    copies = np.zeros(len(_QUANTILES), np.int64)
    shape = (len(_QUANTILES), *process.mean.shape)
    uniform = np.broadcast_to(np.maximum(_QUANTILES, 1e-12)[:, None, None, None], shape)
    units = process.invert_units(state.select(copies), np.ascontiguousarray(uniform))[..., STORE]
    places = np.searchsorted(_QUANTILES, _TOUCHED)
    touched = np.concatenate([np.zeros_like(units[:1]), units[places]])  # (J, S, K)
    above = units > touched[:, None]  # (J, M, S, K)
    slope = -(above * weight).sum(axis=1)
    expected = (above * weight * units).sum(axis=1)  # E D on the event D > y
    return slope, expected
