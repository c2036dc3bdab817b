"""A retailer's rules in `from-data`: packs of the SKU file, and a file of rules in YAML."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from envs.errors import InputError
from envs.omnichannel.scenario import load_scenario
from marl.planning.from_data.make import Sources, make_scenario

_FIRST = date(2024, 1, 1)
RULES = """
order_rules:
  - {to: [dc_0], multiple: 24}
suppliers:
  - {name: dairy, skus: [milk], delivery_days: [tue, fri], minimum_value: 40}
  - {name: dry, lead_time: 3, weekly_budget: 500}
order_calendars:
  - {to: [north], delivery_days: [mon, thu]}
costs: {truck_capacity: 60, truck_cost: 4}
"""


def write_files(folder: Path, rules: str = RULES) -> Sources:
    """Eight weeks of two SKUs in a store, and what is known beside them."""
    rows = ["date,store,sku,units"]
    for day in range(56):
        today = _FIRST + timedelta(day)
        rows += [f"{today},north,milk,{5 + day % 3}", f"{today},north,flour,{2 + day % 2}"]
    for name, text in {
        "demand.csv": "\n".join(rows) + "\n",
        "skus.csv": "sku,price,unit_cost,pack,weight\nmilk,2,1,6,1.5\nflour,3,2,1,\n",
        "rules.yaml": rules,
    }.items():
        (folder / name).write_text(text, encoding="utf-8")
    return Sources(folder / "demand.csv", skus=folder / "skus.csv", rules=folder / "rules.yaml")


def test_rules__become_fields_of_the_scenario(tmp_path: Path) -> None:
    out = tmp_path / "my.yaml"
    make_scenario(write_files(tmp_path), out, fix=True)
    scenario = load_scenario(out)

    packs, layers = scenario.order_rules or []
    assert (packs.multiple, packs.skus) == (6, ["milk"])
    assert (layers.multiple, layers.to) == (24, ["dc_0"])
    assert [supplier.name for supplier in scenario.suppliers or []] == ["dairy", "dry"]
    assert {sku.name: sku.weight for sku in scenario.skus} == {"milk": 1.5, "flour": None}
    assert scenario.costs.truck_capacity == 60
    assert scenario.costs.holding_share_store is not None, "what the files say stays"
    schedule = scenario.schedule
    assert schedule is not None
    assert schedule.first_weekday == 0  # 1 January 2024 was a Monday
    assert "# as " in out.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ("skus: []", "skus: not allowed; allowed: order_rules"),
        ("order_rules: [{to: [nowhere], multiple: 6}]", "'nowhere' is not known"),
        ("suppliers: [{name: a, minimum_weight: 3}]", "weight of 'flour' is missing"),
        ("order_rules: [", "not valid YAML"),
        ("order_rules:", "order_rules: nothing is stated"),
    ],
)
def test_rules__refused_leave_nothing_behind(tmp_path: Path, rules: str, words: str) -> None:
    out = tmp_path / "my.yaml"
    with pytest.raises(InputError, match=words) as error:
        make_scenario(write_files(tmp_path, rules), out, fix=True)

    assert "\n" not in str(error.value)
    assert not out.exists()
