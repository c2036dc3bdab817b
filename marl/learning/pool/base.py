"""Base of all pools: the parts that the algorithm calls, and the shares of a round."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marl.runs.checkpoints import Tree


@dataclass(frozen=True)
class Sampled:
    """A worker's share of a round, as the driver sees it."""

    iteration: int  # that asked for it
    num_episodes: int
    num_env_steps: int
    node: str  # address of the machine that sampled it
    metrics: dict[str, NDArray[np.float64]]  # of the episodes: metric -> (B,)
    report: Any  # RLlib's reduced metrics
    fragment: Any  # the episodes, as the pool takes them; None: handed over to a shard


def find_shard(worker: int, num_shards: int) -> int:
    """Returns the shard to which a worker hands over."""
    return (worker - 1) % num_shards


@dataclass(frozen=True)
class Held:
    """How much a pool, or a part of one, holds."""

    num_env_steps: int
    transitions: dict[str, int]  # by module


def make_shard_seed(seed: int, shard: int) -> int:
    """Returns the run's seed for the first shard, others for the rest."""
    return int(np.random.SeedSequence([seed, shard]).generate_state(1)[0]) if shard else seed


class InDriver:
    """What the algorithm needs of a pool, for one that lives in its process."""

    add: Callable[[Any], None]
    sample: Callable[[int, int], Any]
    get_state: Callable[[], Tree]
    set_state: Callable[[Tree], None]
    shards = ()  # runners return their episodes

    def store(self, round_: Mapping[int, Sampled]) -> None:
        """Adds a round's episodes, in the workers' order."""
        for sampled in round_.values():
            self.add(sampled.fragment)

    def draw(self, counts: Sequence[int], batch_size: int) -> Iterator[Any]:
        """Draws a batch for each count of updates."""
        for count in counts:
            yield self.sample(count, batch_size)

    def get_states(self) -> list[Tree]:
        """What a checkpoint needs, by shard: there is one."""
        return [self.get_state()]

    def set_states(self, states: Sequence[Tree]) -> None:
        """Restores `get_states`."""
        self.set_state(states[0])

    def update_priorities(self, batch: Any, errors: NDArray[np.float32]) -> None:
        """Does nothing: draws are uniform."""
