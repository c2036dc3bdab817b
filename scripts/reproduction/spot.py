"""`spot`: some forty stored numbers, computed anew and compared to the last bit."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, NamedTuple

from envs.omnichannel.scenario import load_scenario
from envs.omnichannel.world.draws import make_seeds
from marl.evaluation.bounds.optimum import LostSalesSystem, solve
from marl.evaluation.evaluate import EpisodeRunner
from marl.evaluation.sources import load_learned
from marl.evaluation.tuning import load_or_tune
from marl.policies import make_policy
from scripts.reproduction.agents import TRANSFER_EPISODES, enlarge
from scripts.reproduction.common import EPISODES, RESULTS, RUNS, SEED, describe_policy
from scripts.reproduction.order_quantities import OWMR_EPISODES, find_best_rules
from scripts.reproduction.variants import OPTIONS, make_ablation_row, read_curve, train_variant

METRICS = ("reward", "on_time", "served", "cost/total")
# Each page's scenario and episodes, for the policy that needs neither tuning nor training.
BEFORE = {
    "paper": ("paper", EPISODES),
    "retail": ("retail", 64),
    "owmr": ("owmr", OWMR_EPISODES),
    "contest-volatile": ("volatile", EPISODES),
    "contest-scarce": ("scarce", EPISODES),
}
TUNED = ("order_up_to", "forecast_order_up_to")  # on `paper`
TRAINED = ("defaults", "prioritized", "without_sharing")  # rows of `ablation`, from seed 0


class Spot(NamedTuple):
    """A stored number and the same one computed anew."""

    place: str
    stored: float
    found: float


def run_spot(options: argparse.Namespace) -> None:
    """Compares stored numbers with new ones; exits with 1 if any differs."""
    del options
    RUNS.mkdir(parents=True, exist_ok=True)
    spots = []
    for spot in chain(check_rules(), check_optima(), check_training()):
        spots.append(spot)
        word = "same" if spot.stored == spot.found else f"differs: {spot.found!r}"
        print(f"{spot.place:60} {spot.stored!r:22} {word}", flush=True)
    differing = sum(spot.stored != spot.found for spot in spots)
    print(f"{len(spots)} values, {differing} differ")
    sys.exit(differing > 0)


def check_rules() -> Iterator[Spot]:
    """Classical policies in all networks, in the episodes of their pages."""
    for page, (name, episodes) in BEFORE.items():
        scenario = load_scenario(name)
        runner = EpisodeRunner(scenario, make_seeds("test", SEED, episodes), "evaluate", EPISODES)
        stored = _find(_load(page)["policies"], "before")
        found = describe_policy("before", runner.run(make_policy("before", scenario)))
        yield from _compare(f"{page}: before", stored, found)
    scenario = load_scenario("paper")
    runner = EpisodeRunner(scenario, make_seeds("test", SEED, EPISODES), "evaluate", EPISODES)
    for family in TUNED:
        policy = make_policy(family, scenario, load_or_tune(family, scenario).parameters)
        stored = _find(_load("paper")["policies"], family)
        yield from _compare(f"paper: {family}", stored, describe_policy(family, runner.run(policy)))
    large = enlarge(scenario, stores=100, skus=50)
    runner = EpisodeRunner(large, make_seeds("test", SEED, TRANSFER_EPISODES), "evaluate")
    stored = _find(_load("transfer")["policies"], "before")
    found = describe_policy("before", runner.run(make_policy("before", large)))
    yield from _compare("transfer: before", stored, found)


def check_optima() -> Iterator[Spot]:
    """The first lost-sales systems' optimum and best rules, which need no simulation."""
    for row in _load("lost_sales")["instances"][:2]:
        system = LostSalesSystem(
            lead_time=row["lead_time"], mean=5, penalty=row["penalty"], holding=1
        )
        place = f"lost_sales: lead time {row['lead_time']}, penalty {row['penalty']}"
        yield Spot(f"{place}: optimum", row["optimum"], solve(system).cost)
        for rule, cost in find_best_rules(system).items():
            yield Spot(f"{place}: {rule}", row["rules"][rule], cost)


def check_training() -> Iterator[Spot]:
    """Trainings of the ablation from seed 0: the fresh episodes, and two validations before."""
    for name in TRAINED:
        stored = _find(_load("ablation")["rows"], name)
        run = train_variant("ablation", make_ablation_row(name, OPTIONS[name]), seed=0)
        seeds = make_seeds("test", SEED, EPISODES)
        policy = load_learned(run.find_checkpoint("best"), "learned", run.scenario)
        reward = EpisodeRunner(run.scenario, seeds, "evaluate", EPISODES).run(policy)["reward"]
        yield Spot(f"ablation: {name}: reward", stored["rewards"][0], float(reward.mean()))
        for which, found in enumerate(read_curve(run)[-2:]):
            value = stored["last_validations"][0][which]
            yield Spot(f"ablation: {name}: validation {which - 2}", value, found)


def _compare(place: str, stored: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[Spot]:
    for metric in METRICS:
        yield Spot(f"{place}: {metric}", stored[metric]["mean"], found[metric]["mean"])


def _load(page: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((RESULTS / f"{page}.json").read_text(encoding="utf-8"))
    return result


def _find(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(row for row in rows if row["name"] == name)
