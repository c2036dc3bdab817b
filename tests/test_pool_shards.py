import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.errors import InputError
from envs.omnichannel.scenario import load_scenario
from marl.config import Prioritized, load_config
from marl.learning.methods import make_method
from marl.learning.pool.base import find_shard, make_shard_seed
from marl.learning.pool.driver import DriverPool
from marl.learning.pool.experience_pool import Batch
from marl.learning.pool.size import PoolSize
from marl.learning.rllib.pool_actors import (
    PoolShard,
    join_batches,
    split_batch,
)
from tests.test_experience_pool import T, make_fragment, make_shape


@pytest.mark.parametrize(
    ("sizes", "parts"),
    [([10], [7]), ([10, 10], [4, 3]), ([10, 0], [7, 0]), ([30, 10, 30], [3, 1, 3])],
)
def test_split_batch__follows_what_the_shards_hold(sizes: list[int], parts: list[int]) -> None:
    assert split_batch(7, sizes) == parts


@given(
    batch_size=st.integers(1, 2000),
    sizes=st.lists(st.integers(0, 10**6), min_size=1, max_size=9).filter(any),
)
def test_split_batch__loses_nothing_and_is_off_by_less_than_one(
    batch_size: int, sizes: list[int]
) -> None:
    parts = split_batch(batch_size, sizes)

    assert sum(parts) == batch_size
    exact = batch_size * np.array(sizes) / sum(sizes)
    assert (np.abs(parts - exact) < 1).all()


def test_find_shard__spreads_the_workers() -> None:
    assert [find_shard(worker, 3) for worker in (1, 2, 3, 4)] == [0, 1, 2, 0]


def test_make_shard_seed__is_the_runs_own_for_the_first_shard() -> None:
    seeds = [make_shard_seed(5, shard) for shard in range(4)]

    assert seeds[0] == 5
    assert len(set(seeds)) == 4


def test_shard__stores_what_was_handed_over_for_a_round_and_drops_what_is_older() -> None:
    shard = PoolShard(make_method(load_scenario("tiny"), load_config()), 1, 0)
    shard.pool = make_driver_pool(None, episodes=0)
    shard.hand_over(0, 1, make_fragment(9))
    shard.hand_over(1, 2, make_fragment(2))
    shard.hand_over(1, 1, make_fragment(7))
    shard.hand_over(1, 1, make_fragment(1))  # asked for again
    shard.hand_over(2, 1, make_fragment(3))

    held = shard.store([(1, 1), (1, 2)])
    assert (held.num_env_steps, held.transitions["ordering_low"]) == (2 * T, 2 * T * 3 * 2)
    assert shard.store([(2, 1)]).num_env_steps == 3 * T

    first = shard.pool.get_state()["low"]["observations"][:, 0, 0, 0, 0]
    np.testing.assert_array_equal(first, [1000, 2000, 3000])
    with pytest.raises(KeyError):
        shard.store([(0, 1)])


def test_join_batches__along_the_transitions() -> None:
    first, second = (
        Batch(
            obs_tm1=np.full((2, 6, n, 3), n, np.float16),
            a_tm1=np.full((2, 6, n), n),
            r_t=np.full((2, 6, n), n, np.float32),
            discount_t=np.full((2, 6, n), n, np.float32),
            obs_t=np.full((2, 6, n, 3), n, np.float16),
        )
        for n in (4, 1)
    )

    joined = join_batches([first, second])

    assert joined.obs_t.shape == (2, 6, 5, 3)
    assert joined.a_tm1[1, 5].tolist() == [4, 4, 4, 4, 1]


def test_config__several_shards_are_actors() -> None:
    with pytest.raises(InputError, match="num_shards: 2 is not allowed with placement driver; 1"):
        load_config("default", ["pool.num_shards=2"])
    assert load_config("default", ["pool.num_shards=2", "pool.placement=actor"]).pool.num_shards


class SlowPool(DriverPool):
    """Whose draws begin late, as they may on a busy machine."""

    def sample_in_place(self, num_updates: int, batch_size: int) -> Batch:
        time.sleep(0.02)
        return super().sample_in_place(num_updates, batch_size)


def make_driver_pool(prioritized: Prioritized | None, episodes: int = 3) -> DriverPool:
    size = PoolSize(20, max_memory_mb=1.0)
    pool = SlowPool(make_shape(), size, n_step=2, gamma=0.5, seed=0, prioritized=prioritized)
    if episodes:
        pool.add(make_fragment(0, episodes))
    return pool


@pytest.mark.parametrize("prioritized", [None, Prioritized()])
def test_driver_pool__draws_ahead_what_it_would_draw_before_the_priorities_change(
    prioritized: Prioritized | None,
) -> None:
    pool, other = (make_driver_pool(prioritized) for _ in range(2))
    counts = [3, 3, 2]

    drawn = []
    for batch in pool.draw(counts, 8):
        drawn.append({name: np.copy(values) for name, values in vars(batch).items()})
        pool.update_priorities(batch, np.full(batch.r_t.shape, 5.0, np.float32))

    ahead = [other.sample(count, 8) for count in counts[:2]]
    other.update_priorities(ahead[0], np.full(ahead[0].r_t.shape, 5.0, np.float32))
    for found, expected in zip(drawn, [*ahead, other.sample(counts[2], 8)], strict=True):
        for name, values in vars(expected).items():
            np.testing.assert_array_equal(found[name], np.copy(values), err_msg=name)


def test_driver_pool__draws_nothing_for_no_updates() -> None:
    assert list(make_driver_pool(None).draw([], 8)) == []
