"""The VN2 contest: policies by window, against the organiser's benchmark."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from envs.errors import InputError
from envs.omnichannel.types import FloatArray
from marl.evaluation.statistics import compute_mean_interval
from marl.runs.files import write_file
from scripts.reproduction.common import show, write_result
from scripts.reproduction.vn2_best import choose_best, choose_textbook, learn_beside_best
from scripts.reproduction.vn2_choice import Chooser, cut, list_windows
from scripts.reproduction.vn2_files import Contest, describe_contest, load_contest
from scripts.reproduction.vn2_forecast import Forecaster
from scripts.reproduction.vn2_protocol import WEEKS, OrderRule, compute_score, replay
from scripts.reproduction.vn2_rules import Benchmark, order_nothing

BENCHMARK = "benchmark"


@dataclass(frozen=True)
class Tools:
    """What all policies of a command share, so that nothing is computed twice."""

    chooser: Chooser = field(default_factory=Chooser)
    forecaster: Forecaster = field(default_factory=Forecaster)


# Each makes a rule from the weeks to the origin, and from nothing later.
POLICIES: dict[str, Callable[[Contest, Tools], OrderRule]] = {
    "none": lambda past, tools: order_nothing,
    BENCHMARK: lambda past, tools: Benchmark(),
    "textbook": lambda past, tools: choose_textbook(past, tools.chooser),
    "best": lambda past, tools: choose_best(past, tools.chooser, tools.forecaster),
    "learned": lambda past, tools: learn_beside_best(past, tools.chooser, tools.forecaster),
}
SHOWN = tuple(name for name in POLICIES if name != "none")


def run_vn2(options: argparse.Namespace) -> None:
    """Replays one origin, or rolling windows before the last possible one with their page."""
    try:
        contest = load_contest(read_folder(options))
        print(describe_contest(contest), file=sys.stderr)
        result = run_windows(contest, options) if options.windows else run_origin(contest, options)
        if options.json:
            write_file(options.json, json.dumps(result, indent=2) + "\n", "--json")
    except InputError as error:
        raise SystemExit(f"error: {error}") from None


def read_folder(options: argparse.Namespace) -> Path:
    """Returns the folder of the contest's files.

    Raises:
        InputError: if it or a policy that is asked for is missing.
    """
    if options.data is None or not options.data.is_dir():
        raise InputError(f"--data: '{options.data}' is no folder; the contest's files lie in one")
    unknown = [name for name in options.policies or () if name not in POLICIES]
    if unknown:
        raise InputError(f"--policies: '{unknown[0]}' is not known; {', '.join(POLICIES)} are")
    if "learned" in (options.policies or POLICIES) and find_spec("torch") is None:
        raise InputError("--policies: 'learned' needs PyTorch; install the extra 'train'")
    return options.data


def run_origin(contest: Contest, options: argparse.Namespace) -> dict[str, Any]:
    """Returns each policy's costs by week at one origin, and prints them.

    Raises:
        InputError: if the origin is missing, or the weeks after it are.
    """
    try:
        origin = date.fromisoformat(options.origin or "")
    except ValueError:
        raise InputError(
            f"--origin: '{options.origin}' is not a date; the last known week's Monday, "
            "YYYY-MM-DD, is needed (or --windows)"
        ) from None
    known = contest.find_origin(origin, WEEKS)
    tools = Tools()
    policies = {}
    for name in options.policies or POLICIES:
        costs = run_policy(name, contest, known, tools)
        policies[name] = {"weeks": costs.tolist(), "score": compute_score(costs)}
        weeks = " ".join(f"{cost:8.1f}" for cost in costs)
        print(f"{name:10}{weeks}   weeks 3 to 8: {policies[name]['score']:9.1f}", flush=True)
    return {"origin": str(origin), "policies": policies}


def run_policy(name: str, contest: Contest, known: int, tools: Tools) -> FloatArray:
    """Returns the costs of a policy that is made from the weeks to an origin, (8,)."""
    return replay(contest, known, POLICIES[name](cut(contest, known), tools))


def run_windows(contest: Contest, options: argparse.Namespace) -> dict[str, Any]:
    """Returns each policy's score on rolling windows, and writes their page.

    Raises:
        InputError: if fewer windows fit into the weeks.
    """
    weeks = contest.in_stock.shape[1]
    windows = list_windows(weeks - WEEKS, options.windows)
    if len(windows) < options.windows:
        raise InputError(
            f"--windows: {options.windows} is not allowed; 1 to {len(windows)} are, with "
            f"{weeks} weeks of sales"
        )
    names = [name for name in options.policies or SHOWN if name != BENCHMARK]
    tools = Tools()
    scores: dict[str, list[float]] = {}
    seconds: dict[str, float] = {}
    for name in (BENCHMARK, *names):
        start = time.process_time()
        costs = [run_policy(name, contest, known, tools) for known in windows]
        scores[name] = [compute_score(cost) for cost in costs]
        seconds[name] = time.process_time() - start
    result = {
        "command": f"scripts/reproduce.py vn2 --data DIR --windows {options.windows}",
        "origins": [str(contest.get_week(known - 1)) for known in windows],
        "scores": scores,
        "below": {name: measure_savings(scores[BENCHMARK], scores[name]) for name in names},
        "seconds": seconds,
    }
    write_result("vn2", result, tabulate_vn2(result))
    return result


def measure_savings(benchmark: list[float], scores: list[float]) -> dict[str, float]:
    """Returns how far a policy is below the benchmark, as a share, with its interval."""
    return asdict(compute_mean_interval(1 - np.array(scores) / np.array(benchmark)))


def tabulate_vn2(result: Mapping[str, Any]) -> Iterator[str]:
    """Yields the lines of the page."""
    names = list(result["scores"])
    yield from (
        "Each row is a window of the VN2 contest's protocol that ends before the contest: cost of",
        "weeks 3 to 8, official start stock, rules chosen on the windows before the origin alone.",
        "The scored weeks of two windows do not overlap.",
        "",
        f"| origin | {' | '.join(names)} |",
        f"|---|{'---|' * len(names)}",
    )
    for row, origin in enumerate(result["origins"]):
        cells = " | ".join(f"{result['scores'][name][row]:,.1f}" for name in names)
        yield f"| {origin} | {cells} |"
    means = " | ".join(f"{np.mean(result['scores'][name]):,.1f}" for name in names)
    below = [
        show(result["below"][name], 1, 100) if name in result["below"] else "" for name in names
    ]
    yield f"| mean | {means} |"
    yield f"| below the benchmark, % | {' | '.join(below)} |"
    seconds = " | ".join(f"{result['seconds'][name]:.0f}" for name in names)
    yield f"| seconds of a core, choosing included | {seconds} |"
