"""Every script in examples/ runs and prints what it says."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "examples"

# Name -> what it prints. Those that import torch or start Ray run in a process of their own.
QUICK = {
    "pettingzoo_random": r"parallel: mean reward -?\d\.\d{3}\nin turns: 140 decisions\n",
    "gymnasium_random": r"one copy: return .*\n16 copies: last rewards .* to .*\n",
    "own_policy": r"mine - before: reward [+-]\d\.\d{4} ± \d\.\d{4}\n",
    "own_coordinator": r"mean of .* reward -?\d\.\d{4}\nmedian of .* reward -?\d\.\d{4}\n",
    "own_agent": r"as they start: +reward \d\.\d{4}\nwith your orders: +reward \d\.\d{4}\n",
}
SLOW = {
    "gymnasium_sb3": r"mean return after 256 steps: -?\d+\.\d\d\n",
    "rllib_stock": r"140 env steps: return .*\n280 env steps: return .*\n",
    "rllib_method": r"(iteration [24]: reward 0\.\d{3}\n){2}goes on with iteration 5\n",
    "training_by_hand": r"untrained: reward \d\.\d{3}\nlearned: reward \d\.\d{3}\n",
    "train_and_evaluate": r"(?s).*before +trained.*on time, %.*cost/total.*",
}


@pytest.mark.parametrize("name", QUICK)
def test_example__runs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    assert re.fullmatch(QUICK[name], capsys.readouterr().out)


@pytest.mark.slow
@pytest.mark.timeout(600)  # Ray starts slowly on a busy machine
@pytest.mark.parametrize("name", SLOW)
def test_example__runs_in_its_own_process(name: str) -> None:
    done = subprocess.run(
        [sys.executable, f"examples/{name}.py"],
        cwd=FOLDER.parent,
        env={"PYTHONPATH": str(FOLDER.parent), "PATH": "/usr/bin:/bin", "HOME": str(Path.home())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(SLOW[name], done.stdout)


def test_examples__are_all_run_and_short() -> None:
    scripts = {path.stem: path.read_text("utf-8") for path in FOLDER.glob("*.py")}
    assert set(scripts) == {*QUICK, *SLOW}
    assert max(len(text.splitlines()) for text in scripts.values()) <= 45
