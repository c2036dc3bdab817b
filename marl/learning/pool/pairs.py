"""Pairs of an agent and a SKU: which exist and are learnt from, and how often each is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from envs.omnichannel.types import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class Pairs:
    """The pairs of a module's agents, or of one of them, and SKUs that are learnt from."""

    carried: BoolArray  # (A_m, K) of the module
    places: IntArray  # (P,) of the learner's pairs among the A_m x K ones of a decision
    bounds: FloatArray | None = None  # (P,) their odds, summed up; None: all alike

    @classmethod
    def of(cls, carried: BoolArray, own: int | None, odds: FloatArray | None = None) -> Self:
        """Finds them.

        Args:
            carried: of the module's agents, (A_m, K).
            own: the agent that learns; None: all share what they learn.
            odds: how often each is drawn, > 0, (A_m, K); None: all as often.
        """
        chosen = carried.copy()
        if own is not None:
            chosen[np.arange(len(carried)) != own] = False
        places = np.flatnonzero(chosen)
        return cls(carried, places, None if odds is None else np.cumsum(odds.ravel()[places]))

    def draw(self, held: int, size: tuple[int, int], rng: np.random.Generator) -> IntArray:
        """Returns transitions as indices into the module's flat actions, by the pairs' odds.

        Args:
            held: transitions of the module, those of pairs that do not exist included.
            size: of what is returned.
            rng: of the draws.
        """
        decisions = held // self.carried.size
        if self.bounds is None:
            drawn = rng.integers(decisions * len(self.places), size=size)
            decision, place = np.divmod(drawn, len(self.places))
        else:
            decision = rng.integers(decisions, size=size)
            # Without the last one, so that rounding never leads beyond it.
            point = rng.random(size) * self.bounds[-1]
            place = np.searchsorted(self.bounds[:-1], point, side="right")
        cells: IntArray = decision * self.carried.size + self.places[place]
        return cells

    def exists(self, cells: IntArray) -> BoolArray:
        """Returns whether transitions are of pairs that exist, in their shape."""
        found: BoolArray = self.carried.ravel()[cells % self.carried.size]
        return found
