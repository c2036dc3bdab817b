"""A disk that fills during a run: the real command on a small file system of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from marl.runs.checkpoints import verify_checkpoint
from tests.distributed.commands import CODE, ENVIRONMENT, SMALL

pytestmark = [pytest.mark.distributed, pytest.mark.slow]


def test_train__on_a_full_disk_says_so_and_keeps_the_last_whole_checkpoint(tmp_path: Path) -> None:
    disk, left = tmp_path / "disk", tmp_path / "left"
    disk.mkdir()
    train = [sys.executable, "-c", CODE, "train", *SMALL, "--run-dir", str(disk / "run"),
             "--set", "checkpoints.keep=1000", "--episodes", "1000000"]  # fmt: skip
    script = (
        f'mount -t tmpfs -o size=6m none {disk} || exit 99; "$@"; status=$?; '
        f"cp -r {disk} {left}; exit $status"
    )

    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", *train],
        env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip

    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip("this machine lets nobody mount a file system")
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("error: checkpoint 0"), done.stderr
    assert done.stderr.count("\n") == 1
    assert "cannot be saved (No space left on device); the last whole one is 0" in done.stderr
    checkpoints = left / "run" / "checkpoints"
    whole = [path for path in sorted(checkpoints.iterdir()) if path.is_dir()]
    assert not [path for path in whole if path.name.startswith(".")]
    for path in whole:
        verify_checkpoint(path)
    assert (checkpoints / "latest").read_text(encoding="utf-8") == whole[-1].name
