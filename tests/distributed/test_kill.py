"""kill -9 of a whole run at any moment: it resumes from a whole checkpoint."""

import json
import time
from pathlib import Path

import numpy as np
import pytest

from marl.runs.checkpoints import verify_checkpoint
from tests.distributed.commands import SMALL, kill_group, start_command, wait_until

pytestmark = pytest.mark.distributed

INTERVAL = 32  # episodes between checkpoints, of SMALL


def read_latest(run: Path) -> str:
    return (run / "checkpoints" / "latest").read_text(encoding="utf-8")


def find_partials(run: Path) -> list[Path]:
    return list((run / "checkpoints").glob(".0*.partial"))


def read_trained_episodes(run: Path) -> int:
    """Episodes of the last line of metrics that is whole."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    return int(json.loads([line for line in lines if line.endswith("\n")][-1])["episodes"])


def kill_at_moment(run: Path, log: Path, moment: str, rng: np.random.Generator) -> None:
    """Trains or resumes, and kills the run at a random time of a phase."""
    if (run / "checkpoints" / "latest").exists():
        arguments = ["resume", str(run)]
        before = read_trained_episodes(run)
    else:
        arguments = ["train", *SMALL, "--episodes", "1000000", "--run-dir", str(run)]
        before = 0
    with start_command(log, *arguments) as process:
        if moment == "starting":
            time.sleep(rng.uniform(0.0, 12.0))
        else:
            assert wait_until((run / "metrics.jsonl").exists, 240), log.read_text()
            assert wait_until(lambda: read_trained_episodes(run) > before + INTERVAL, 240), (
                log.read_text()
            )
            time.sleep(rng.uniform(0.0, 1.0))
        if moment == "saving":
            assert wait_until(lambda: find_partials(run), 60, interval_s=0.0005)
        kill_group(process)


def check_run(run: Path) -> None:
    """`latest` names a whole checkpoint that is at most one interval old."""
    latest = read_latest(run)
    verify_checkpoint(run / "checkpoints" / latest)
    assert 0 <= read_trained_episodes(run) - int(latest) <= INTERVAL


def kill_and_resume(run: Path, tmp_path: Path, moments: list[str]) -> int:
    """Kills a run at each of the moments, resuming it in between; returns the saves hit."""
    rng = np.random.default_rng(0)
    hits = 0
    for number, moment in enumerate(moments):
        log = tmp_path / f"{number}.log"
        expected = read_latest(run) if number else ""
        kill_at_moment(run, log, moment, rng)
        check_run(run)
        hits += bool(find_partials(run))
        if moment != "starting" and number:
            assert f"resumed at episode {int(expected)}, " in log.read_text()
            assert f"(checkpoint {expected}, " in log.read_text()
    return hits


def test_kill__in_the_middle_of_a_save_loses_at_most_one_interval(tmp_path: Path) -> None:
    hits = kill_and_resume(tmp_path / "run", tmp_path, ["saving", "saving"])

    assert hits >= 1


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_kill__at_thirty_random_moments_loses_at_most_one_interval(tmp_path: Path) -> None:
    moments = ["training", *["saving", "training", "starting"] * 10][:30]

    hits = kill_and_resume(tmp_path / "run", tmp_path, moments)

    assert hits >= 5
