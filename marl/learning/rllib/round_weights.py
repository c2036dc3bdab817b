"""The weights that a round is sampled with, here and where runners find them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import ray
from ray.rllib.core import COMPONENT_LEARNER, COMPONENT_RL_MODULE
from ray.rllib.core.learner.learner_group import LearnerGroup


@dataclass(frozen=True)
class RoundWeights:
    """The online networks of all modules."""

    here: dict[str, Any]
    sent: ray.ObjectRef  # travels with the requests

    @classmethod
    def send(cls, weights: dict[str, Any]) -> Self:
        """Returns weights that are where runners find them."""
        return cls(weights, ray.put(weights))

    def replace(self, weights: dict[str, Any]) -> Self:
        """Returns others of the same networks.

        Raises:
            ValueError: if they are of other networks.
        """
        own, others = (_list_shapes(w[COMPONENT_RL_MODULE]) for w in (self.here, weights))
        if own != others:
            raise ValueError("the weights of its round have other shapes")
        return self.send(weights)

    @classmethod
    def of_learner(cls, learner_group: LearnerGroup) -> Self:
        """Returns the learner's weights of this moment."""
        state = learner_group.get_state(
            components=f"{COMPONENT_LEARNER}/{COMPONENT_RL_MODULE}", inference_only=True
        )
        # Copies: the learner goes on in the very arrays that it shows.
        return cls.send(copy.deepcopy(state[COMPONENT_LEARNER]))


def _list_shapes(modules: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Shapes and types of all arrays, by module and parameter."""
    return {m: {k: (v.shape, v.dtype) for k, v in w.items()} for m, w in modules.items()}
