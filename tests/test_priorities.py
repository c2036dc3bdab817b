from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marl.config import Prioritized
from marl.learning.pool.priorities import Priorities
from marl.learning.pool.priority_kernels import find_cells

SHAPE = (3, 4, 2, 5)  # episodes, decisions, agents, SKUs


def make_priorities(alpha: float = 1.0, beta: float = 1.0) -> Priorities:
    return Priorities(SHAPE, Prioritized(alpha=alpha, beta=beta))


def test_sample__draws_in_proportion_to_the_priorities() -> None:
    """TD errors i + 1 of 40 transitions of one episode: P(i) = (i + 1) / 820."""
    priorities, rng = make_priorities(), np.random.default_rng(0)
    priorities.renew(np.array([1]))
    cells = np.arange(40, 80)
    errors = (np.arange(40) + 1).astype(np.float32)
    priorities.update(cells, errors)

    drawn, _ = priorities.sample(10, 82_000, rng)

    counts = np.bincount(drawn.ravel(), minlength=120)
    assert counts[:40].sum() == counts[80:].sum() == 0
    # Stratified: each count is within one stratum at either end of its expectation.
    expected = 820_000 * (errors + 1e-3) / (errors + 1e-3).sum()
    np.testing.assert_allclose(counts[40:80], expected, rtol=0, atol=2)


def test_sample__alpha_bends_the_probabilities_in_every_update() -> None:
    priorities, rng = make_priorities(alpha=0.5), np.random.default_rng(0)
    priorities.renew(np.arange(3))
    errors = np.full(120, 4.0, np.float32) - np.float32(1e-3)
    errors[60:] = 1 - np.float32(1e-3)
    priorities.update(np.arange(120), errors)

    drawn, _ = priorities.sample(100, 300, rng)

    assert drawn.shape == (100, 300)
    # sqrt(4) : sqrt(1), in each update to the stratum in which the border lies.
    np.testing.assert_allclose((drawn < 60).sum(axis=1), 200, rtol=0, atol=1)


def test_sample__every_update_reaches_all_of_a_part() -> None:
    """Two updates of one draw: the first has either half of the sum as often as the second."""
    priorities, rng = make_priorities(), np.random.default_rng(0)
    priorities.renew(np.arange(3))

    drawn = np.array([priorities.sample(2, 1, rng)[0][:, 0] for _ in range(4000)])

    low = drawn < 60
    np.testing.assert_array_equal(low.sum(axis=1), 1)
    assert low[:, 0].mean() == pytest.approx(0.5, abs=0.03)
    counts = np.bincount(drawn[:, 0], minlength=120)
    assert counts.min() > 10  # 33 expected


@settings(max_examples=50)
@given(data=st.data(), num_cells=st.integers(1, 700), num_updates=st.integers(1, 200))
def test_sample__finds_where_each_point_of_the_sum_lies(
    data: st.DataObject, num_cells: int, num_updates: int
) -> None:
    """Whole numbers, whose sums are exact, in trees of one to three tops."""
    seed = data.draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    priorities = Priorities((1, 1, 1, num_cells), Prioritized())
    given_ = rng.integers(0, 4, num_cells) * (rng.random(num_cells) < rng.random())
    given_[rng.integers(num_cells)] += 1
    priorities.restore(given_.reshape(priorities.by_cell.shape).astype(np.float32), 1.0)

    cells, found = priorities.sample(num_updates, 3, np.random.default_rng(seed))

    rng = np.random.default_rng(seed)
    count = 3 * num_updates
    points = (np.arange(count) + rng.random(count)) * given_.sum() / count
    turns = rng.integers(num_updates, size=3)
    expected = np.searchsorted(np.cumsum(given_), points, side="right").reshape(3, num_updates)
    for n in range(3):
        order = (turns[n] + np.arange(num_updates)) % num_updates
        np.testing.assert_array_equal(cells[order, n], expected[n])
    np.testing.assert_array_equal(found, given_[cells])


def test_find_cells__never_finds_priority_zero() -> None:
    """Also where rounding passes the end of the sum, or of a part of it."""
    tops, blocks = np.array([0.2 + 0.3, 0]), np.zeros(32, np.float32)
    cells = np.zeros(512, np.float32)
    cells[[21, 22, 77]] = 0.1, 0.1, 0.3
    blocks[1], blocks[4] = 0.2, 0.3
    points = np.array([0, 0.15, 0.20001, 0.4, 0.5, 1.0])
    found, priorities = np.empty((1, 6), np.int64), np.empty((1, 6), np.float32)

    find_cells(points, np.zeros(6, np.int64), tops, blocks, cells, found, priorities)

    np.testing.assert_array_equal(found[0], [21, 22, 77, 77, 77, 77])


def test_compute_weights__undo_the_bias_and_are_at_most_one() -> None:
    """P = 1/3 and 2/3 of two transitions, N = 2: weights (2/3)^-1 and (4/3)^-1, so 1 and 0.5."""
    priorities = Priorities((1, 1, 1, 2), Prioritized(alpha=1, beta=1))
    priorities.renew(np.array([0]))
    priorities.update(np.array([0, 1]), np.array([1, 2], np.float32) - np.float32(1e-3))

    weights = priorities.compute_weights(priorities.by_cell.ravel()[[[0, 1], [1, 1]]], 2)

    np.testing.assert_allclose(weights, np.array([[1, 0.5], [1, 1]]), rtol=1e-6)


def test_renew__new_transitions_have_the_highest_priority_met() -> None:
    priorities = make_priorities()
    priorities.renew(np.array([0]))
    priorities.update(np.arange(40), np.full(40, 9.0, np.float32) - np.float32(1e-3))
    priorities.update(np.arange(40), np.full(40, 1.0, np.float32) - np.float32(1e-3))
    priorities.renew(np.array([2]))

    drawn, _ = priorities.sample(100, 100, np.random.default_rng(0))

    assert (drawn >= 80).mean() == pytest.approx(0.9, abs=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_update__sums_are_those_of_the_parts_and_restore_exactly(seed: int) -> None:
    """Episodes of 300 transitions, so that none begins where a node of the tree does."""
    rng = np.random.default_rng(seed)
    priorities, restored = (Priorities((3, 10, 6, 5), Prioritized(alpha=0.6)) for _ in range(2))
    priorities.renew(np.array([0, 1]))
    for _ in range(200):
        cells = rng.integers(600, size=2)
        priorities.update(cells, rng.exponential(size=2).astype(np.float32))

    restored.restore(priorities.by_cell[:2], priorities.highest)

    for own, other in zip(priorities._tree, restored._tree, strict=True):
        np.testing.assert_array_equal(own, other)
    tops, blocks, leaves = priorities._tree
    for sums, parts in ((blocks, leaves), (tops, blocks)):  # four sums, each rounded once
        whole = parts.reshape(-1, 16).sum(axis=1, dtype=float)
        np.testing.assert_allclose(sums, whole, rtol=4 * 2.0**-24, atol=0)
    assert priorities.total == tops.sum()
    first, second = (p.sample(5, 100, np.random.default_rng(1)) for p in (priorities, restored))
    for own, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(own, other)
