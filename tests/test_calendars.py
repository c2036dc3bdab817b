"""Calendars: the days on which orders are taken and arrive, in the simulator, rules and agents."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pytest

from envs.errors import InputError
from envs.omnichannel.agents.positions import compute_store_rate
from envs.omnichannel.agents.protection import Protection
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.scenario.schedule import Schedule
from envs.omnichannel.types import IntArray
from envs.omnichannel.world.draws import make_seeds
from envs.validation import validate_model
from marl.policies import make_policy

STORE_0, STORE_1 = 1, 2  # nodes of `tiny`, whose DC is node 0
WEEK = np.arange(7)
EVERY_DAY = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def change(name: str = "tiny", **settings: Any) -> Scenario:
    """A built-in scenario with these settings."""
    data = load_scenario(name).model_dump(mode="json", exclude_none=True)
    return validate_model(Scenario, data | settings, name)


def make_schedule(name: str = "tiny", **settings: Any) -> Schedule:
    """The schedule of a changed scenario."""
    schedule = change(name, **settings).schedule
    assert schedule is not None
    return schedule


def run(scenario: Scenario, policy: str | None = None, periods: int = 20) -> list[Any]:
    """Decisions and states of an episode, under a rule or under agents that do the same daily."""
    env = BatchedEnv(scenario, 3)
    env.reset(make_seeds("calendars", 0, 3))
    rule = None if policy is None else make_policy(policy, scenario)
    seen = []
    for _ in range(periods):
        if rule is None:
            options = {
                m: np.full((3, spec.num_agents, env.network.num_skus), spec.initial_option)
                for m, spec in env.layout.modules.items()
            }
            step = env.step(options)
        else:
            step = rule.run_period(env)
        seen.append((env.state, step.flows))
    return seen


def test_schedule__takes_an_order_on_the_last_day_for_each_delivery() -> None:
    schedule = make_schedule(
        order_calendars=[{"to": ["store_0", "store_1"], "delivery_days": ["tue", "fri"]}]
    )
    takes, lead = schedule.take_orders(WEEK)[..., 0], schedule.count_lead_time(WEEK)[..., 0]

    # Lead times of one and two days: ordered on Monday and Thursday, on Sunday and Wednesday.
    assert np.flatnonzero(takes[:, STORE_0]).tolist() == [0, 3]
    assert np.flatnonzero(takes[:, STORE_1]).tolist() == [2, 6]
    assert lead[takes[:, STORE_0], STORE_0].tolist() == [1, 1]
    assert lead[takes[:, STORE_1], STORE_1].tolist() == [2, 2]
    assert schedule.count_protection(WEEK)[:, STORE_0, 0].tolist() == [4, 3, 2, 5, 4, 3, 2]


def test_schedule__lead_times_by_weekday_are_order_days() -> None:
    schedule = make_schedule(order_calendars=[{"lead_times": {"mon": 4, "fri": 2}}])

    assert np.flatnonzero(schedule.take_orders(WEEK)[:, 0, 0]).tolist() == [0, 4]
    assert schedule.count_lead_time(np.array([0, 4]))[:, 0, 0].tolist() == [4, 2]
    # From Monday, until Friday's order arrives on Sunday; from Friday, until Monday's on Friday.
    assert schedule.count_protection(np.array([0, 4]))[:, 0, 0].tolist() == [6, 7]


def test_schedule__weeks_go_on_for_ever_after_holidays() -> None:
    holiday = "2017-01-17"  # a Tuesday; the record begins on a Sunday
    schedule = make_schedule(
        "retail", order_calendars=[{"delivery_days": ["tue"], "holidays": [holiday]}]
    )
    tuesday = (date(2017, 1, 17) - date(2017, 1, 1)).days
    dc_lead = load_scenario("retail").network.dcs[0].supplier_lead_time
    days = tuesday - dc_lead + 7 * np.arange(-1, 60)

    lead = schedule.count_lead_time(days)[:, 0, 0]
    takes = schedule.take_orders(days)[:, 0, 0]
    # What would come on the holiday comes a week later, and can be ordered until then.
    assert takes.tolist() == [True, False] + [True] * 59
    assert lead[takes].tolist() == [dc_lead] * 60


def test_schedule__of_several_suppliers_the_first_that_takes_orders_has_it() -> None:
    schedule = make_schedule(
        suppliers=[
            {"name": "weekly", "order_days": ["wed"], "lead_time": 5},
            {"name": "daily", "lead_time": 2},
        ]
    )
    assert schedule.name_suppliers(WEEK)[:, 0, 0].tolist() == [1, 1, 0, 1, 1, 1, 1]
    assert schedule.count_lead_time(WEEK)[:, 0, 0].tolist() == [2, 2, 5, 2, 2, 2, 2]


def test_orders__leave_on_order_days_and_arrive_on_delivery_days() -> None:
    scenario = change(
        order_calendars=[
            {"to": ["dc_0"], "order_days": ["mon"], "delivery_days": ["thu"]},
            {"to": ["store_0", "store_1"], "delivery_days": ["tue", "fri"]},
        ]
    )
    seen = run(scenario, "forecast_order_up_to", 28)
    for state, flows in seen:
        weekday = (state.day - 1) % 7  # of the period that has ended
        assert not flows.supplied[weekday != 0].any()
        assert not flows.shipped[~np.isin(weekday, [0, 3]), 0].any()
        assert not flows.shipped[~np.isin(weekday, [2, 6]), 1].any()
        tomorrow = (state.day + 1) % 7
        assert not state.in_transit[~np.isin(tomorrow, [1, 4]), 0, 1:].any()
    assert sum(flows.supplied.sum() for _, flows in seen) > 0
    assert sum(flows.shipped.sum() for _, flows in seen) > 0


@pytest.mark.parametrize("policy", [None, "forecast_order_up_to", "safety_stock", "full_truck"])
@pytest.mark.parametrize("name", ["tiny", "volatile"])
def test_calendar__of_all_days_changes_nothing(name: str, policy: str | None) -> None:
    plain = run(load_scenario(name), policy)
    daily = run(change(name, order_calendars=[{"order_days": EVERY_DAY}]), policy)

    for (before, moved), (after, same) in zip(plain, daily, strict=True):
        assert np.array_equal(before.on_hand, after.on_hand)
        assert np.array_equal(moved.shipped, same.shipped)
        assert np.array_equal(moved.supplied, same.supplied)


def test_calendar__of_all_days_keeps_random_lead_times() -> None:
    random = change("tiny").model_dump(mode="json", exclude_none=True)["network"]
    random["stores"][0] |= {"random_lead_time": {1: 0.5, 3: 0.5}}
    calendar = [{"order_days": EVERY_DAY}]
    plain = run(change(network=random), "order_up_to")
    daily = run(change(network=random, order_calendars=calendar), "order_up_to")

    assert np.array_equal(plain[-1][0].on_hand, daily[-1][0].on_hand)


def test_random_lead_times__wait_for_a_delivery_day() -> None:
    network = change().model_dump(mode="json", exclude_none=True)["network"]
    network["stores"][0] |= {"random_lead_time": {1: 0.5, 3: 0.5}}
    schedule = make_schedule(
        network=network, order_calendars=[{"order_days": EVERY_DAY, "delivery_days": ["fri"]}]
    )
    drawn: IntArray = np.ones((7, 3, 2), np.int64)

    assert schedule.count_lead_time(WEEK, drawn)[:, STORE_0, 0].tolist() == [4, 3, 2, 1, 7, 6, 5]


def test_protection__of_an_echelon_lasts_until_the_next_order_is_in_the_stores() -> None:
    scenario = change(
        order_calendars=[
            {"to": ["dc_0"], "order_days": ["mon"], "lead_times": {"mon": 3}},
            {"to": ["store_0", "store_1"], "order_days": ["fri"]},
        ]
    )
    protection = Protection(BatchedEnv(scenario, 1).network).at(np.array([0]))

    # Next Monday's order is in the DC on day 10, and leaves on Friday for one day or two.
    assert protection.echelon_days[0, :, 0].tolist() == [12, 12]
    assert protection.store_days[0, :, 0].tolist() == [4 + 1, 4 + 2]


def test_agents__cover_the_days_until_the_next_delivery() -> None:
    low: dict[str, Any] = {"coordination": {"strategy": "low_only"}}
    calendar = [{"to": ["store_0"], "order_days": ["mon"]}]
    gaps, rates = [], []
    for scenario in (change(**low), change(**low, order_calendars=calendar)):
        env = BatchedEnv(scenario, 1)
        env.reset(make_seeds("calendars", 0, 1))
        options = {
            m: np.full((1, spec.num_agents, env.network.num_skus), spec.initial_option)
            for m, spec in env.layout.modules.items()
        }
        targets = env.coordinator.compute_targets(options, env.view)
        gaps.append(targets.shipment_gap[0])
        rates.append(compute_store_rate(env.view, targets.online_share)[0])

    # A Wednesday: next Monday's order arrives in six days, a day's order in two.
    assert env.view.day.tolist() == [9]
    np.testing.assert_allclose(gaps[1][0] - gaps[0][0], 4 * rates[0][0])
    np.testing.assert_array_equal(gaps[1][1], gaps[0][1])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"order_calendars": [{"to": ["nowhere"]}]}, "order_calendars.0.to: 'nowhere'"),
        ({"order_calendars": [{"skus": ["none"]}]}, "order_calendars.0.skus: 'none'"),
        ({"order_calendars": [{"order_days": ["monday"]}]}, "order_days"),
        ({"order_calendars": [{"order_days": ["mon"], "lead_times": {"tue": 2}}]}, "mon is m"),
        ({"order_calendars": [{"holidays": ["2017-01-01"]}]}, "has no dates"),
        ({"suppliers": [{"name": "dc_0"}]}, "used twice"),
        ({"suppliers": [{"name": "a", "to": ["store_0"]}]}, "suppliers.0.to: 'store_0'"),
        ({"suppliers": [{"name": "a", "unit_cost": {"x": 1}}]}, "'x' is not known"),
        ({"suppliers": [{"name": "a", "cut_off": "25:00"}]}, "cut_off"),
    ],
)  # fmt: skip
def test_calendar__refuses(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as error:
        change(**settings)
    assert "\n" not in str(error.value)


def test_calendar__is_about_days() -> None:
    weekly = load_scenario("tiny").model_copy(update={"period": "week"})
    data = weekly.model_dump(mode="json", exclude_none=True) | {
        "order_calendars": [{"order_days": ["mon"]}]
    }
    with pytest.raises(InputError, match="period week"):
        validate_model(Scenario, data, "tiny")


def test_dcs__do_not_ship_what_waits_for_a_delivery_day() -> None:
    network = load_scenario("tiny").model_dump(mode="json", exclude_none=True)["network"]
    network["dcs"][0] |= {"supplier_lead_time": 0}
    calendar = [{"to": ["dc_0"], "order_days": EVERY_DAY, "delivery_days": ["fri"]}]

    for state, _ in run(change(network=network, order_calendars=calendar), "order_up_to"):
        assert (state.on_hand >= 0).all()
