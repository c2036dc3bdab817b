from __future__ import annotations

import numpy as np
import pytest

from marl.learning.pool.recorded import LabelFragment, LabelPool, Labels, LabelShape


def make_fragment(first: int, count: int) -> LabelFragment:
    """States whose features and savings tell which one they are."""
    ids = np.arange(first, first + count, dtype=np.float32)
    return LabelFragment(
        labels={
            "dispatch": Labels(
                features=np.broadcast_to(ids[:, None, None], (count, 4, 3)).copy(),
                savings=np.stack([0 * ids, ids], axis=1),
            )
        },
        num_episodes=2,
        num_env_steps=10 * count,
    )


def make_pool(capacity: int, seed: int = 0) -> LabelPool:
    return LabelPool(capacity, {"dispatch": LabelShape((4, 3), 2)}, seed)


def test_add__the_oldest_make_room() -> None:
    pool = make_pool(6)
    for first in (0, 4, 8):
        pool.add(make_fragment(first, 4))
    assert pool.num_transitions("dispatch") == 6
    assert pool.num_env_steps == 120
    assert pool.memory_mb == pytest.approx(6 * (12 * 2 + 2 * 4) / 1e6)
    batch = pool.sample(20, 64)
    assert batch.num_updates == 20
    assert set(np.unique(batch.savings["dispatch"][..., 1])) == {6, 7, 8, 9, 10, 11}


def test_sample__features_belong_to_their_savings() -> None:
    pool = make_pool(50)
    pool.add(make_fragment(0, 40))
    batch = pool.sample(3, 16)
    features, savings = batch.features["dispatch"], batch.savings["dispatch"]
    assert features.shape == (3, 16, 4, 3)
    np.testing.assert_array_equal(features[..., 0, 0], savings[..., 1])


def test_set_state__continues_exactly() -> None:
    pool = make_pool(6)
    pool.add(make_fragment(0, 4))
    pool.sample(1, 4)
    copy = make_pool(6, seed=9)
    copy.set_state(pool.get_state())
    for held in (pool, copy):
        held.add(make_fragment(4, 4))
    first, second = pool.sample(2, 8), copy.sample(2, 8)
    np.testing.assert_array_equal(first.savings["dispatch"], second.savings["dispatch"])
    assert copy.num_env_steps == pool.num_env_steps


def test_set_state__refuses_another_capacity() -> None:
    with pytest.raises(ValueError, match="capacity 7 differs"):
        make_pool(7).set_state(make_pool(6).get_state())


def test_add__refuses_more_than_it_holds() -> None:
    with pytest.raises(ValueError, match="4 items do not fit"):
        make_pool(3).add(make_fragment(0, 4))
