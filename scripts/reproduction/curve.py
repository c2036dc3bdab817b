"""`curve`: what residual agents gain over the best rule as they train, and where it flattens."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from envs.omnichannel.scenario import load_scenario
from envs.omnichannel.world.draws import make_seeds
from marl.evaluation.evaluate import EpisodeRunner
from marl.evaluation.sources import load_learned
from scripts.reproduction.common import EPISODES, RESULTS, SEED, write_result
from scripts.reproduction.comparators import train_residual
from scripts.reproduction.contest import GAIN_COLUMNS, show_gains
from scripts.reproduction.plot import Line, draw_lines
from scripts.reproduction.rules import climb_ladder, compare_with_ladder, find_best_rule


def run_curve(options: argparse.Namespace) -> None:
    """Validations of long runs, each with a schedule that ends with it."""
    scenario = load_scenario(options.scenario)
    runner = EpisodeRunner(scenario, make_seeds("test", SEED, EPISODES), "evaluate", EPISODES)
    rule, found, _ = find_best_rule(scenario, runner)
    ladder = [found[rule.family], *climb_ladder(rule, scenario, runner)]
    runs = []
    for seed in range(options.seeds):
        run = train_residual(options.scenario, rule, options.minutes, seed)
        learnt = runner.run(load_learned(run.find_checkpoint("best"), "learned", scenario))
        compared = compare_with_ladder(learnt, ladder)
        runs.append({"seed": seed, **compared, "validations": read_validations(run.path)})
        print(json.dumps(compared), flush=True)
    result = {
        "command": f"scripts/reproduce.py curve --scenario {options.scenario} "
        f"--seeds {options.seeds} --minutes {options.minutes:g}",
        "episodes": EPISODES,
        "scenario": scenario.name,
        "minutes": options.minutes,
        "best_classical": rule.family,
        "runs": runs,
    }
    name = f"curve-{scenario.name}"
    (RESULTS / f"{name}.svg").write_text(draw_curve(result), encoding="utf-8")
    write_result(name, result, tabulate_curve(result))


def read_validations(run: Path) -> list[dict[str, float]]:
    """Time trained, gains over the untrained policy, which is the rule, and service.

    Every validation runs the same episodes, so the differences are paired.
    """
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if "eval/reward" in row]
    return [
        {
            "minutes": row["seconds"] / 60,
            "env_steps": row["env_steps"],
            "gain": row["eval/reward"] - rows[0]["eval/reward"],
            "saved_share": 1 - row["eval/cost/total"] / rows[0]["eval/cost/total"],
            "on_time": row["eval/on_time"],
        }
        for row in rows
    ]


def draw_curve(result: Mapping[str, Any]) -> str:
    """The picture: cost saved over minutes, a line a seed."""
    lines = [
        Line(
            f"seed {run['seed']}",
            [row["minutes"] for row in run["validations"]],
            [100 * row["saved_share"] for row in run["validations"]],
        )
        for run in result["runs"]
    ]
    return draw_lines(lines, "minutes of training on one core", "cost saved on validation, %")


def tabulate_curve(result: Mapping[str, Any]) -> Iterator[str]:
    """The lines of the page."""
    best = result["best_classical"]
    yield f"Residual agents around `{best}`, {result['minutes']:g} minutes on one core; the"
    yield "learning rate's schedule ends with the run. The curve shows all validations, on the same"
    yield "episodes each time; the best one's policy then met fresh episodes."
    yield ""
    yield f"![cost saved over minutes of training](curve-{result['scenario']}.svg)"
    yield ""
    yield f"| seed | {GAIN_COLUMNS} |"
    yield "|---|---|---|---|---|---|"
    for run in result["runs"]:
        yield f"| {run['seed']} | {show_gains(run)} |"
    yield ""
    yield "Means of validations by part of the training time, over all seeds:"
    yield ""
    yield "| minutes | env steps, to | gain in reward | cost saved, % | on time, % |"
    yield "|---|---|---|---|---|"
    for first, last, rows in group_validations(result):
        gain, saved, on_time = (
            sum(row[key] for row in rows) / len(rows) for key in ("gain", "saved_share", "on_time")
        )
        steps = max(row["env_steps"] for row in rows)
        yield (
            f"| {first:g} to {last:g} | {steps:,} | {gain:.4f} | {100 * saved:.2f} | "
            f"{100 * on_time:.2f} |"
        )


def group_validations(
    result: Mapping[str, Any], parts: int = 10
) -> Iterator[tuple[float, float, list[dict[str, float]]]]:
    """Equal parts of the training time, from and to, and the validations within that are any."""
    width = result["minutes"] / parts
    after_start = [row for run in result["runs"] for row in run["validations"][1:]]
    for part in range(parts):
        first, last = part * width, (part + 1) * width
        ends = last if part + 1 < parts else float("inf")  # the last one comes after the end
        rows = [row for row in after_start if first < row["minutes"] <= ends]
        if rows:
            yield first, last, rows
