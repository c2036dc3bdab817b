"""What all parts need: runs, policies, intervals, the page and its numbers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from envs.omnichannel.scenario import Scenario
from envs.omnichannel.world.account.metrics import EpisodeMetrics
from marl.evaluation.evaluate import EpisodeRunner
from marl.evaluation.statistics import Interval, compute_mean_interval
from marl.evaluation.tuning import load_or_tune
from marl.policies import list_families, make_policy
from marl.runs.folder import RunFolder

ROOT = Path(__file__).resolve().parents[2]
RUNS = ROOT / "runs" / "reproduce"
RESULTS = ROOT / "docs" / "results"
EPISODES = 256  # fresh ones, of every policy
SEED = 1_000  # of the fresh episodes, away from those of all training seeds


def train(name: str, *arguments: str, one_core: bool = False) -> RunFolder:
    """Trains as a user does, unless the run is there and whole.

    Args:
        name: of the run's folder.
        arguments: of the command.
        one_core: whether the command and all its threads share one core.
    """
    folder = RUNS / name
    if not (folder / "evaluation.json").is_file():
        command = [sys.executable, "-m", "marl.commands.cli"]
        go_on = (folder / "checkpoints").is_dir()
        if folder.is_dir() and not go_on:  # it was cut before its first checkpoint
            shutil.rmtree(folder)
        task = ["resume", str(folder)] if go_on else ["train", "--run-dir", str(folder), *arguments]
        if one_core:
            command = ["taskset", "--cpu-list", str(min(os.sched_getaffinity(0))), *command]
        subprocess.run([*command, *task, "--quiet"], check=True, cwd=ROOT, stdout=sys.stderr)
    return RunFolder.open(folder)


def get_seconds(run: RunFolder) -> float:
    """How long the run has trained, validation included."""
    seconds: float = run.load_progress(run.find_checkpoint("latest"))["progress"]["seconds"]
    return seconds


def run_families(scenario: Scenario, runner: EpisodeRunner) -> dict[str, EpisodeMetrics]:
    """Runs `before` and every classical family, tuned."""
    found = {"before": runner.run(make_policy("before", scenario))}
    for family in list_families(scenario):
        tuned = load_or_tune(family, scenario)
        found[family] = runner.run(make_policy(family, scenario, tuned.parameters))
        print(f"{family}: {found[family]['reward'].mean():.4f}", flush=True)
    return found


def choose_best(found: Mapping[str, EpisodeMetrics]) -> str:
    """The policy with the highest mean reward."""
    return max(found, key=lambda name: found[name]["reward"].mean())


def describe_policy(name: str, metrics: EpisodeMetrics) -> dict[str, Any]:
    """Means with intervals of what the tables show."""
    shown = ("reward", "on_time", "served", "cost/total")
    return {"name": name, **{m: asdict(compute_mean_interval(metrics[m])) for m in shown}}


def scale(interval: Interval, unit: float) -> dict[str, float]:
    """An interval in another unit."""
    return {key: value / unit for key, value in asdict(interval).items()}


def show(interval: Mapping[str, float], decimals: int, factor: float = 1) -> str:
    """Mean +- half width."""
    half = (interval["high"] - interval["low"]) / 2
    return f"{factor * interval['mean']:.{decimals}f} ± {factor * half:.{decimals}f}"


def write_result(name: str, result: Mapping[str, Any], lines: Iterable[str]) -> None:
    """Writes the numbers and the table."""
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    page = make_page(name, result, lines)
    (RESULTS / f"{name}.md").write_text(page, encoding="utf-8")
    print(page)


def make_page(name: str, result: Mapping[str, Any], lines: Iterable[str]) -> str:
    """The page of a result: its name, the command that regenerates it, its lines."""
    command = f"`{result['command']}`{describe_episodes(result)}."
    return "\n".join((f"# {name}", "", command, "", *lines)) + "\n"


def describe_episodes(result: Mapping[str, Any]) -> str:
    """How many episodes a result was measured in, if it was."""
    return f", {result['episodes']} fresh episodes" if "episodes" in result else ""
