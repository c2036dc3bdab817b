import numpy as np

from marl.learning.dqn.sampling import explore_options
from marl.policies.greedy import choose_options, uphold_goals


def test_choose_options__takes_the_first_of_the_best() -> None:
    values = np.random.default_rng(0).integers(5, size=(3, 4, 2, 6)).astype(np.float32)
    options = np.empty((4, 3, 2), np.int64)

    choose_options(values, options)

    np.testing.assert_array_equal(options, values.argmax(axis=-1).swapaxes(0, 1))


def test_uphold_goals__leaves_the_goal_for_more_than_the_margin() -> None:
    """Two agents of a copy and its one SKU; the goal is option 1."""
    values = np.array([[0.0, 1.0, 1.25, 0.5], [0.0, 1.0, 1.5, 0.5]], np.float32)
    options = np.array([[[2], [2]]])

    uphold_goals(values[:, None, None], np.array([[[1]]]), 0.25, options)

    assert options.tolist() == [[[1], [2]]]


def test_explore_options__replaces_each_copys_share_by_uniform_options() -> None:
    epsilon, num_options = np.array([0.0, 0.3, 1.0]), 4
    options = np.full((3, 50, 40), 9)

    explore_options(options, num_options, epsilon, np.random.default_rng(0))

    replaced = options != 9
    np.testing.assert_allclose(replaced.mean(axis=(1, 2)), epsilon, atol=0.03)
    shares = np.bincount(options[replaced], minlength=num_options) / np.count_nonzero(replaced)
    np.testing.assert_allclose(shares, 1 / num_options, atol=0.03)
