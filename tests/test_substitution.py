"""Substitution: walk-ins who find a SKU sold out take another one, by hand and at random."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envs.errors import InputError
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.flows import Decisions, Flows
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.types import STORE, State
from envs.omnichannel.world.account.costs import CostModel
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.simulator import Simulator
from envs.validation import validate_model
from marl.evaluation.bounds.lower_bound import compute_reward_bounds
from tests.conftest import known
from tests.test_simulator_properties import check_conservation, random_scenarios

SHIRT, LAMP = 0, 1
HALF = {"of": "shirt", "by": "lamp", "share": 0.5}


def change(name: str, **changes: Any) -> Scenario:
    data = load_scenario(name).model_dump(mode="json", exclude_none=True)
    return validate_model(Scenario, data | changes, name)


def run_day(
    *rules: dict[str, Any],
    stock: list[list[int]],
    walk_ins: list[list[int]],
    uniform: float = 0.6,
    **changes: Any,
) -> tuple[Simulator, State, Flows]:
    """A day of `tiny` without orders; stock and walk-ins by store, shirts and lamps."""
    simulator = Simulator(change("tiny", substitution=list(rules), **changes))
    state = simulator.make_state(make_seeds("test", 0, 1))
    on_hand = np.zeros_like(state.on_hand)
    on_hand[0, 1:] = stock
    state = replace(state, on_hand=on_hand)
    demand = simulator.sample_demand(state)
    units = np.zeros_like(demand.units)
    units[0, ..., STORE] = walk_ins
    drawn = np.full_like(known(demand.substitution), uniform)
    demand = replace(demand, units=units, substitution=drawn)
    nothing = Decisions(
        supplier_order=np.zeros((1, 1, 2), np.int64),
        shipment=np.zeros((1, 2, 2), np.int64),
        online_share=np.zeros((1, 2, 2)),
        disposition=np.broadcast_to([1.0, 0.0, 0.0], (1, 2, 2, 3)),
    )
    after, flows = simulator.simulate_period(state, nothing, demand)
    return simulator, after, flows


def test_substitute__sells_what_its_own_demand_left() -> None:
    """Both stores lose 5 walk-ins for shirts; at a uniform of 0.6, 3 of 5 accept a lamp by half.

    P(2 or fewer of 5) = 0.5 and P(3 or fewer) = 0.8125. Store 0 has 10 - 4 lamps left for the 3,
    store 1 has 5 - 4 = 1.
    """
    _, _, flows = run_day(HALF, stock=[[3, 10], [3, 5]], walk_ins=[[8, 4], [8, 4]])

    assert known(flows.substituted_out)[0].tolist() == [[3, 0], [1, 0]]
    assert known(flows.substituted_in)[0].tolist() == [[0, 3], [0, 1]]
    assert flows.lost[0, ..., STORE].tolist() == [[2, 0], [4, 0]]
    assert flows.sold_store[0].tolist() == [[3, 4], [3, 4]]
    assert flows.on_time[0, ..., STORE].tolist() == [[3, 4], [3, 4]]
    assert flows.on_hand[0, 1:].tolist() == [[0, 3], [0, 0]]


def test_substitute__pays_no_lost_sale() -> None:
    simulator, _, flows = run_day(HALF, stock=[[3, 10], [3, 5]], walk_ins=[[8, 4], [8, 4]])

    costs = CostModel(simulator.scenario, simulator.network).compute_costs(flows)

    # `tiny` charges 1 a lost sale: 2 and 4 units of shirts.
    assert costs["lost_sales"][0, 1:].tolist() == [[2, 0], [4, 0]]


def test_rules__come_one_after_the_other_and_do_not_chain() -> None:
    """All accept. Lamps replace shirts first; shirts never replace those lamps.

    Store 0: 5 shirts are missing, 2 lamps are left. Store 1: 1 lamp is missing, 2 shirts are left.
    """
    back = {"of": "lamp", "by": "shirt", "share": 1.0}
    every = HALF | {"share": 1.0}
    _, _, flows = run_day(every, back, stock=[[3, 6], [4, 3]], walk_ins=[[8, 4], [2, 4]])

    assert known(flows.substituted_out)[0].tolist() == [[2, 0], [0, 1]]
    assert flows.lost[0, ..., STORE].tolist() == [[3, 0], [0, 0]]
    assert flows.on_hand[0, 1:].tolist() == [[0, 0], [1, 0]]


def test_stores__limit_a_rule() -> None:
    here = HALF | {"stores": ["store_1"]}
    _, _, flows = run_day(here, stock=[[3, 10], [3, 5]], walk_ins=[[8, 4], [8, 4]])

    assert known(flows.substituted_out)[0].tolist() == [[0, 0], [1, 0]]


def test_substitute__comes_back_like_any_sale() -> None:
    """A lamp that was taken in place of a shirt comes back as a lamp: all sold units do."""
    _, after, _ = run_day(
        HALF | {"share": 1.0},
        stock=[[0, 9], [0, 0]],
        walk_ins=[[4, 2], [0, 0]],
        categories={"fashion": {"return_rate": 1.0}, "home": {"return_rate": 1.0}},
        returns={"delay": {"kind": "uniform", "low": 1, "high": 1}, "store_spread": 0.0},
    )

    assert after.returns_due[0].sum(axis=0).tolist() == [[0, 6], [0, 0]]


@pytest.mark.parametrize(
    ("rule", "more", "message"),
    [
        ({"of": "sock"}, {}, r"substitution.0.of: 'sock' is not known; allowed: shirt, lamp"),
        ({"by": "sock"}, {}, r"substitution.0.by: 'sock' is not known; allowed: shirt, lamp"),
        ({"by": "shirt"}, {}, r"by: 'shirt' is not allowed; a SKU other than of is needed"),
        ({"share": 0}, {}, r"substitution.0.share: 0 is not allowed"),
        ({"share": 1.5}, {}, r"substitution.0.share: 1.5 is not allowed"),
        ({"stores": ["dc_0"]}, {}, r"substitution.0.stores: 'dc_0' is not known; allowed: store_0"),
        (
            {},
            {"fulfillment": {"store_unmet": "backorder"}},
            r"fulfillment.store_unmet: 'backorder' is not allowed with substitution; lost or part",
        ),
    ],
)
def test_rules_that_cannot_be__are_refused(
    rule: dict[str, Any], more: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message) as error:
        change("tiny", substitution=[HALF | rule], **more)
    assert "\n" not in str(error.value).strip()


def test_bounds__are_refused() -> None:
    scenario = change("tiny", substitution=[HALF])
    with pytest.raises(InputError, match="substitution: not allowed for bounds"):
        compute_reward_bounds(scenario, make_seeds("test", 0, 1), "train")


def add_rules(scenario: Scenario, shares: list[float]) -> Scenario:
    """A random scenario of two SKUs whose customers substitute both ways."""
    data = scenario.model_dump(mode="json", exclude_none=True)
    extra = {**data["skus"][0], "name": "other", "shelf_life": 2}
    data["skus"] = [data["skus"][0], extra]
    first, second = (sku["name"] for sku in data["skus"])
    data["fulfillment"]["store_unmet"] = "partial"
    data["substitution"] = [
        {"of": first, "by": second, "share": shares[0]},
        {"of": second, "by": first, "share": shares[1]},
    ]
    return Scenario.model_validate(data)


SHARES = st.lists(st.sampled_from([0.2, 0.7, 1.0]), min_size=2, max_size=2)


@settings(max_examples=25)
@given(random_scenarios(), SHARES, st.integers(0, 2**32))
def test_substitution__conserves_units_and_orders(
    scenario: Scenario, shares: list[float], seed: int
) -> None:
    check_conservation(add_rules(scenario, shares), seed, copies=3, periods=8)


@pytest.mark.slow
@settings(max_examples=250, suppress_health_check=list(HealthCheck))
@given(random_scenarios(), SHARES, st.integers(0, 2**32))
def test_substitution__conserves_in_100_000_env_steps(
    scenario: Scenario, shares: list[float], seed: int
) -> None:
    check_conservation(add_rules(scenario, shares), seed, copies=20, periods=20)


def test_metrics__count_substituted_units_beside_lost_ones() -> None:
    scenario = change("tiny", substitution=[HALF], initial_store_cover=0, initial_dc_cover=0)
    env = BatchedEnv(scenario, 2)
    env.reset(make_seeds("test", 1, 2))
    units = np.zeros(2)
    for _ in range(scenario.horizon):
        options = {
            m: np.full((2, module.num_agents, 2), module.initial_option)
            for m, module in env.layout.modules.items()
        }
        units += known(env.step(options).flows.substituted_in).sum(axis=(1, 2))

    metrics = env.compute_metrics()

    assert units.sum() > 0
    assert metrics["substituted"].tolist() == (units / scenario.horizon).tolist()
    plain = BatchedEnv(load_scenario("tiny"), 1)
    plain.reset(make_seeds("test", 1, 1))
    assert "substituted" not in plain.compute_metrics()
