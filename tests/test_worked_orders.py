"""Ten days of orders by hand: two suppliers, packs, delivery days, a minimum and a phase-out."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.world.draws import make_seeds
from envs.validation import parse_yaml, validate_model
from marl.policies import make_policy

DOCS = Path(__file__).parents[1] / "docs" / "scenarios.md"
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class Day(NamedTuple):
    """A morning's stock, today's orders, and the stock in the evening."""

    weekday: str
    milk: int
    flour: int
    order_milk: int
    order_flour: int
    milk_evening: int
    flour_evening: int


def make_scenario() -> Scenario:
    """The scenario of the docs."""
    text = DOCS.read_text(encoding="utf-8")
    block = text.split("<!-- ten days -->\n```yaml\n")[1].split("```")[0]
    return validate_model(Scenario, parse_yaml(block, "docs"), "docs")


def walk() -> list[Day]:
    """The ten days under the rule of the docs."""
    scenario = make_scenario()
    env = BatchedEnv(scenario, 1)
    env.reset(make_seeds("worked", 0, 1))
    values = {
        "online_share": 0.0,
        "store_z_0": 0.0,
        "dc_z_0": 0.0,
        "restock": 1.0,
        "consolidate": 0.0,
    }
    rule = make_policy("safety_stock", scenario, values)
    days = []
    for _ in range(10):
        weekday, morning = int(env.state.day[0]) % 7, env.state.on_hand[0].sum(axis=0)
        flows = rule.run_period(env).flows
        order, evening = flows.supplied[0, 0], flows.on_hand[0].sum(axis=0)
        units = (*morning.tolist(), *order.tolist(), *evening.tolist())
        days.append(Day(WEEKDAYS[weekday], *units))
    return days


# Worked by hand; the docs say how.
BY_HAND = [
    Day("Mon", 8, 14, 12, 0, 3, 11),
    Day("Tue", 15, 11, 0, 0, 10, 8),
    Day("Wed", 10, 8, 0, 24, 5, 5),
    Day("Thu", 5, 5, 18, 0, 0, 2),
    Day("Fri", 18, 26, 0, 0, 13, 23),
    Day("Sat", 13, 23, 0, 0, 8, 20),
    Day("Sun", 8, 20, 0, 0, 3, 17),
    Day("Mon", 3, 17, 18, 0, 0, 14),
    Day("Tue", 18, 14, 0, 0, 13, 14),
    Day("Wed", 13, 14, 0, 0, 8, 14),
]


def test_ten_days__are_those_worked_by_hand() -> None:
    assert walk() == BY_HAND


def test_ten_days__stand_in_the_docs() -> None:
    table = DOCS.read_text(encoding="utf-8").split("### Ten days by hand")[1]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:11]

    for number, (row, day) in enumerate(zip(rows, BY_HAND, strict=True)):
        assert row == f"| {number} {day.weekday} | {' | '.join(map(str, day[1:]))} |"
