"""The learnt correction of forecasts: one boosted model for all pairs, around level times season.

LightGBM comes with the extra `forecast`; without it no correction is among the choices.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

from envs.omnichannel.types import FloatArray
from scripts.reproduction.vn2_features import LEAST

Correction = Callable[[FloatArray], FloatArray]  # features (n, F) -> log of the factor, (n,)
ROUNDS = 100
SETTINGS: dict[str, Any] = {
    "objective": "tweedie",  # many zeros, variance between Poisson's and gamma's
    "tweedie_variance_power": 1.3,
    "learning_rate": 0.05,
    "num_leaves": 7,
    "min_data_in_leaf": 200,
    "lambda_l2": 5.0,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
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


def fit_correction(features: FloatArray, forecast: FloatArray, sold: FloatArray) -> Correction:
    """Returns the model that multiplies forecasts so that they meet what was sold.

    Boosting starts from the forecast itself: a model without trees changes nothing.

    Args:
        features: (n, F).
        forecast: units of the weeks that an order protects, (n,).
        sold: units of the same weeks, (n,).
    """
    import lightgbm

    data = lightgbm.Dataset(features, sold, init_score=np.log(forecast + LEAST))
    model = lightgbm.train(SETTINGS, data, ROUNDS)

    def correct(features: FloatArray) -> FloatArray:
        return np.asarray(model.predict(features, raw_score=True), np.float64)

    return correct
