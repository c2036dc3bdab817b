"""`omnichannel search`: real trials, interrupted and resumed; the best one on fresh episodes."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from marl.runs.folder import RunFolder
from tests.distributed.commands import SMALL, run_command, start_command, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.distributed, pytest.mark.timeout(1800)]

TRIALS = (
    *SMALL,
    *("--set", "env_runners.num_env_runners=2", "--episodes", "96"),
    *("--space", "learner.lr=loguniform(1e-4, 3e-3)", "--space", "learner.tau=choice(0.01, 0.05)"),
)


def count_lines(log: Path, trial: str) -> int:
    return sum(line.startswith(trial) for line in log.read_text().splitlines())


def check_results(folder: Path, num_samples: int) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((folder / "results.json").read_text())
    assert len(results["trials"]) == num_samples
    assert {trial["status"] for trial in results["trials"]} <= {"done", "stopped early"}
    rewards = [trial["best_reward"] for trial in results["trials"]]
    assert rewards == sorted(rewards, reverse=True)
    best = results["best"]
    assert best["name"] == results["trials"][0]["name"]
    interval = best["evaluation"]["policies"]["trained"]["metrics"]["reward"]
    assert interval["low"] <= interval["mean"] <= interval["high"]
    run = RunFolder.open(folder / "best")
    assert run.config.learner.lr == pytest.approx(best["values"]["learner.lr"], rel=1e-12)
    run.open_checkpoint()  # whole, byte for byte
    return results


def test_search__interrupted_and_resumed(tmp_path: Path) -> None:
    folder, log = tmp_path / "search", tmp_path / "log"

    with start_command(
        log, "search", *TRIALS, "--num-samples", "4", "--run-dir", str(folder)
    ) as process:
        assert wait_until(lambda: count_lines(log, "trial_00000") >= 1, 600), log.read_text()
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(timeout=120) == 0
    assert f"search --resume {folder} --trust" in log.read_text()
    assert json.loads((folder / "results.json").read_text())["best"] is None

    with start_command(log, "search", "--resume", str(folder), "--trust") as process:
        assert process.wait(timeout=1200) == 0, log.read_text()

    results = check_results(folder, 4)
    assert results["scheduler"] == "asha"
    lines = log.read_text()
    for word in ("best reward", "learner.lr", "paired differences", str(folder / "best")):
        assert word in lines


def test_search__population_ends(tmp_path: Path) -> None:
    folder, log = tmp_path / "search", tmp_path / "log"

    with start_command(
        log,
        "search",
        *TRIALS,
        "--scheduler",
        "pbt",
        "--num-samples",
        "2",
        "--set",
        "evaluation.interval_episodes=16",
        "--run-dir",
        str(folder),
    ) as process:
        assert process.wait(timeout=1500) == 0, log.read_text()

    results = check_results(folder, 2)
    assert [trial["percent"] for trial in results["trials"]] == [100, 100]


def test_search__resume_asks_for_trust(tmp_path: Path) -> None:
    found = run_command("search", "--resume", str(tmp_path))

    assert found.returncode == 2
    assert "is not allowed without --trust" in found.stderr
    assert found.stderr.count("\n") == 1
