"""`pip install .[serve]` in an empty environment: no Ray, no torch, and it answers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from envs.omnichannel.scenario import load_scenario
from tests.conftest import WritePolicy

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_serve_extra__answers_without_ray_and_torch(
    tmp_path: Path, write_policy: WritePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    policy = write_policy(load_scenario("tiny"))
    venv = tmp_path / "venv"
    command = venv / "bin" / "omnichannel"

    def run(*words: str | Path, status: int = 0) -> str:
        done = subprocess.run(
            [str(word) for word in words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout if status == 0 else done.stderr

    run(sys.executable, "-m", "venv", venv)
    run(venv / "bin" / "pip", "install", "--quiet", f"{ROOT}[serve]")

    listed = json.loads(run(venv / "bin" / "pip", "list", "--format", "json"))
    assert {"ray", "torch", "onnx"}.isdisjoint(package["name"] for package in listed)
    run(command, "scenario", "state-template", "tiny", "--out", "state.csv")
    given = ("--policy", policy, "--scenario", "tiny", "--state", "state.csv")
    run(command, "recommend", *given, "--out", "orders.csv", "--all")
    orders = (tmp_path / "orders.csv").read_text(encoding="utf-8")
    assert orders.count("\n") == 1 + 6
    code = "import marl.planning.serve, sys; print({'ray', 'torch'} & set(sys.modules))"
    assert run(venv / "bin" / "python", "-c", code) == "set()\n"
    for words in (("train",), ("evaluate", "mine.npz"), ("export", ".")):
        told = run(command, *words, status=2)
        assert "is not installed; install the extra 'train': pip install" in told
        assert told.count("\n") == 1
    assert not (tmp_path / "runs").exists()
