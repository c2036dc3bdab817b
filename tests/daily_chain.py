"""A chain of two stores whose items rise, end and begin: what the tests of the daily loop share."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from envs.omnichannel.scenario import Scenario
from envs.omnichannel.world.demand.recorded import RecordedDemand
from envs.omnichannel.world.demand.trace_file import encode_trace
from marl.planning.daily.learn_sales import Learnt, learn_sales
from marl.planning.rule_file import RuleMetadata, RulePolicy
from marl.policies.base import Setting
from marl.policies.families import get_family
from marl.policies.tuned import TunedRule

FIRST = date(2023, 1, 2)
STORES, SKUS = ["Berlin", "Koeln"], ["steady", "slow", "launched", "justnew", "ended", "rising"]
DAYS, RECORD = 328, 300  # days of the back-test, and of them in the scenario's record


def draw_units() -> np.ndarray:
    """Items with the lives that real ones have, (days, stores, SKUs, 1)."""
    generator = np.random.default_rng(3)
    mean = np.empty((DAYS, len(STORES), len(SKUS)))
    mean[:] = [4, 0.1, 8, 8, 6, 0.5]
    mean[: DAYS - 60, :, 2] = 0
    mean[: DAYS - 10, :, 3] = 0
    mean[100:, :, 4] = 0
    mean[DAYS - 28 :, :, 5] = 4
    return generator.poisson(mean)[..., None]


UNITS = draw_units()


def write_scenario(folder: Path, days: int, **changes: Any) -> Path:
    records = RecordedDemand(FIRST, STORES, SKUS, ["store"], UNITS[:days])
    (folder / f"sales-{days}.csv.gz").write_bytes(encode_trace(records))
    trace = {"process": "trace", "file": f"sales-{days}.csv.gz", "train_days": 240}
    data = {
        "name": "mine",
        "horizon": 28,
        "network": {
            "dcs": [{"name": "dc", "supplier_lead_time": 3}],
            "stores": [{"name": name, "parent": "dc", "lead_time": 1} for name in STORES],
        },
        "skus": [{"name": name, "category": "all"} for name in SKUS],
        "categories": {"all": {"return_rate": 0.0}},
        "demand": trace,
        "forecast": {"method": "running", "smoothing": 0.02, "variance_smoothing": 0.01},
    } | changes
    path = folder / f"mine-{days}.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return path


def write_sales(path: Path, first: int, end: int, header: str = "date,store,sku,units") -> Path:
    lines = [header]
    for day, store, sku, _ in np.argwhere(UNITS[first:end] > 0):
        units = UNITS[first + day, store, sku, 0]
        when = FIRST + timedelta(int(first + day))
        lines.append(f"{when},{STORES[store]},{SKUS[sku]},{units}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def learn(scenario: Scenario, folder: Path, first: int, end: int, **options: Any) -> Learnt:
    sales = write_sales(folder / "sales.csv", first, end)
    return learn_sales(scenario, sales, folder / "state.json", **options)


def make_rule(scenario: Scenario, family: str = "safety_stock") -> RulePolicy:
    setting = Setting.from_scenario(scenario)
    rule, rival = (
        TunedRule(family=name, parameters=get_family(name).make_space(setting).initial)
        for name in (family, "textbook")
    )
    return RulePolicy(
        RuleMetadata(
            scenario=scenario.name, scenario_hash=scenario.hash(), rule=rule, classical=[rival]
        )
    )


# On hand at the DC, in Berlin and in Koeln.
STOCK = {
    "steady": (150, 9, 400), "slow": (4, 1, 0), "launched": (300, 0, 12), "justnew": (300, 0, 12),
    "ended": (20, 3, 0), "rising": (60, 0, 0),
}  # fmt: skip


def write_stock(path: Path, day: int) -> Path:
    lines = ["day,node,sku,on_hand"]
    for sku, stock in STOCK.items():
        for node, units in zip(("dc", *STORES), stock, strict=True):
            lines.append(f"{day},{node},{sku},{units}")
    path.write_text("\n".join(lines), encoding="utf-8")
    return path
