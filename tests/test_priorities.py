from __future__ import annotations

import numpy as np
import pytest

from marl.config import Prioritized
from marl.learning.kernels import find_cells
from marl.learning.priorities import Priorities

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

    drawn = priorities.sample(10, 82_000, rng)

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

    drawn = priorities.sample(100, 300, rng)

    assert drawn.shape == (100, 300)
    # sqrt(4) : sqrt(1), in each update to the stratum in which the border lies.
    np.testing.assert_allclose((drawn < 60).sum(axis=1), 200, rtol=0, atol=1)


def test_sample__every_update_reaches_all_of_a_part() -> None:
    """Two updates of one draw: the first has either half of the sum as often as the second."""
    priorities, rng = make_priorities(), np.random.default_rng(0)
    priorities.renew(np.arange(3))

    drawn = np.array([priorities.sample(2, 1, rng)[:, 0] for _ in range(4000)])

    low = drawn < 60
    np.testing.assert_array_equal(low.sum(axis=1), 1)
    assert low[:, 0].mean() == pytest.approx(0.5, abs=0.03)
    counts = np.bincount(drawn[:, 0], minlength=120)
    assert counts.min() > 10  # 33 expected


def test_sample__what_has_no_priority_is_never_drawn() -> None:
    """Also at the end of the sum, which rounding may pass."""
    priorities = make_priorities()
    priorities.by_cell[2, 0, 1:3] = 0.1
    priorities.by_cell[7, 1, 2] = 0.3
    priorities.restore(priorities.by_cell, 1.0)
    total = priorities.by_period.sum()
    points = np.array([0, 0.15, 0.21, 0.4, total, 2 * total])

    cells = find_cells(points, priorities.by_period, priorities.by_agent, priorities.by_cell)

    np.testing.assert_array_equal(cells, [21, 22, 77, 77, 77, 77])


def test_compute_weights__undo_the_bias_and_are_at_most_one() -> None:
    """P = 1/3 and 2/3 of two transitions, N = 2: weights (2/3)^-1 and (4/3)^-1, so 1 and 0.5."""
    priorities = Priorities((1, 1, 1, 2), Prioritized(alpha=1, beta=1))
    priorities.renew(np.array([0]))
    priorities.update(np.array([0, 1]), np.array([1, 2], np.float32) - np.float32(1e-3))

    weights = priorities.compute_weights(np.array([[0, 1], [1, 1]]), 2)

    np.testing.assert_allclose(weights, np.array([[1, 0.5], [1, 1]]), rtol=1e-6)


def test_renew__new_transitions_have_the_highest_priority_met() -> None:
    priorities = make_priorities()
    priorities.renew(np.array([0]))
    priorities.update(np.arange(40), np.full(40, 9.0, np.float32) - np.float32(1e-3))
    priorities.update(np.arange(40), np.full(40, 1.0, np.float32) - np.float32(1e-3))
    priorities.renew(np.array([2]))

    drawn = priorities.sample(100, 100, np.random.default_rng(0))

    assert (drawn >= 80).mean() == pytest.approx(0.9, abs=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_update__sums_are_those_of_the_parts_and_restore_exactly(seed: int) -> None:
    rng = np.random.default_rng(seed)
    priorities, restored = make_priorities(alpha=0.6), make_priorities(alpha=0.6)
    priorities.renew(np.array([0, 1]))
    for _ in range(20):
        cells = rng.integers(80, size=30)
        priorities.update(cells, rng.exponential(size=30).astype(np.float32))

    restored.restore(priorities.by_cell[:8], priorities.highest)

    np.testing.assert_array_equal(restored.by_agent, priorities.by_agent)
    np.testing.assert_array_equal(restored.by_period, priorities.by_period)
    np.testing.assert_allclose(
        priorities.by_period, priorities.by_cell.sum((1, 2), dtype=float), rtol=1e-12
    )
    first, second = (p.sample(5, 100, np.random.default_rng(1)) for p in (priorities, restored))
    np.testing.assert_array_equal(first, second)
