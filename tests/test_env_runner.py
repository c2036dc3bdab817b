import numpy as np

from marl.learning.dqn.kernels import choose_options, uphold_goals
from marl.learning.dqn.sampling import explore_options


def test_choose_levels__takes_the_first_of_the_best() -> None:
    values = np.random.default_rng(0).integers(5, size=(3, 4, 2, 6)).astype(np.float32)
    levels = np.empty((4, 3, 2), np.int64)

    choose_options(values, levels)

    np.testing.assert_array_equal(levels, values.argmax(axis=-1).swapaxes(0, 1))


def test_uphold_goals__leaves_the_goal_for_more_than_the_margin() -> None:
    """Two agents of a copy and its one SKU; the goal is level 1."""
    values = np.array([[0.0, 1.0, 1.25, 0.5], [0.0, 1.0, 1.5, 0.5]], np.float32)
    levels = np.array([[[2], [2]]])

    uphold_goals(values[:, None, None], np.array([[[1]]]), 0.25, levels)

    assert levels.tolist() == [[[1], [2]]]


def test_explore_levels__replaces_each_copys_share_by_uniform_levels() -> None:
    epsilon, num_options = np.array([0.0, 0.3, 1.0]), 4
    levels = np.full((3, 50, 40), 9)

    explore_options(levels, num_options, epsilon, np.random.default_rng(0))

    replaced = levels != 9
    np.testing.assert_allclose(replaced.mean(axis=(1, 2)), epsilon, atol=0.03)
    shares = np.bincount(levels[replaced], minlength=num_options) / np.count_nonzero(replaced)
    np.testing.assert_allclose(shares, 1 / num_options, atol=0.03)
