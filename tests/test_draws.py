import numpy as np
from scipy import stats

from envs.omnichannel.types import IntArray
from envs.omnichannel.world import draws
from envs.omnichannel.world.draws import make_seeds, sample_uniform


def periods(count: int, period: int = 0) -> IntArray:
    return np.full(count, period, np.int64)


def test_sample_uniform__is_uniform() -> None:
    seeds = make_seeds("test", 0, 500)
    uniform = sample_uniform(seeds, periods(500), draws.DEMAND, (40,))
    assert ((uniform > 0) & (uniform < 1)).all()
    assert stats.kstest(uniform.ravel(), "uniform").pvalue > 0.01


def test_sample_uniform__is_not_correlated_between_neighbours() -> None:
    seeds = make_seeds("test", 0, 5000)
    today = sample_uniform(seeds, periods(5000), draws.DEMAND, (3,))
    tomorrow = sample_uniform(seeds, periods(5000, 1), draws.DEMAND, (3,))
    other = sample_uniform(seeds, periods(5000), draws.RETURN_ROUNDING, (3,))
    pairs = [(today[:, 0], today[:, 1]), (today, tomorrow), (today, other), (today[1:], today[:-1])]
    for left, right in pairs:
        correlation = np.corrcoef(left.ravel(), right.ravel())[0, 1]
        assert abs(correlation) < 4 / np.sqrt(left.size)


def test_sample_uniform__streams_and_periods_share_no_draw() -> None:
    seeds = make_seeds("test", 0, 20)
    drawn = [
        sample_uniform(seeds, periods(20, period), stream, (50,))
        for period in range(5)
        for stream in range(6)
    ]
    assert len(np.unique(drawn)) == 20 * 5 * 6 * 50


def test_sample_uniform__does_not_depend_on_the_batch() -> None:
    seeds, at = make_seeds("test", 0, 9), np.arange(9)
    together = sample_uniform(seeds, at, draws.DEMAND, (3, 2))
    for copy in range(9):
        alone = sample_uniform(seeds[copy : copy + 1], at[copy : copy + 1], draws.DEMAND, (3, 2))
        np.testing.assert_array_equal(alone[0], together[copy])


def test_sample_uniform__draws_are_the_same_everywhere() -> None:
    """Pinned: a change here changes every published result."""
    uniform = sample_uniform(np.array([7], np.uint64), periods(1, 3), draws.DEMAND, (2,))
    assert uniform.tolist() == [[0.9983689141631593, 0.4250741018486514]]


def test_make_seeds__purposes_and_base_seeds_are_disjoint() -> None:
    seeds = [make_seeds(purpose, base, 1000) for purpose in ("train", "test") for base in (0, 1)]
    assert len(np.unique(seeds)) == 4000


def test_make_seeds__batches_continue_one_another() -> None:
    whole = make_seeds("train", 3, 10)
    parts = [make_seeds("train", 3, 4), make_seeds("train", 3, 6, skip=4)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
