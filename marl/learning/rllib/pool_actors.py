"""The experience pool in Ray actors, to which runners write themselves.

With actors, a runner hands its episodes to a shard itself, so they never pass through the driver.
The shard keeps them aside until the driver, which knows the order of the workers, has them stored:
so the pool does not depend on who is first, and what was handed over twice is stored once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from envs.omnichannel.types import Float32Array
from marl.errors import PoolLostError
from marl.learning.methods import Method
from marl.learning.pool.base import Held, Sampled, find_shard
from marl.learning.pool.experience_pool import Batch
from marl.runs.checkpoints import Tree


class PoolShard:
    """An actor with a part of a method's pool.

    Args:
        method: whose pool it is.
        num_shards: parts in all.
        shard: which of them.
    """

    def __init__(self, method: Method, num_shards: int, shard: int) -> None:
        self.pool = method.make_pool(num_shards, shard)
        self._handed_over: dict[tuple[int, int], Any] = {}  # by iteration and worker

    def hand_over(self, iteration: int, worker: int, fragment: Any) -> None:
        """Keeps a worker's episodes of a round aside."""
        self._handed_over[iteration, worker] = fragment

    def store(self, shares: Sequence[tuple[int, int]]) -> Held:
        """Adds what workers handed over, in this order; returns what is held.

        Args:
            shares: iterations and workers. What earlier iterations left is dropped.
        """
        for share in shares:
            self.pool.add(self._handed_over[share])
        last = max(shares, default=(-1, 0))[0]
        self._handed_over = {s: f for s, f in self._handed_over.items() if s[0] > last}
        return self.pool.held

    def sample(self, num_updates: int, batch_size: int) -> Batch:
        """See `ExperiencePool.sample`; Ray copies the batch before the next call."""
        batch: Batch = self.pool.sample_in_place(num_updates, batch_size)
        return batch

    def get_state(self) -> Tree:
        """See `ExperiencePool.get_state`."""
        return self.pool.get_state()

    def set_state(self, state: Tree) -> Held:
        """Restores `get_state`; returns what is held."""
        self.pool.set_state(state)
        return self.pool.held

    def measure_mb(self) -> float:
        """Memory of all arrays."""
        return self.pool.memory_mb


class ShardedPool:
    """The pool in actors; to the algorithm it is a `DriverPool`.

    Worker w hands over to shard (w - 1) modulo their number. A batch takes from every shard in
    proportion to what it holds. One shard draws what a `DriverPool` of the same seed would.

    Args:
        method: whose pool it is.
        num_shards: actors; one lives beside the driver, several spread over the machines.
    """

    def __init__(self, method: Method, num_shards: int) -> None:
        actor, nodes = ray.remote(PoolShard), _list_nodes()
        # By name: an actor that asks for no CPU lands anywhere, even where Ray is to spread them.
        places = [
            NodeAffinitySchedulingStrategy(nodes[shard % len(nodes)], soft=False)
            for shard in range(num_shards)
        ]
        self.shards = [
            actor.options(num_cpus=0, max_restarts=0, scheduling_strategy=place).remote(
                method, num_shards, shard
            )
            for shard, place in enumerate(places)
        ]
        self._held = [Held(0, {})] * num_shards

    @property
    def memory_mb(self) -> float:
        """Memory of all shards."""
        return float(sum(self._get([shard.measure_mb.remote() for shard in self.shards])))

    @property
    def num_env_steps(self) -> int:
        """Periods held."""
        return sum(held.num_env_steps for held in self._held)

    def num_transitions(self, module_id: str) -> int:
        """Transitions of a module: decisions for a SKU."""
        return sum(held.transitions.get(module_id, 0) for held in self._held)

    def store(self, round_: Mapping[int, Sampled]) -> None:
        """Adds what the round's workers handed over, in their order.

        Raises:
            PoolLostError: if a shard is lost.
        """
        shares_of: list[list[tuple[int, int]]] = [[] for _ in self.shards]
        for worker, sampled in round_.items():
            shares_of[find_shard(worker, len(self.shards))].append((sampled.iteration, worker))
        pairs = zip(self.shards, shares_of, strict=True)
        self._held = self._get([shard.store.remote(shares) for shard, shares in pairs])

    def draw(self, counts: Sequence[int], batch_size: int) -> Iterator[Batch]:
        """Draws a batch for each count of updates; the next one while this one is learnt from.

        Raises:
            PoolLostError: if a shard is lost.
        """
        ahead: list[ray.ObjectRef] = []
        for number, count in enumerate(counts):
            asked = ahead or self._ask(count, batch_size)
            is_last = number + 1 == len(counts)
            ahead = [] if is_last else self._ask(counts[number + 1], batch_size)
            yield join_batches(self._get(asked))

    def update_priorities(self, batch: Batch, td_errors: Float32Array) -> None:
        """Draws are uniform: the configuration refuses priorities with actors."""

    def get_states(self) -> list[Tree]:
        """What a checkpoint needs, by shard.

        Raises:
            PoolLostError: if a shard is lost.
        """
        return self._get([shard.get_state.remote() for shard in self.shards])

    def set_states(self, states: Sequence[Tree]) -> None:
        """Restores `get_states`."""
        pairs = zip(self.shards, states, strict=True)
        self._held = self._get([shard.set_state.remote(state) for shard, state in pairs])

    def _ask(self, num_updates: int, batch_size: int) -> list[ray.ObjectRef]:
        parts = split_batch(batch_size, [held.num_env_steps for held in self._held])
        return [
            shard.sample.remote(num_updates, part)
            for shard, part in zip(self.shards, parts, strict=True)
            if part
        ]

    def _get(self, calls: list[ray.ObjectRef]) -> list[Any]:
        try:
            answers: list[Any] = ray.get(calls)
        except RayTaskError as error:
            # Ray's error is of the class of its cause, too.
            if isinstance(error, RayActorError):
                raise PoolLostError from None
            raise
        except RayError:  # a dead actor, or an answer that was lost with its node
            raise PoolLostError from None
        return answers


def _list_nodes() -> list[str]:
    """Ids of the machines that are there, this one first."""
    here: str = ray.get_runtime_context().get_node_id()
    nodes = (node["NodeID"] for node in ray.nodes() if node["Alive"])
    return [here, *sorted(node for node in nodes if node != here)]


def split_batch(batch_size: int, sizes: Sequence[int]) -> list[int]:
    """Splits a batch in proportion to sizes, by largest remainder."""
    exact = batch_size * np.array(sizes) / sum(sizes)
    parts = np.floor(exact).astype(int)
    rest = batch_size - int(parts.sum())
    parts[np.argsort(parts - exact, kind="stable")[:rest]] += 1
    return [int(part) for part in parts]


def join_batches(batches: Sequence[Batch]) -> Batch:
    """Joins the shards' parts of a batch along the transitions."""

    def join(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(batch, name) for batch in batches], axis=2)

    names = ("obs_tm1", "a_tm1", "r_t", "discount_t", "obs_t")
    return Batch(**{name: join(name) for name in names})
