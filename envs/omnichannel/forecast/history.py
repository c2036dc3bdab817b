"""Histories: estimates from the days of a record before each one, where every episode begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np

from envs.omnichannel.forecast import boosted
from envs.omnichannel.forecast.learner import Estimates, Learner, Rates
from envs.omnichannel.types import WEEK, BoolArray, Float32Array, FloatArray


@dataclass(frozen=True, kw_only=True)
class History:
    """Estimates from the days before each day of a record, (D + 1, ...), as of `Estimates`.

    Entry t rests on the days before t and on nothing else, so that whoever begins on day t knows
    what a retailer would. Single precision halves what a large record takes.
    """

    smoothed: Float32Array  # (D + 1, S, K, C)
    variance: Float32Array  # (D + 1, S, K)
    weight: Float32Array  # (D + 1, S, K)
    plain_mean: Float32Array  # (D + 1, S, K, C)
    plain_variance: Float32Array  # (D + 1, S, K)
    profile: Float32Array  # (D + 1, cycle, K)
    zero_share: Float32Array  # (D + 1, S, K)
    silent: Float32Array  # (D + 1, S, K)
    memory: Float32Array  # (D + 1, S, K, M)

    @classmethod
    def roll(
        cls,
        units: FloatArray,
        rates: Rates,
        in_stock: BoolArray | None = None,
        *,
        cycle: int = WEEK,
    ) -> Self:
        """Learns from a record day by day.

        Args:
            units: of each day, (D, S, K, C); day 0 is weekday 0.
            rates: of the scenario.
            in_stock: whether there was anything to sell, (D, S, K); None: there always was.
            cycle: days a week; 1 where each entry of the record is a week itself.
        """
        memory = rates.count_memory(units.shape[-1])
        learner = Learner.start(*units.shape[1:], cycle=cycle, memory=memory, pull=rates.pull)
        found = [learner.read()]
        for day, sold in enumerate(units):
            learner.learn(sold, rates, None if in_stock is None else in_stock[day])
            found.append(learner.read())
        history = cls.gather(found)
        if rates.method != boosted.NAME:
            return history
        level = boosted.correct_levels(history.smoothed, history.weight, units, in_stock, cycle)
        return replace(history, smoothed=level)

    @classmethod
    def gather(cls, found: Sequence[Estimates]) -> Self:
        """Returns the estimates of consecutive days; of one alone, that of every day."""
        return cls(
            **{
                field.name: np.stack(
                    [getattr(estimates, field.name).astype(np.float32) for estimates in found]
                )
                for field in fields(cls)
            }
        )
