from __future__ import annotations

import numpy as np
import pytest

from marl.config import Prioritized
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

    drawn = priorities.sample(820_000, rng)

    counts = np.bincount(drawn, minlength=120)
    assert counts[:40].sum() == counts[80:].sum() == 0
    # Stratified: each count is within one stratum at either end of its expectation.
    expected = 820_000 * (errors + 1e-3) / (errors + 1e-3).sum()
    np.testing.assert_allclose(counts[40:80], expected, rtol=0, atol=2)


def test_sample__alpha_bends_the_probabilities_and_order_is_random() -> None:
    priorities, rng = make_priorities(alpha=0.5), np.random.default_rng(0)
    priorities.renew(np.arange(3))
    errors = np.full(120, 4.0, np.float32) - np.float32(1e-3)
    errors[60:] = 1 - np.float32(1e-3)
    priorities.update(np.arange(120), errors)

    drawn = priorities.sample(30_000, rng)

    assert (drawn < 60).sum() == pytest.approx(20_000, abs=2)  # sqrt(4) : sqrt(1)
    halves = [(part < 60).mean() for part in np.split(drawn, 2)]
    assert halves == pytest.approx([2 / 3, 2 / 3], abs=0.02)


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

    drawn = priorities.sample(10_000, np.random.default_rng(0))

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
    first, second = (p.sample(500, np.random.default_rng(1)) for p in (priorities, restored))
    np.testing.assert_array_equal(first, second)
