"""The pool of recorded states whose options are labelled, one ring for each network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.types import Float32Array, Half
from marl.learning.pool.base import InDriver
from marl.learning.pool.ring import Ring


@dataclass(frozen=True)
class Labels:
    """What the options of M recorded states save against the rule's decision."""

    features: Float32Array  # (M, K, F) of joint choices, else (M, F)
    savings: Float32Array  # (M, A) in the networks' unit; option 0 saves nothing


@dataclass(frozen=True)
class LabelFragment:
    """What a round of one runner taught, in plain arrays."""

    labels: dict[str, Labels]  # by network
    num_episodes: int
    num_env_steps: int
    metrics: dict[str, NDArray[np.float64]] = field(default_factory=dict)  # metric -> (B,)

    @classmethod
    def of_episodes(cls, env: BatchedEnv, labels: dict[str, Labels]) -> Self:
        """Returns what was learnt from the episodes that an environment has just run."""
        return cls(
            labels=labels,
            num_episodes=env.num_copies,
            num_env_steps=env.num_copies * env.layout.horizon,
            metrics=env.compute_metrics(),
        )

    def env_steps(self) -> int:
        """Periods times copies, branches not counted."""
        return self.num_env_steps


@dataclass(frozen=True)
class LabelShape:
    """Of one recorded state."""

    features: tuple[int, ...]  # (K, F) of joint choices, else (F,)
    num_options: int  # A


@dataclass(frozen=True)
class LabelBatch:
    """Recorded states for U updates of every network, N each."""

    features: dict[str, Half]  # (U, N, K, F) of joint choices, else (U, N, F)
    savings: dict[str, Float32Array]  # (U, N, A)

    @property
    def num_updates(self) -> int:
        """U."""
        return len(next(iter(self.savings.values())))

    def pick(self, name: str, update: int) -> tuple[Tensor, Tensor]:
        """Returns features and savings of a network in one of the updates."""
        features = torch.from_numpy(self.features[name][update]).float()
        return features, torch.from_numpy(self.savings[name][update])


class LabelPool(InDriver):
    """The newest recorded states of every network, drawn uniformly.

    Args:
        capacity: states of each network.
        shapes: of one state's features and savings, by network.
        seed: of the draws.
    """

    def __init__(self, capacity: int, shapes: Mapping[str, LabelShape], seed: int) -> None:
        self.num_env_steps = 0  # that the held states come from and all before them
        self._rings = {
            name: Ring(
                {
                    "features": np.zeros((capacity, *shape.features), np.float16),
                    "savings": np.zeros((capacity, shape.num_options), np.float32),
                }
            )
            for name, shape in shapes.items()
        }
        self._rng = np.random.default_rng([seed, 1])

    @property
    def memory_mb(self) -> float:
        """Of all rings, 10^6 bytes."""
        return sum(x.nbytes for ring in self._rings.values() for x in ring.arrays.values()) / 1e6

    def num_transitions(self, module_id: str) -> int:
        """States held of a network."""
        return self._rings[module_id].size

    def add(self, fragment: LabelFragment) -> None:
        """Stores a fragment; the oldest states make room.

        Raises:
            ValueError: if a network gets more than the pool holds.
        """
        self.num_env_steps += fragment.num_env_steps
        for name, labels in fragment.labels.items():
            ring = self._rings[name]
            slots = ring.advance(len(labels.savings))
            ring.arrays["features"][slots] = labels.features
            ring.arrays["savings"][slots] = labels.savings

    def sample(self, num_updates: int, batch_size: int) -> LabelBatch:
        """Draws states of every network, with replacement."""
        features, savings = {}, {}
        for name, ring in self._rings.items():
            drawn = self._rng.integers(ring.size, size=(num_updates, batch_size))
            features[name] = ring.arrays["features"][drawn]
            savings[name] = ring.arrays["savings"][drawn]
        return LabelBatch(features, savings)

    def get_state(self) -> dict[str, Any]:
        """Arrays of the states held, and the sampling's random state; no copies."""
        return {
            "num_env_steps": self.num_env_steps,
            "rng": self._rng.bit_generator.state,
            "rings": {name: ring.get_state() for name, ring in self._rings.items()},
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores `get_state`, exactly.

        Raises:
            ValueError: if the pool has another capacity or shape.
        """
        self.num_env_steps = state["num_env_steps"]
        self._rng.bit_generator.state = state["rng"]
        for name, ring in self._rings.items():
            ring.set_state(state["rings"][name])
