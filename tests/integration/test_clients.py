"""Other libraries' learners run on the cell view as they are: the scripts of examples/clients."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples/clients"

# Script -> what it needs, and the last lines that it prints.
CLIENTS = {
    "supersuit_sb3": (["supersuit", "stable_baselines3"], r"learned from 480 decisions"),
    "tianshou_dqn": (["tianshou"], r"learned from 320 decisions"),
    "agilerl_ippo": (["agilerl", "peft"], r"learned from 56 periods"),
    "benchmarl_cells": (
        ["benchmarl", "torchrl"],
        r"ippo: 28 periods(?s:.*)mappo: 28 periods(?s:.*)qmix: 28 periods",
    ),
    "rllib_dqn": (["ray"], r"28 env steps\n56 env steps"),
}
QUICK = {"supersuit_sb3"}


@pytest.mark.timeout(600)  # torch and Ray start slowly on a busy machine
@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in CLIENTS]
)
def test_client__runs(name: str) -> None:
    needed, printed = CLIENTS[name]
    missing = [package for package in needed if find_spec(package) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; the script says how")
    done = subprocess.run(
        [sys.executable, f"examples/clients/{name}.py"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(Path.home())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(rf"{printed}\n?$", done.stdout), done.stdout


def test_clients__are_all_run_and_short() -> None:
    scripts = {path.stem: path.read_text("utf-8") for path in FOLDER.glob("*.py")}
    assert set(scripts) == set(CLIENTS)
    assert max(len(text.splitlines()) for text in scripts.values()) <= 100
