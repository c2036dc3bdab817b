"""What trackers show of a run that is trained and resumed as a user does it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from marl.training.tensorboard import OVERVIEW

SMALL = (
    *("--scenario", "tiny", "--set", "env_runners.num_envs_per_env_runner=8"),
    *("--set", "pool.min_env_steps=100", "--set", "evaluation.interval_episodes=16"),
    *("--set", "evaluation.validation_episodes=8", "--set", "evaluation.test_episodes=8"),
    *("--set", "learner.batch_size=64", "--set", "learner.env_steps_per_update=16"),
)


@pytest.mark.slow
def test_trackers__show_what_tensorboard_shows(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="the extra 'mlflow' is not installed")
    pytest.importorskip("wandb", reason="the extra 'wandb' is not installed")
    store = f"sqlite:///{tmp_path}/mlflow.db"
    environment = {
        **os.environ,
        "OMNICHANNEL_CACHE": str(tmp_path / "cache"),
        "PYTHONPATH": str(Path.cwd()),
        "MLFLOW_TRACKING_URI": store,
        "WANDB_MODE": "offline",
        "WANDB_CACHE_DIR": str(tmp_path / "wandb-cache"),
        "WANDB_DATA_DIR": str(tmp_path / "wandb-data"),
    }
    run = tmp_path / "run"
    for arguments in (
        ("train", *SMALL, "--set", "tracking.to=[mlflow,wandb]", "--set", "tracking.project=shop",
         "--episodes", "32", "--run-dir", str(run)),
        ("resume", str(run), "--episodes", "+16", "--set", "learner.lr=0.002"),
    ):  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "marl.commands.cli", *arguments],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=250,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        assert "warning" not in done.stdout

    events = EventAccumulator(str(run), size_guidance={"scalars": 0})
    events.Reload()
    tags = sorted(events.Tags()["scalars"])
    assert tags[:4] == list(OVERVIEW.values())
    points = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags}
    assert [tag for tag in tags if not any(value for _, value in points[tag])] == []
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    settings = HParamsPluginData.FromString(content).session_start_info.hparams
    assert settings["learner.lr"].number_value == 0.002

    client = mlflow.MlflowClient(store)
    (found,) = client.search_runs([client.get_experiment_by_name("shop").experiment_id])
    assert found.info.status == "FINISHED"
    assert (found.data.params["learner.lr"], found.data.tags["learner.lr"]) == ("0.001", "0.002")
    for tag in set(tags) - set(OVERVIEW.values()):
        history = client.get_metric_history(found.info.run_id, tag)
        shown = [(point.step, point.value) for point in history]
        first = next(i for i, (_, value) in enumerate(shown) if value)  # charts begin there
        assert shown[first:] == [(step, pytest.approx(value)) for step, value in points[tag]]
    files = {file.path for file in client.list_artifacts(found.info.run_id)}
    assert files == {"config.yaml", "scenario.yaml", "evaluation.json", "report.html", "images"}

    ids = json.loads((run / "tracking.json").read_text("utf-8"))
    assert ids["mlflow"] == found.info.run_id
    sessions = list((run / "wandb").glob(f"offline-run-*-{ids['wandb']}"))
    assert len(sessions) == 2
    assert all(list(session.glob("files/media/images/eval/stock_*.png")) for session in sessions)
