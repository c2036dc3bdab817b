"""The latest days as they were learnt, so that they can be learnt again when they were wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from envs.omnichannel.forecast.learner import Learner
from envs.omnichannel.types import IntArray

KEPT = 14  # days, or weeks


@dataclass(frozen=True, kw_only=True)
class Recent:
    """What was sold on the latest days, and what was known before them."""

    before: Learner
    units: IntArray  # (D, S, K, recorded channels), D at most `KEPT`
    in_stock: IntArray  # (D, S, K) 0 where a day teaches nothing

    @classmethod
    def start(cls, learner: Learner, channels: int) -> Self:
        """Nothing was learnt since what the learner knows."""
        return cls(before=copy_learner(learner), **cls.make_empty(learner, channels, 0))

    @staticmethod
    def make_empty(learner: Learner, channels: int, days: int) -> dict[str, IntArray]:
        """Returns arrays for so many days, by name."""
        cells = (days, *learner.weight.shape)
        return {
            "units": np.zeros((*cells, channels), np.int64),
            "in_stock": np.zeros(cells, np.int64),
        }

    def get_arrays(self) -> dict[str, IntArray]:
        """Returns the days by name, for a file."""
        return {"units": self.units, "in_stock": self.in_stock}

    def put(self, first: int, units: IntArray, in_stock: IntArray) -> Self:
        """Returns the days with others in their place, or behind them, from day `first` on."""
        at = first - self.before.day
        end = at + len(units)
        return replace(
            self,
            units=np.concatenate([self.units[:at], units, self.units[end:]]),
            in_stock=np.concatenate([self.in_stock[:at], in_stock, self.in_stock[end:]]),
        )


def copy_learner(learner: Learner) -> Learner:
    """Returns a learner that shares no array with the other."""
    arrays = {name: array.copy() for name, array in learner.get_arrays().items()}
    return replace(learner, **arrays)  # type: ignore[arg-type]
