"""`contest`: residual agents against every classical family, tuned, as is and at equal service."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from typing import Any

from scipy.stats import trim_mean

from envs.omnichannel.scenario import load_scenario
from envs.omnichannel.world.draws import make_seeds
from marl.evaluation.evaluate import EpisodeRunner
from marl.evaluation.sources import load_learned
from scripts.reproduction.common import EPISODES, SEED, describe_policy, show, write_result
from scripts.reproduction.comparators import compare_grid, compare_rollouts, train_residual
from scripts.reproduction.rules import (
    STRICTER,
    climb_ladder,
    compare_with_ladder,
    describe_tuning,
    find_best_rule,
    tabulate_tuning,
)

CONTEST_MINUTES = 2.0
GAIN_COLUMNS = "gain in reward | cost saved, % | saved at equal on-time, % | on time, % | served, %"


def run_contest(options: argparse.Namespace) -> None:
    """Residual agents, rollouts and agents that know no rule, against every tuned family."""
    scenario = load_scenario(options.scenario)
    runner = EpisodeRunner(scenario, make_seeds("test", SEED, EPISODES), "evaluate", EPISODES)
    rule, found, rounds = find_best_rule(scenario, runner)
    best = rule.family
    ladder = [found[best], *climb_ladder(rule, scenario, runner)]
    seeds = []
    for seed in range(options.seeds):
        run = train_residual(options.scenario, rule, options.minutes, seed)
        learnt = runner.run(load_learned(run.find_checkpoint("best"), "learned", scenario))
        seeds.append({"seed": seed, **compare_with_ladder(learnt, ladder)})
        print(json.dumps(seeds[-1]), flush=True)
    others = []
    if options.rollout_episodes:
        others.append(compare_rollouts(scenario, rule, ladder, options))
    others += [
        compare_grid(options.scenario, runner, ladder, minutes)
        for minutes in sorted({options.minutes, options.grid_minutes})
    ]
    result = {
        "command": f"scripts/reproduce.py contest --scenario {options.scenario} "
        f"--seeds {options.seeds} --minutes {options.minutes:g} "
        f"--grid-minutes {options.grid_minutes:g} "
        f"--rollout-episodes {options.rollout_episodes} --futures {options.futures} "
        f"--rollout-horizons {' '.join(map(str, options.rollout_horizons))}",
        "episodes": EPISODES,
        "minutes": options.minutes,
        "best_classical": best,
        "tuning": [describe_tuning(entry) for entry in rounds],
        "policies": [describe_policy(name, metrics) for name, metrics in found.items()],
        "stricter": [
            describe_policy(f"{best} x{f:g}", m) for f, m in zip(STRICTER, ladder[1:], strict=True)
        ],
        "seeds": seeds,
        "others": others,
    }
    length = "" if options.minutes == CONTEST_MINUTES else f"-{options.minutes:g}min"
    write_result(f"contest-{scenario.name}{length}", result, tabulate_contest(result))


def tabulate_contest(result: Mapping[str, Any]) -> Iterator[str]:
    """The lines of the page."""
    best = result["best_classical"]
    yield "| policy | reward | on time, % | served, % | cost a day |"
    yield "|---|---|---|---|---|"
    for row in (*result["policies"], *result["stricter"]):
        yield (
            f"| {row['name']} | {show(row['reward'], 4)} | {show(row['on_time'], 2, 100)} | "
            f"{show(row['served'], 2, 100)} | {show(row['cost/total'], 1)} |"
        )
    yield ""
    yield f"`{best} xF` is the rule tuned with lost sales F times as dear, for equal service below."
    yield f"The budget of `{best}`:"
    yield ""
    yield from tabulate_tuning(result["tuning"])
    yield ""
    minutes = f"{result['minutes']:g} minutes on one core"
    yield f"Residual agents around `{best}`, {minutes}, paired with it:"
    yield ""
    yield f"| seed | {GAIN_COLUMNS} |"
    yield "|---|---|---|---|---|---|"
    for row in result["seeds"]:
        yield f"| {row['seed']} | {show_gains(row)} |"
    for name, label in (
        ("saved_share", "cost saved"),
        ("saved_share_at_equal_service", "saved at equal on-time"),
    ):
        means = [row[name]["mean"] for row in result["seeds"]]
        yield ""
        yield f"Interquartile mean over seeds, {label}: {100 * trim_mean(means, 0.25):.2f}%."
    if result.get("others"):
        yield from tabulate_others(result)


def tabulate_others(result: Mapping[str, Any]) -> Iterator[str]:
    """The lines on comparators that are neither tuned families nor residual agents."""
    yield ""
    yield f"Beside them, paired with `{result['best_classical']}` on the same episodes:"
    yield ""
    yield f"| policy | episodes | {GAIN_COLUMNS} |"
    yield "|---|---|---|---|---|---|---|"
    for row in result["others"]:
        yield f"| {row['name']} | {row['episodes']} | {show_gains(row)} |"
    yield ""
    yield "The agents of the absolute grid are the paper's, which know no rule."
    for row in result["others"]:
        if "seconds" in row:
            yield (
                "Rollouts try every option on so many imagined futures, for so many days after a "
                f"load and an order, before each decision: {row['seconds']:.0f} s in all."
            )


def show_gains(row: Mapping[str, Any]) -> str:
    """The cells of a comparison with the best rule, named by `GAIN_COLUMNS`."""
    return (
        f"{show(row['gain'], 4)} | {show(row['saved_share'], 2, 100)} | "
        f"{show(row['saved_share_at_equal_service'], 2, 100)} | {100 * row['on_time']:.2f} | "
        f"{100 * row['served']:.2f}"
    )
