"""The pool of labelled situations, one ring a choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.omnichannel.types import Float32Array, Half
from marl.learning.counterfactual.labels import Labels
from marl.learning.pool_shards import InDriver


@dataclass(frozen=True)
class LabelFragment:
    """What a round of one runner taught, in plain arrays."""

    labels: dict[str, Labels]  # by choice
    num_episodes: int
    num_env_steps: int
    metrics: dict[str, NDArray[np.float64]] = field(default_factory=dict)  # metric -> (B,)

    def env_steps(self) -> int:
        """Periods times copies, branches not counted."""
        return self.num_env_steps


@dataclass(frozen=True)
class LabelShape:
    """Of one situation."""

    features: tuple[int, ...]  # (K, F) of joint choices, else (F,)
    num_options: int  # A


@dataclass(frozen=True)
class LabelBatch:
    """Situations for U updates of every choice, N each."""

    features: dict[str, Half]  # (U, N, K, F) of joint choices, else (U, N, F)
    savings: dict[str, Float32Array]  # (U, N, A)

    @property
    def num_updates(self) -> int:
        """U."""
        return len(next(iter(self.savings.values())))


class LabelPool(InDriver):
    """The newest situations of every choice, drawn uniformly.

    Args:
        capacity: situations of each choice.
        shapes: of one situation's features and savings, by choice.
        seed: of the draws.
    """

    def __init__(self, capacity: int, shapes: Mapping[str, LabelShape], seed: int) -> None:
        self.capacity = capacity
        self.num_env_steps = 0  # that the held situations come from and all before them
        self._rings = {
            name: (
                np.zeros((capacity, *shape.features), np.float16),
                np.zeros((capacity, shape.num_options), np.float32),
            )
            for name, shape in shapes.items()
        }
        self._next = dict.fromkeys(shapes, 0)
        self._size = dict.fromkeys(shapes, 0)
        self._rng = np.random.default_rng([seed, 1])

    @property
    def memory_mb(self) -> float:
        """Of all rings, 10^6 bytes."""
        return sum(x.nbytes + y.nbytes for x, y in self._rings.values()) / 1e6

    def num_transitions(self, module_id: str) -> int:
        """Situations held of a choice."""
        return self._size[module_id]

    def add(self, fragment: LabelFragment) -> None:
        """Stores a fragment; the oldest situations make room.

        Raises:
            ValueError: if a choice brings more than the pool holds.
        """
        self.num_env_steps += fragment.num_env_steps
        for name, labels in fragment.labels.items():
            count = len(labels.savings)
            if count > self.capacity:
                raise ValueError(f"{count} situations do not fit a pool of {self.capacity}")
            features, savings = self._rings[name]
            slots = (self._next[name] + np.arange(count)) % self.capacity
            features[slots] = labels.features
            savings[slots] = labels.savings
            self._next[name] = (self._next[name] + count) % self.capacity
            self._size[name] = min(self._size[name] + count, self.capacity)

    def sample(self, num_updates: int, batch_size: int) -> LabelBatch:
        """Draws situations of every choice, with replacement."""
        features, savings = {}, {}
        for name, (x, y) in self._rings.items():
            drawn = self._rng.integers(self._size[name], size=(num_updates, batch_size))
            features[name], savings[name] = x[drawn], y[drawn]
        return LabelBatch(features, savings)

    def get_state(self) -> dict[str, Any]:
        """Arrays of the situations held, and the sampling's random state; no copies."""
        return {
            "capacity": self.capacity,
            "num_env_steps": self.num_env_steps,
            "rng": self._rng.bit_generator.state,
            "rings": {
                name: {
                    "features": x[: self._size[name]],
                    "savings": y[: self._size[name]],
                    "next": self._next[name],
                }
                for name, (x, y) in self._rings.items()
            },
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores `get_state`, exactly.

        Raises:
            ValueError: if the pool has another capacity or shape.
        """
        if state["capacity"] != self.capacity:
            raise ValueError(
                f"pool capacity {self.capacity} differs from the checkpoint's {state['capacity']}"
            )
        self.num_env_steps = state["num_env_steps"]
        self._rng.bit_generator.state = state["rng"]
        for name, ring in state["rings"].items():
            stored, savings = ring["features"], ring["savings"]
            own_features, own_savings = self._rings[name]
            own_features[: len(stored)], own_savings[: len(savings)] = stored, savings
            self._next[name], self._size[name] = ring["next"], len(stored)
