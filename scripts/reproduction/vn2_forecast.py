"""The expected units of each pair in the next weeks, remembered week by week."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from envs.omnichannel.types import FloatArray
from scripts.reproduction.vn2_boost import Correction, fit_correction
from scripts.reproduction.vn2_features import make_features
from scripts.reproduction.vn2_protocol import PROTECTED, Known
from scripts.reproduction.vn2_season import estimate_level, fit_season

FIRST_TAUGHT = 60  # weeks that must have closed: the year before is a feature
LEAST_TAUGHT = 12  # weeks of examples


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What the closed weeks say of the next three."""

    means: FloatArray  # (N, 3) level times season, units
    features: FloatArray  # (N, F) what the learnt correction sees


def look_ahead(known: Known) -> Outlook:
    """Returns the outlook of what is known."""
    units, closed = known.get_units(), known.sold.shape[1]
    weeks = known.number_weeks(0, closed + PROTECTED)
    season = fit_season(units, weeks[:closed], known.classes["Department"])
    factors, ahead = season[:, weeks[:closed]], season[:, weeks[closed:]]
    means = estimate_level(units, factors)[:, None] * ahead
    features = make_features(known, units, factors, ahead, means)
    return Outlook(means=means, features=features)


class Forecaster:
    """Remembers the outlooks and corrections of one contest, which all rules share.

    An outlook depends on the closed weeks and on the origin alone, so no later week can leak in.
    """

    def __init__(self) -> None:
        self._outlooks: dict[tuple[int, int], Outlook] = {}
        self._corrections: dict[int, Correction | None] = {}
        self._means: dict[tuple[int, int, float], FloatArray] = {}

    def look(self, known: Known) -> Outlook:
        """Returns the outlook of a week, made once."""
        key = known.in_stock.shape[1], known.sold.shape[1]
        if key not in self._outlooks:
            self._outlooks[key] = look_ahead(known)
        return self._outlooks[key]

    def forecast(self, known: Known, weight: float) -> FloatArray:
        """Returns expected units of the next three weeks, (N, 3).

        Args:
            known: all that may be used.
            weight: of the learnt correction, 0 to 1; its model knows the weeks to the origin.
        """
        key = known.in_stock.shape[1], known.sold.shape[1], weight
        if key not in self._means:
            outlook = self.look(known)
            correct = self._get_correction(known) if weight else None
            factor = np.exp(weight * correct(outlook.features)) if correct else np.ones(1)
            self._means[key] = outlook.means * factor[:, None]
        return self._means[key]

    def _get_correction(self, known: Known) -> Correction | None:
        origin = known.in_stock.shape[1]
        if origin not in self._corrections:
            taught = range(FIRST_TAUGHT, origin - PROTECTED + 1)
            enough = len(taught) >= LEAST_TAUGHT
            self._corrections[origin] = self._teach(known, taught) if enough else None
        return self._corrections[origin]

    def _teach(self, known: Known, taught: range) -> Correction:
        """Returns the correction that the given weeks teach; censored examples are left out."""
        features, forecast, sold = [], [], []
        for closed in taught:
            outlook = self.look(known.cut(closed))
            weeks = slice(closed, closed + PROTECTED)
            whole = known.in_stock[:, weeks].all(1)
            features.append(outlook.features[whole])
            forecast.append(outlook.means[whole].sum(1))
            sold.append(known.sold[whole, weeks].sum(1))
        return fit_correction(*map(np.concatenate, (features, forecast, sold)))
