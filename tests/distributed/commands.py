"""The real command in processes of its own, which a test may kill as a whole."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = (  # heeds Ctrl-C, as what a shell starts in the foreground does
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from marl.commands.cli import main; sys.argv[0] = 'omnichannel'; main()"
)

# Seconds of training, and a checkpoint every few rounds.
SMALL = (
    *("--scenario", "tiny", "--config", "default"),
    *("--set", "env_runners.num_envs_per_env_runner=8"),
    *("--set", "pool.min_env_steps=100", "--set", "evaluation.interval_episodes=32"),
    *("--set", "evaluation.validation_episodes=2", "--set", "evaluation.test_episodes=2"),
    *("--set", "evaluation.baselines=[]", "--set", "pool.capacity_env_steps=4000"),
    *("--set", "learner.batch_size=32", "--set", "learner.env_steps_per_update=16"),
)
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CODE, *arguments],
        env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip


@contextmanager
def start_command(log: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Starts the command as a process group, which is killed at the end."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-u", "-c", CODE, *arguments],
            env=ENVIRONMENT, stdout=file, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        kill_group(process)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """kill -9 of the whole run."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_until(condition: Callable[[], object], timeout_s: float, interval_s: float = 0.2) -> bool:
    """Returns whether the condition came true in time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(interval_s)
    return False
