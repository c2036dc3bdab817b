"""Pairs of an agent and a SKU that exist: transitions of the others are not learnt from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from envs.omnichannel.types import BoolArray, IntArray


@dataclass(frozen=True)
class Pairs:
    """The pairs of a module's agents, or of one of them, and SKUs that an assortment has."""

    carried: BoolArray  # (A_m, K) of the module
    places: IntArray  # (P,) of the learner's pairs among the A_m x K ones of a decision

    @classmethod
    def of(cls, carried: BoolArray, own: int | None) -> Self:
        """Finds them.

        Args:
            carried: of the module's agents, (A_m, K).
            own: the agent that learns; None: all share what they learn.
        """
        chosen = carried.copy()
        if own is not None:
            chosen[np.arange(len(carried)) != own] = False
        return cls(carried, np.flatnonzero(chosen))

    def draw(self, held: int, size: tuple[int, int], rng: np.random.Generator) -> IntArray:
        """Returns transitions as indices into the module's flat actions, all equally likely.

        Args:
            held: transitions of the module, those of pairs that do not exist included.
            size: of what is returned.
            rng: of the draws.
        """
        decisions = held // self.carried.size
        drawn = rng.integers(decisions * len(self.places), size=size)
        decision, place = np.divmod(drawn, len(self.places))
        cells: IntArray = decision * self.carried.size + self.places[place]
        return cells

    def exists(self, cells: IntArray) -> BoolArray:
        """Returns whether transitions are of pairs that exist, in their shape."""
        found: BoolArray = self.carried.ravel()[cells % self.carried.size]
        return found
