"""What the tests of the callers do not reach: accuracy of the quantile, both ways to hand out."""

import numpy as np
from scipy.special import ndtri

from envs.omnichannel.types import IntArray
from envs.omnichannel.world.allocation.largest_remainder import split_proportionally
from envs.omnichannel.world.demand.kernels import invert_normal_centre, invert_normal_tails


def test_invert_normal__has_15_digits_in_the_centre_and_the_tails() -> None:
    centre = np.linspace(0.075, 0.925, 1001)[1:-1]
    np.testing.assert_allclose(
        [invert_normal_centre(p) for p in centre], ndtri(centre), rtol=3e-15, atol=1e-16
    )
    tails = np.concatenate([[2.0**-54, 1e-12, 1e-11], np.linspace(1e-4, 0.075, 200)])
    tails = np.concatenate([tails, 1 - tails[3:], [1 - 2.0**-53]])
    np.testing.assert_allclose([invert_normal_tails(p) for p in tails], ndtri(tails), rtol=3e-15)


def split_by_sorting(requests: IntArray, total: int) -> list[int]:
    base, remainder = np.divmod(requests * total, requests.sum())
    order = np.argsort(-remainder, kind="stable")
    base[order[: total - base.sum()]] += 1
    return list(base)


def test_split_proportionally__few_and_many_entries_follow_one_rule() -> None:
    """From 32 entries on a sort replaces the search for the largest remainder."""
    rng = np.random.default_rng(0)
    for entries in (2, 31, 32, 33, 150):
        for _ in range(20):
            requests = rng.integers(1, 6, entries)  # few values: many ties
            total = int(rng.integers(0, requests.sum() + 1))
            units = split_proportionally(requests[None], np.array([total]))
            assert units[0].tolist() == split_by_sorting(requests, total)
