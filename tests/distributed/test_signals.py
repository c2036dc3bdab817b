"""Signals and kills of a whole process group at random moments change nothing in the result."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from tests.distributed.commands import SMALL, start_command, wait_until

pytestmark = pytest.mark.distributed

LIMIT = ("--set", "env_runners.num_env_runners=2", "--episodes", "800")
STATUS = {signal.SIGTERM: 143, signal.SIGINT: 0, signal.SIGKILL: -signal.SIGKILL}
TIME_TO_SAVE_S = 10.0  # that Kubernetes and Slurm leave, at least


def read_final(run: Path) -> dict[str, bytes]:
    """Arrays and counters of the last checkpoint, but for the seconds of training."""
    folder = run / "checkpoints" / (run / "checkpoints" / "latest").read_text(encoding="utf-8")
    assert folder.name == "000800"
    found: dict[str, bytes] = {}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path, allow_pickle=False) as arrays:
            found |= {f"{path.name}/{name}": arrays[name].tobytes() for name in arrays}
    return found | {"counters": (folder / "counters.json").read_bytes()}


def send(run: Path, log: Path, number: int, rng: np.random.Generator) -> bool:
    """Begins the run or goes on, then sends a signal; returns whether the run was done before."""
    begun = (run / "checkpoints" / "latest").is_file()
    arguments = ["resume", str(run)] if begun else ["train", *SMALL, *LIMIT, "--run-dir", str(run)]
    metrics = run / "metrics.jsonl"
    size = metrics.stat().st_size if begun else 0
    with start_command(log, *arguments) as process:

        def is_training() -> bool:
            is_done = process.poll() is not None
            return is_done or (metrics.is_file() and metrics.stat().st_size > size)

        assert wait_until(is_training, 240, 0.05), log.read_text()
        time.sleep(rng.uniform(0, 1.0))
        if process.poll() is not None:
            return True
        os.killpg(process.pid, number)
        started = time.monotonic()
        status = process.wait(timeout=60)
        was_done = "evaluating on" in log.read_text()
        assert time.monotonic() - started < TIME_TO_SAVE_S
        assert status == STATUS[signal.Signals(number)] or was_done, log.read_text()
    return was_done


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_signals__at_thirty_random_moments_change_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with start_command(
        tmp_path / "log", "train", *SMALL, *LIMIT, "--run-dir", str(tmp_path / "whole")
    ) as process:
        assert process.wait(timeout=600) == 0, (tmp_path / "log").read_text()
    expected = read_final(tmp_path / "whole")

    sent, runs = 0, 0
    while sent < 30:
        runs += 1
        run = tmp_path / f"run{runs}"
        is_done = False
        while not is_done and sent < 30:
            number = (signal.SIGTERM, signal.SIGINT, signal.SIGKILL)[sent % 3]
            is_done = send(run, tmp_path / f"{sent}.log", number, rng)
            sent += not is_done
        if not is_done:
            with start_command(tmp_path / "last.log", "resume", str(run)) as process:
                assert process.wait(timeout=600) == 0, (tmp_path / "last.log").read_text()
        assert read_final(run) == expected
