from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.flows import Targets
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.scenario.fulfillment import list_rationing_rules
from envs.omnichannel.types import Network
from envs.omnichannel.world.allocation.largest_remainder import (
    split_by_shares,
    split_proportionally,
)
from envs.omnichannel.world.allocation.ration import get_rule, ration
from envs.omnichannel.world.allocation.rules.equal_cover import Rule as EqualCover
from envs.omnichannel.world.allocation.rules.fair_share import split_equally
from envs.omnichannel.world.allocation.rules.min_shortage import Rule as MinShortage
from envs.omnichannel.world.allocation.rules.random_order import Rule as RandomOrder
from envs.omnichannel.world.draws import make_seeds


def test_split_proportionally__gives_the_rest_to_the_largest_remainders() -> None:
    # 10 x (5, 3, 6) / 14 = 3 8/14, 2 2/14, 4 4/14: the unit left over goes to the first.
    given_units = split_proportionally(np.array([5, 3, 6]), np.array(10))
    assert given_units.tolist() == [4, 2, 4]


def test_split_proportionally__earlier_entries_win_ties() -> None:
    # 5 x 3 / 9 = 1 2/3 for all three; two units are left over.
    assert split_proportionally(np.array([3, 3, 3]), np.array(5)).tolist() == [2, 2, 1]
    # Many entries, because sorts of a few are stable anyway.
    many = split_proportionally(np.full(200, 3), np.array(70))
    assert many.tolist() == [1] * 70 + [0] * 130


def test_split_proportionally__without_requests_gives_nothing() -> None:
    assert split_proportionally(np.array([0, 0]), np.array(0)).tolist() == [0, 0]


def test_split_by_shares__rounds_by_largest_remainder() -> None:
    totals = np.array([10, 7, 1, 0])
    shares = np.array([[0.3, 0.3, 0.4], [0.5, 0.25, 0.25], [0.2, 0.2, 0.6], [1, 0, 0]])
    # 7: quotas 3.5, 1.75, 1.75; the two units left over go to the two remainders of 0.75.
    assert split_by_shares(totals, shares).tolist() == [[3, 3, 4], [3, 2, 2], [0, 0, 1], [0, 0, 0]]


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=12), st.data())
def test_split_proportionally__adds_up_and_stays_within_a_unit(
    requests: list[int], data: st.DataObject
) -> None:
    total = data.draw(st.integers(0, sum(requests)))
    units = split_proportionally(np.array(requests), np.array(total))
    assert units.sum() == total
    assert (units <= requests).all()
    exact = np.array(requests) * total / max(sum(requests), 1)
    assert (np.abs(units - exact) < 1 + 1e-6).all()


@given(st.integers(0, 10**6), st.lists(st.integers(0, 100), min_size=3, max_size=3))
def test_split_by_shares__adds_up_and_stays_within_a_unit(total: int, weights: list[int]) -> None:
    if sum(weights) == 0:
        weights = [1, 0, 0]
    shares = np.array(weights) / sum(weights)
    units = split_by_shares(np.array([total]), shares[None])[0]
    assert units.sum() == total
    assert (units >= 0).all()
    assert (np.abs(units - shares * total) < 1 + 1e-6).all()
    assert (units[shares == 0] == 0).all()


def test_ration__each_dc_serves_its_own_stores(tiny: Scenario) -> None:
    net = replace(
        Network.from_scenario(tiny), num_dcs=2, members=(np.array([0, 2]), np.array([1, 3]))
    )
    requests = np.array([[[4], [9], [8], [1]]])
    # DC 0 has 6 for 4 + 8: 2 and 4. DC 1 has enough for 9 + 1.
    granted = ration(requests, np.array([[[6], [10]]]), net)
    assert granted.ravel().tolist() == [2, 9, 4, 1]


def test_min_shortage__leaves_the_smallest_largest_shortage() -> None:
    # 9 units for 7, 2, 6: shortages 2, 2, 2. 10 units: 5 missing, the odd ones at the last stores.
    assert MinShortage().split(np.array([7, 2, 6]), np.array(9)).tolist() == [5, 0, 4]
    assert MinShortage().split(np.array([7, 2, 6]), np.array(10)).tolist() == [6, 0, 4]
    assert MinShortage().split(np.array([7, 1, 6]), np.array(5)).tolist() == [3, 0, 2]


def test_split_equally__gives_all_the_same_until_they_are_served() -> None:
    # 9 units for 7, 2, 6: 2 for the one who wants no more, 7 for the others: 4 and 3.
    assert split_equally(np.array([7, 2, 6]), np.array(9)).tolist() == [4, 2, 3]
    assert split_equally(np.array([0, 0, 6]), np.array(4)).tolist() == [0, 0, 4]
    assert split_equally(np.array([3, 3, 3]), np.array(9)).tolist() == [3, 3, 3]


def test_random_order__serves_the_lowest_first_and_in_full() -> None:
    priority = np.array([0.7, 0.1, 0.4])
    assert RandomOrder().split(np.array([7, 2, 6]), np.array(9), priority).tolist() == [1, 2, 6]
    assert RandomOrder().split(np.array([7, 2, 6]), np.array(5), priority).tolist() == [0, 2, 3]


@pytest.mark.parametrize(
    ("requests", "given_units"),
    [
        # A sells 4 a day and has none, B sells 6 a day and has 18: 12 units leave both 3 days.
        ([20, 20], [12, 0]),
        # A asks for 10 and gets them, though 2.5 days are fewer than B's; B gets the rest.
        ([10, 20], [10, 2]),
    ],
)
def test_equal_cover__an_empty_shelf_comes_before_a_full_one(
    requests: list[int], given_units: list[int]
) -> None:
    covers = np.array([[0.0, 18.0], [4.0, 6.0]])

    assert EqualCover().split(np.array(requests), np.array(12), covers).tolist() == given_units
    # In proportion to what was asked, the full shelf gets its part.
    assert split_proportionally(np.array([20, 20]), np.array(12)).tolist() == [6, 6]


