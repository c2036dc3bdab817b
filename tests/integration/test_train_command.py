"""Train, look, interrupt and resume as a user does: the real command in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from envs.omnichannel.agents.roster import MODULES
from envs.omnichannel.world.account.costs import TERMS

SMALL = (
    *("--scenario", "tiny", "--config", "default"),
    *("--set", "env_runners.num_envs_per_env_runner=8"),
    *("--set", "pool.min_env_steps=100", "--set", "evaluation.interval_episodes=32"),
    *("--set", "evaluation.validation_episodes=8", "--set", "evaluation.test_episodes=16"),
    *("--set", "learner.batch_size=64", "--set", "learner.env_steps_per_update=16"),
)


def command(*arguments: str) -> list[str]:
    # Whoever runs the tests under nohup, or in the background of a script, ignores both signals.
    code = (
        "import signal, sys; signal.signal(signal.SIGHUP, signal.SIG_DFL); "
        "signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from marl.commands.cli import main; sys.argv[0] = 'omnichannel'; main()"
    )
    return [sys.executable, "-c", code, *arguments]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "OMNICHANNEL_CACHE": str(tmp_path / "cache")}


def read_tags(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def test_train__then_resume(tmp_path: Path, environment: dict[str, str]) -> None:
    run = tmp_path / "run"

    first = subprocess.run(
        command("train", *SMALL, "--episodes", "64", "--run-dir", str(run)),
        env=environment, capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip

    assert first.returncode == 0, first.stderr
    assert first.stderr == ""
    for word in (
        "before",
        "untrained",
        "trained",
        "on time, %",
        "lost_sales",
        "resume",
        " of 49 updates",
    ):
        assert word in first.stdout
    written = {path.name for path in run.iterdir()}
    assert written >= {"config.yaml", "scenario.yaml", "versions.json", "metrics.jsonl",
                       "evaluation.json", "report.html", "checkpoints"}  # fmt: skip
    evaluation = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    assert {"before", "order_up_to", "trained"} <= evaluation["policies"].keys()
    assert (run / "checkpoints" / "latest").read_text(encoding="utf-8") == "000064"

    second = subprocess.run(
        command("resume", str(run), "--episodes", "+32"),
        env=environment, capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip

    assert second.returncode == 0, second.stderr
    assert (
        "resumed at episode 64, env step 896, update 49, epsilon 0.1493, 896 env steps in the pool"
        in second.stdout
    )
    assert (run / "checkpoints" / "latest").read_text(encoding="utf-8") == "000096"
    lines = [json.loads(line) for line in (run / "metrics.jsonl").open(encoding="utf-8")]
    check_tags(read_tags(run), lines)
    assert lines[-1]["episodes"] == 96
    for counter in ("episodes", "env_steps", "seconds"):
        assert [x[counter] for x in lines] == sorted(x[counter] for x in lines)
    assert lines[0]["seconds"] == 0 < lines[-1]["seconds"]


def test_train__that_ends_before_the_first_update_says_so(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    done = subprocess.run(
        # The limit is over before training begins: it counts from the command's start.
        command("train", *SMALL, "--minutes", "0.001", "--run-dir", str(tmp_path / "run")),
        env=environment, capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip

    assert done.returncode == 0
    for rule in ("order_up_to", "forecast_order_up_to"):
        assert f"\ntuning {rule} is cut after 9 of 600 trials" in done.stderr
    assert "Traceback" not in done.stderr
    assert "tuning" not in done.stdout.partition("evaluating")[0]
    assert "rests on         no update: the run ended before the first one" in done.stdout
    lines = (tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1  # the validation before training


def check_tags(tags: dict[str, list[tuple[int, float]]], lines: list[dict[str, float]]) -> None:
    names = ["reward", "service_level", *(f"cost/{term}" for term in TERMS)]
    expected = {f"{phase}/{name}" for phase in ("train", "eval") for name in names}
    expected |= {"train/epsilon", "feedback/learning_rate_scale"}
    expected |= {"speed/env_steps_per_second", "speed/transitions_learnt_per_second"}
    expected |= {f"train/td_error/{m}" for m in MODULES} | {f"pool/{m}/size" for m in MODULES}
    not_zero = {tag for line in lines for tag, value in line.items() if value}
    assert expected <= {tag for line in lines for tag in line}
    assert expected & not_zero <= tags.keys()
    # Twelve rounds of 8 copies x 14 periods over both sessions; the x axis is env steps.
    assert [step for step, _ in tags["train/reward"]] == [112 * n for n in range(1, 13)]
    assert [step for step, _ in tags["eval/reward"]] == [0, 448, 896, 1344]
    # The asked replay ratio of 16, from the first update on and after the resume.
    ratios = [value for _, value in tags["pool/env_steps_per_update"]]
    assert len(ratios) >= 9
    assert ratios == pytest.approx([16] * len(ratios), rel=0.02)
    sizes = [value for _, value in tags["pool/ordering_low/size"]]
    assert sizes == [112 * n * 3 * 2 for n in range(1, 13)]


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (signal.SIGTERM, 143),
        pytest.param(signal.SIGINT, 0, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, 129, marks=pytest.mark.slow),
    ],
)
def test_train__interrupted_saves_and_says_how_to_go_on(
    tmp_path: Path, environment: dict[str, str], number: int, status: int
) -> None:
    run = tmp_path / "run"
    process = subprocess.Popen(
        command("train", *SMALL, "--episodes", "1000000", "--run-dir", str(run)),
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        metrics = run / "metrics.jsonl"
        while time.monotonic() < deadline and process.poll() is None:
            if metrics.exists() and len(metrics.read_text(encoding="utf-8").splitlines()) > 5:
                break
            time.sleep(0.2)
        process.send_signal(number)
        printed, errors = process.communicate(timeout=60)
    finally:
        process.kill()

    assert process.returncode == status, errors
    assert not errors
    assert "Go on with: " in printed
    assert f"omnichannel resume {run}" in printed
    latest = (run / "checkpoints" / "latest").read_text(encoding="utf-8")
    progress = json.loads((run / "checkpoints" / latest / "progress.json").read_text("utf-8"))
    last = json.loads(metrics.read_text(encoding="utf-8").splitlines()[-1])
    assert progress["episodes"] == last["episodes"] > 0
    assert not (run / "evaluation.json").exists()
