"""The search for the proposers' weights."""

import json

import numpy as np
import pytest

from envs.omnichannel.agents.roster import PROPOSERS
from marl.config import WeightSearchRules
from marl.learning.weight_search import WeightSearch, compute_weights, draw_noise_of_weights

EQUAL = {decision: np.ones(len(proposers)) for decision, proposers in PROPOSERS.items()}
SHIPMENT = PROPOSERS["shipment_gap"].index("shipping_high")


def make_search(**rules: float) -> WeightSearch:
    return WeightSearch(WeightSearchRules(**rules), seed=3, start=EQUAL)


def run_rounds(search: WeightSearch, rounds: range, copies: int = 16) -> None:
    """Rewards that rise with `shipping_high`'s weight in shipments, but for some noise."""
    for iteration in rounds:
        rng = np.random.default_rng(iteration)
        rewards = []
        for share in range(2):
            noise = draw_noise_of_weights(3, share, iteration, copies)
            weights = compute_weights(search.logits + search.rules.sigma * noise)
            rewards.append(
                0.01 * weights["shipment_gap"][:, SHIPMENT] + rng.normal(0, 0.002, copies)
            )
        search.learn(rewards, iteration)


def test_weight_search__begins_with_the_scenarios_weights() -> None:
    start = {**EQUAL, "supplier_gap": np.array([0.75, 0.25]), "disposition": np.array([1.0, 0.0])}

    weights = WeightSearch(WeightSearchRules(), 0, start).weights

    assert weights["supplier_gap"].tolist() == pytest.approx([0.75, 0.25])
    assert weights["shipment_gap"].tolist() == [0.25] * 4
    # A softmax knows no zero.
    assert weights["disposition"].tolist() == pytest.approx([1 / 1.001, 0.001 / 1.001])


def test_weight_search__finds_the_proposer_that_earns_more() -> None:
    search = make_search()

    run_rounds(search, range(80), copies=64)

    assert search.weights["shipment_gap"][SHIPMENT] > 0.8
    for decision in ("supplier_gap", "online_share", "disposition"):
        assert search.weights[decision].max() < 0.8, decision


def test_weight_search__learns_the_mean_of_noise_times_scaled_difference() -> None:
    search = make_search(step=0.5)
    first, second = draw_noise_of_weights(3, 0, 7, 4)[::2]

    search.learn([np.array([0.3, 0.0, 0.1, 0.2])], 7)

    usual = np.sqrt((0.3**2 + 0.1**2) / 2)
    expected = 0.5 * (0.3 * first - 0.1 * second) / usual / 2
    before = np.log(np.concatenate([EQUAL[d] for d in PROPOSERS]))
    np.testing.assert_allclose(search.logits - before, expected, rtol=1e-12)


@pytest.mark.parametrize("rewards", [[np.zeros(4)], [np.array([0.5])]])
def test_weight_search__learns_nothing_where_there_is_nothing_to_compare(
    rewards: list[np.ndarray],
) -> None:
    search = make_search()
    before = search.logits.copy()

    search.learn(rewards, 0)

    assert (search.logits == before).all()


def test_weight_search__continues_exactly() -> None:
    search, resumed = make_search(), make_search()
    run_rounds(search, range(5))
    resumed.set_state(json.loads(json.dumps({**search.get_state(),
                                             "logits": search.logits.tolist()})))  # fmt: skip

    run_rounds(search, range(5, 8))
    run_rounds(resumed, range(5, 8))

    assert (resumed.logits == search.logits).all()


def test_draw_noise__mirrors_neighbours_and_differs_by_seed_share_and_round() -> None:
    noise = draw_noise_of_weights(0, 0, 0, 5)

    assert noise.shape == (5, 10)
    assert (noise[1] == -noise[0]).all()
    assert (noise[3] == -noise[2]).all()
    others = [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
    assert all((draw_noise_of_weights(*key, 5) != noise).all() for key in others)
