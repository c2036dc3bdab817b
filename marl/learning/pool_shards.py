"""Places of the experience pool: the driver's process, or Ray actors.

With actors, a runner hands its episodes to a shard itself, so they never pass through the driver.
The shard keeps them aside until the driver, which knows the order of the workers, has them stored:
so the pool does not depend on who is first, and what was handed over twice is stored once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.rllib.utils.annotations import override
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from envs.omnichannel.agents.roster import LEVELS, level_of
from envs.omnichannel.layout import Layout
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import Float32Array
from marl.config import Pool
from marl.errors import PoolLostError
from marl.learning.experience_pool import Batch, ExperiencePool, Fragment, Sampled, find_shard
from marl.learning.pool_shape import PoolShape, PoolSize
from marl.runs.checkpoints import Tree


class PoolShard:
    """An actor with a part of the pool; takes the arguments of `ExperiencePool`."""

    def __init__(self, shape: PoolShape, size: PoolSize, **settings: Any) -> None:
        self.pool = ExperiencePool(shape, size, **settings)
        self._handed_over: dict[tuple[int, int], Fragment] = {}  # by iteration and worker

    def hand_over(self, iteration: int, worker: int, fragment: Fragment) -> None:
        """Keeps a worker's episodes of a round aside."""
        self._handed_over[iteration, worker] = fragment

    def store(self, shares: Sequence[tuple[int, int]]) -> dict[str, int]:
        """Adds what workers handed over, in this order; returns the episodes held, by level.

        Args:
            shares: iterations and workers. What earlier iterations left is dropped.
        """
        for share in shares:
            self.pool.add(self._handed_over[share])
        last = max(shares, default=(-1, 0))[0]
        self._handed_over = {s: f for s, f in self._handed_over.items() if s[0] > last}
        return self.pool.sizes

    def sample(self, num_updates: int, batch_size: int) -> Batch:
        """See `ExperiencePool.sample`; Ray copies the batch before the next call."""
        return self.pool.sample_in_place(num_updates, batch_size)

    def get_state(self) -> Tree:
        """See `ExperiencePool.get_state`."""
        return self.pool.get_state()

    def set_state(self, state: Tree) -> dict[str, int]:
        """Restores `get_state`; returns the episodes held, by level."""
        self.pool.set_state(state)
        return self.pool.sizes


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


class DriverPool(ExperiencePool, InDriver):
    """The pool in the driver's process."""

    _ahead: Future[Batch] | None = None  # the last batch asked for

    @override(InDriver)
    def draw(self, counts: Sequence[int], batch_size: int) -> Iterator[Batch]:
        """Draws a batch for each count of updates; the next one while this one is learnt from.

        In a thread, which takes a core that has nothing to do. So priorities are those from before
        the batch that is being learnt from.
        """
        if not counts:
            return
        with ThreadPoolExecutor(max_workers=1) as thread:
            self._ahead = ahead = thread.submit(self.sample_in_place, counts[0], batch_size)
            for following in counts[1:]:
                batch = ahead.result()
                self._ahead = ahead = thread.submit(self.sample_in_place, following, batch_size)
                yield batch
            yield ahead.result()

    @override(ExperiencePool)
    def update_priorities(self, batch: Batch, td_errors: Float32Array) -> None:
        """Waits for the batch that is being drawn, so that it is the same in every run."""
        if self._ahead:
            self._ahead.result()
        super().update_priorities(batch, td_errors)


class ShardedPool:
    """The pool in actors; to the algorithm it is a `DriverPool`.

    Worker w hands over to shard (w - 1) modulo their number. A batch takes from every shard in
    proportion to what it holds. One shard draws what a `DriverPool` of the same seed would.

    Args:
        shape: of the environment.
        size: of all shards.
        num_shards: actors; one lives beside the driver, several spread over the machines.
        seed: of the sampling.
        settings: further arguments of `ExperiencePool`.
    """

    def __init__(
        self,
        shape: PoolShape,
        size: PoolSize,
        *,
        num_shards: int,
        seed: int,
        **settings: Any,
    ) -> None:
        self.shape = shape
        of_shard = size.divide(num_shards)
        self.memory_mb = num_shards * shape.compute_memory_mb(of_shard.count_episodes(shape))
        actor, nodes = ray.remote(PoolShard), _list_nodes()
        # By name: an actor that asks for no CPU lands anywhere, even where Ray is to spread them.
        places = [
            NodeAffinitySchedulingStrategy(nodes[shard % len(nodes)], soft=False)
            for shard in range(num_shards)
        ]
        self.shards = [
            actor.options(num_cpus=0, max_restarts=0, scheduling_strategy=place).remote(
                shape, of_shard, seed=make_shard_seed(seed, shard), **settings
            )
            for shard, place in enumerate(places)
        ]
        self._sizes = [dict.fromkeys(LEVELS, 0)] * num_shards  # episodes held, by level

    @property
    def num_env_steps(self) -> int:
        """Periods held of the low level."""
        return sum(sizes["low"] for sizes in self._sizes) * self.shape.horizon

    def num_transitions(self, module_id: str) -> int:
        """Transitions of a module: decisions for a SKU."""
        episodes = sum(sizes[level_of(module_id)] for sizes in self._sizes)
        return episodes * self.shape.transitions_per_episode(module_id)

    def store(self, round_: Mapping[int, Sampled]) -> None:
        """Adds what the round's workers handed over, in their order.

        Raises:
            PoolLostError: if a shard is lost.
        """
        shares_of: list[list[tuple[int, int]]] = [[] for _ in self.shards]
        for worker, sampled in round_.items():
            shares_of[find_shard(worker, len(self.shards))].append((sampled.iteration, worker))
        pairs = zip(self.shards, shares_of, strict=True)
        self._sizes = self._get([shard.store.remote(shares) for shard, shares in pairs])

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
        self._sizes = self._get([shard.set_state.remote(state) for shard, state in pairs])

    def _ask(self, num_updates: int, batch_size: int) -> list[ray.ObjectRef]:
        parts = split_batch(batch_size, [sizes["low"] for sizes in self._sizes])
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


def make_experience_pool(
    scenario: Scenario, rules: Pool, **settings: Any
) -> DriverPool | ShardedPool:
    """Returns an empty pool where the configuration wants it.

    Args:
        scenario: whose episodes it holds.
        rules: of the configuration.
        settings: further arguments of `ExperiencePool`.
    """
    is_prioritized = rules.prioritized is not None
    shape = PoolShape.from_layout(Layout.from_scenario(scenario), prioritized=is_prioritized)
    size = PoolSize.from_rules(rules)
    if rules.placement == "actor":
        return ShardedPool(shape, size, num_shards=rules.num_shards, **settings)
    return DriverPool(shape, size, prioritized=rules.prioritized, **settings)


def _list_nodes() -> list[str]:
    """Ids of the machines that are there, this one first."""
    here: str = ray.get_runtime_context().get_node_id()
    nodes = (node["NodeID"] for node in ray.nodes() if node["Alive"])
    return [here, *sorted(node for node in nodes if node != here)]


def make_shard_seed(seed: int, shard: int) -> int:
    """Returns the run's seed for the first shard, others for the rest."""
    return int(np.random.SeedSequence([seed, shard]).generate_state(1)[0]) if shard else seed


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