def test_equal_cover__counts_what_stores_will_have_when_the_shipment_arrives() -> None:
    """Positions of 18 and 10, 9 and 5, less the 1 and 2 days' demand on the way."""
    data = load_scenario("tiny").model_dump(mode="json")
    data["fulfillment"]["rationing"], data["forecast"]["method"] = "equal_cover", "mean"
    env = BatchedEnv(Scenario.model_validate(data), 1)
    env.reset(make_seeds("test", 0, 1))
    none = np.zeros((1, 2, 2))
    targets = Targets(
        supplier_gap=none[:, :1],
        shipment_gap=none,
        online_share=none,
        disposition=np.full((1, 2, 2, 3), 1 / 3),
    )

    covers = env.decide(targets).covers

    assert covers is not None
    np.testing.assert_allclose(covers[0, 1], [[6.0, 3.0], [3.0, 1.5]])
    np.testing.assert_allclose(covers[0, 0], [[12, 7], [3, 2]])
    assert BatchedEnv(load_scenario("tiny"), 1).rations_by_cover is False


def test_equal_cover__customers_who_wait_come_first() -> None:
    # A owes 3 units; B and C have a day each. Then all have one, and who comes first is first.
    covers = np.array([[-3.0, 2.0, 2.0], [1.0, 2.0, 2.0]])

    assert EqualCover().split(np.array([9, 9, 9]), np.array(4), covers).tolist() == [4, 0, 0]
    assert EqualCover().split(np.array([9, 9, 9]), np.array(6), covers).tolist() == [5, 1, 0]
    assert EqualCover().split(np.array([4, 9, 9]), np.array(5), covers).tolist() == [4, 1, 0]


@given(st.integers(0, 2**32))
def test_equal_cover__hands_each_unit_to_the_smallest_cover(seed: int) -> None:
    """Among them slow stores beside fast ones, whose covers move by twenty days a unit."""
    rng = np.random.default_rng(seed)
    stores = int(rng.integers(1, 7))
    requests = rng.integers(0, 30, stores)
    total = int(rng.integers(0, requests.sum() + 1))
    position, rate = rng.integers(-5, 40, stores), rng.choice([0.0, 0.05, 0.3, 2.0, 30.0], stores)
    units, days = [0] * stores, np.maximum(rate, 0.05)
    for _ in range(total):
        cover = np.where(units < requests, (position + units) / days, np.inf)
        units[int(cover.argmin())] += 1

    split = EqualCover().split(requests, np.array(total), np.stack([position, rate]))

    assert split.tolist() == units


def hand_out_by_the_unit(requests: list[int], total: int, *, equal_losses: bool) -> list[int]:
    """The definitions of two rules, unit by unit."""
    units = [0] * len(requests)
    for _ in range(total):
        open_to = [i for i, wanted in enumerate(requests) if units[i] < wanted]
        value = (lambda i: units[i] - requests[i]) if equal_losses else (lambda i: units[i])
        units[min(open_to, key=value)] += 1
    return units


@given(st.lists(st.integers(0, 12), min_size=1, max_size=6), st.data())
def test_split__equals_handing_out_unit_by_unit(requests: list[int], data: st.DataObject) -> None:
    total = data.draw(st.integers(0, sum(requests)))
    for split, equal_losses in ((MinShortage().split, True), (split_equally, False)):
        units = split(np.array([requests]), np.array([total]))[0].tolist()
        assert units == hand_out_by_the_unit(requests, total, equal_losses=equal_losses)


@pytest.mark.parametrize("rule", list_rationing_rules())
def test_ration__hands_out_the_smaller_of_stock_and_requests(tiny: Scenario, rule: str) -> None:
    rng = np.random.default_rng(0)
    net = replace(
        Network.from_scenario(tiny), num_dcs=2, members=(np.array([0, 2, 4]), np.array([1, 3]))
    )
    requests, available = rng.integers(0, 9, (200, 5, 3)), rng.integers(0, 20, (200, 2, 3))
    shape = (200, 2, 5, 3) if get_rule(rule).by_cover else (200, 5)
    granted = ration(requests, available, net, rule, rng.random(shape))
    assert ((granted >= 0) & (granted <= requests)).all()
    expected = np.minimum(net.sum_by_dc(requests), available)
    np.testing.assert_array_equal(net.sum_by_dc(granted), expected)


@given(st.integers(0, 2**32))
def test_ration__in_proportion_hands_out_the_smaller_of_stock_and_requests(seed: int) -> None:
    rng = np.random.default_rng(seed)
    net = Network.from_scenario(
        Scenario.model_validate(
            {
                "name": "three stores",
                "network": {
                    "dcs": [{"name": "dc"}],
                    "stores": [{"name": f"s{i}", "parent": "dc"} for i in range(3)],
                },
                "skus": [{"name": "mug", "category": "home"}],
                "categories": {"home": {}},
            }
        )
    )
    requests, available = rng.integers(0, 9, (5, 3, 1)), rng.integers(0, 20, (5, 1, 1))
    granted = ration(requests, available, net)
    expected = np.minimum(requests.sum(axis=1), available[:, 0])
    np.testing.assert_array_equal(granted.sum(axis=1), expected)
    assert (granted <= requests).all()
