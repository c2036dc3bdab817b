"""`spread`: agents that see how demand scatters, and order in sigmas, against those that do not."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.world.draws import make_seeds
from marl.evaluation.evaluate import EpisodeRunner
from marl.evaluation.tuning import load_or_tune
from marl.policies import make_policy
from marl.policies.tuned import TunedRule
from scripts.reproduction.agents import IN_PROCESS, Trained, compare_agents, tabulate_paper
from scripts.reproduction.common import RUNS, SEED
from scripts.reproduction.variants import Variant, compare_variants, tabulate_variants

AGENT_STEPS = 60_000  # env steps of the agents on two levels
_SEEN = {"observation": {"spread": True}}
_SIGMAS = {"actions": {"unit": "sigmas"}}
# The rules that residual agents depart from, tuned for less than their contests are: what is
# compared is how the agents learn.
_RULES: dict[str, tuple[str, dict[str, int]]] = {
    "volatile": ("full_truck", {"episodes": 8, "trials": 300}),
    "scarce": ("full_truck", {"episodes": 8, "trials": 300}),
    "retail": ("safety_stock_by_stock", {}),
}
_RECORDED = (
    "residual.choices=[supplier_order]", "residual.states=300",
    "env_runners.num_envs_per_env_runner=8", "evaluation.validation_episodes=16",
    "evaluation.interval_episodes=32",
)  # fmt: skip


def run_spread(options: argparse.Namespace) -> None:
    """The same training from the same seeds, with and without what tells of the spread."""
    name = options.scenario
    if name == "retail":
        compare_with_rule(name, options.seeds)
    elif name in _RULES:
        scenario = load_scenario(name)
        arguments = make_arguments(scenario, tune_rule(scenario))
        compare_arms(name, {"unseen": {}, "spread": _SEEN}, arguments, options.seeds)
    else:
        schedule = (
            f"learner.anneal_env_steps={AGENT_STEPS}",
            f"exploration.anneal_env_steps={AGENT_STEPS}",
        )
        arguments = ("--env-steps", str(AGENT_STEPS), *make_sets(schedule))
        both: dict[str, Any] = _SEEN | _SIGMAS
        arms: dict[str, dict[str, Any]] = {"days": {}, "spread": _SEEN, "spread, sigmas": both}
        compare_arms(name, arms, arguments, options.seeds)


def compare_arms(
    name: str, arms: Mapping[str, dict[str, Any]], arguments: tuple[str, ...], num_seeds: int
) -> None:
    """The same training in changed scenarios, against each other."""
    rows = [Variant(arm, str(write_arm(name, arm, own)), arguments) for arm, own in arms.items()]
    compare_variants("spread", rows, num_seeds, f"--scenario {name}", page=f"spread-{name}")


def compare_with_rule(name: str, num_seeds: int) -> None:
    """Residual agents, against the rule that they depart from."""
    scenario, seeds = load_scenario(name), make_seeds("test", SEED, 64)
    rule = tune_rule(scenario)
    policy = make_policy(rule.family, scenario, rule.parameters)
    found = {rule.family: EpisodeRunner(scenario, seeds, "evaluate", 64).run(policy)}
    trained = []
    for arm, own in (("unseen", {}), ("spread", _SEEN)):
        file = write_arm(name, arm, own)
        arguments = ("--scenario", str(file), *make_arguments(scenario, rule), *IN_PROCESS)
        trained.append(Trained(arm, arguments, load_scenario(file)))
    command = f"spread --scenario {name}"
    compare_agents(f"spread-{name}", trained, seeds, found, num_seeds, command=command)


def tune_rule(scenario: Scenario) -> TunedRule:
    """Returns the rule that residual agents depart from."""
    family, search = _RULES[scenario.name]
    return load_or_tune(family, scenario, **search)  # type: ignore[arg-type]


def make_arguments(scenario: Scenario, rule: TunedRule) -> tuple[str, ...]:
    """Of the training of agents around a rule."""
    episodes = 96 if scenario.name == "retail" else 240
    settings = (
        f"residual.reference={rule.family}",
        f"residual.parameters={json.dumps(dict(rule.parameters))}",
        f"learner.anneal_env_steps={episodes * scenario.horizon}",
        *(_RECORDED if scenario.name == "retail" else ()),
    )
    return ("--config", "residual", "--episodes", str(episodes), *make_sets(settings))


def make_sets(settings: tuple[str, ...]) -> tuple[str, ...]:
    """Settings as words of a command line."""
    return tuple(word for setting in settings for word in ("--set", setting))


def tabulate_spread(result: Mapping[str, Any]) -> Iterator[str]:
    """The lines of a page: agents against a rule, or against each other."""
    return (tabulate_paper if "best_classical" in result else tabulate_variants)(result)


def write_arm(name: str, arm: str, changes: Mapping[str, Any]) -> Path:
    """Writes the scenario with these changes; returns the file."""
    data = load_scenario(name).model_dump(mode="json", exclude_none=True)
    file = RUNS / f"{name}-{arm.replace(', ', '-')}.yaml"
    RUNS.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump({**data, **changes}, sort_keys=False), encoding="utf-8")
    return file
