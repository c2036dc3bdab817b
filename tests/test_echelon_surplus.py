"""What is too much in one store: it holds back no order that the others wait for.

A and B sell 10 a day each, always. The supplier takes 4 days, the lanes 1. The DC orders up to 8
days for both, 160 units, and has none; the stores aim at 20. A holds 160 units, B 20.
"""

from dataclasses import replace

import numpy as np
import pytest

from envs.omnichannel.agents.coordinator import Coordinator
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import View
from envs.omnichannel.world.draws import make_seeds
from marl.policies import make_policy
from marl.policies.base import Setting
from marl.policies.plan import Plan

PARAMETERS = {
    "online_share": 0.0,
    "store_cover_0": 1.0,
    "dc_cover_0": 8.0,
    "restock": 1.0,
    "consolidate": 0.0,
}


def make_scenario(surplus: str | None, days: int = 14) -> Scenario:
    return Scenario.model_validate(
        {
            "name": "surplus",
            "horizon": days,
            "network": {
                "dcs": [{"name": "dc", "supplier_lead_time": 4}],
                "stores": [{"name": name, "parent": "dc", "lead_time": 1} for name in "AB"],
            },
            "skus": [{"name": "mug", "category": "home", "store_demand": 10}],
            "categories": {"home": {"return_rate": 0}},
            "demand": {"process": "seasonal_normal", "noise": 0, "season_amplitude": 0},
            "forecast": {"method": "mean"},
            "start": {"on_hand": {"A": {"mug": 160}, "B": {"mug": 20}}},
            "coordination": {"surplus": surplus},
        }
    )


def run(surplus: str | None) -> tuple[list[int], list[int]]:
    """What the DC orders on each day, and how many walk-ins B loses."""
    scenario = make_scenario(surplus)
    env = BatchedEnv(scenario, 1)
    env.reset(make_seeds("test", 0, 1))
    rule = make_policy("order_up_to", scenario, PARAMETERS)
    orders, lost = [], []
    for _ in range(scenario.horizon):
        flows = rule.run_period(env).flows
        orders.append(int(flows.supplied.sum()))
        lost.append(int(flows.lost[0, 1].sum()))
    return orders, lost


def test_rule__a_full_store_starves_the_empty_one() -> None:
    """Echelons of 180 and 160 order nothing for 160; then 20, and the 10 a day that A sells.

    B sells what it has on two days and then waits until the order of day 2 has arrived, which is
    5 days later.
    """
    orders, lost = run(None)

    assert orders[:7] == [0, 0, 20, 10, 10, 10, 10]
    assert lost[:8] == [0, 0, 10, 10, 10, 10, 10, 0]


def test_rule__without_the_surplus_the_dc_orders_what_the_other_needs() -> None:
    """Of A's 160 units 80 count, its half of the target: 100 for 160, and 60 are ordered.

    B is without stock on days 2 to 4 alone, because nothing can be there before.
    """
    orders, lost = run("left_out")

    assert orders[:3] == [60, 10, 10]  # then the 10 a day that B sells, as long as it has any
    assert lost[:8] == [0, 0, 10, 10, 10, 0, 0, 0]
    assert sum(lost) == 30


def see(on_hand: list[int], surplus: str | None) -> tuple[Scenario, View]:
    """The first morning with this stock in the DC, A and B."""
    scenario = make_scenario(surplus)
    env = BatchedEnv(scenario, 1)
    env.reset(make_seeds("test", 0, 1))
    return scenario, replace(env.view, on_hand=np.array(on_hand).reshape(1, 3, 1))


@pytest.mark.parametrize(
    ("on_hand", "counted", "left_out"),
    [
        ([0, 160, 20], -20, 60),
        ([30, 160, 20], -50, 30),  # what the DC has counts as before
        ([0, 80, 80], 0, 0),  # no surplus: the same
        ([0, 100, 100], -40, 0),  # too much in both of them: no order either
    ],
)
@pytest.mark.parametrize("reorder_point", [False, True])
def test_rule__gaps_by_hand(
    on_hand: list[int], counted: int, left_out: int, reorder_point: bool
) -> None:
    for surplus, gap in ((None, counted), ("left_out", left_out)):
        scenario, view = see(on_hand, surplus)
        family = "reorder_point" if reorder_point else "order_up_to"
        gaps = PARAMETERS | ({"reorder_gap": 0.5} if reorder_point else {})
        targets = make_policy(family, scenario, gaps).compute_targets(view)
        assert targets.supplier_gap.item() == pytest.approx(gap)


def test_agents__leave_the_surplus_out_too() -> None:
    """Both ordering agents propose the same days, those of option 3: 9 days for both, 180 units."""
    gaps = []
    for surplus in (None, "left_out"):
        scenario, view = see([0, 160, 20], surplus)
        coordinator = Coordinator(scenario, BatchedEnv(scenario, 1).network)
        options = {m: np.full((1, 1, 1), 0) for m in ("shipping_high", "return_high")}
        options |= {m: np.full((1, 2, 1), 0) for m in ("shipping_low", "return_low")}
        options |= {"ordering_high": np.full((1, 1, 1), 3), "ordering_low": np.full((1, 3, 1), 3)}
        gaps.append(coordinator.compute_targets(options, view).supplier_gap.item())

    assert gaps == [pytest.approx(0), pytest.approx(70)]  # of A's 160 units 90 count


def test_plan__the_surplus_of_some_copies_alone() -> None:
    scenario, view = see([0, 160, 20], "left_out")
    plan = Plan.start(view, Setting.from_scenario(scenario)).select(np.array([0, 0]))

    plan.aim_echelons(np.full((2, 1, 1), 160.0))

    assert plan.supplier_gap.ravel().tolist() == [60, 60]
