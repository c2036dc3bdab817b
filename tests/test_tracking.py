"""Runs in MLflow's local store and in Weights & Biases' offline files, and trackers that fail."""

import json
import struct
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.errors import InputError
from envs.omnichannel.scenario import Scenario
from marl.commands.console import check_trackers
from marl.commands.search import search
from marl.config import load_config
from marl.runs.folder import RunFolder
from marl.training import tracking
from marl.training.tracking import IDS_FILE, open_trackers

PIXELS = np.full((8, 6, 3), 200, np.uint8)


def make_run(path: Path, tiny: Scenario, *overrides: str) -> RunFolder:
    """A run folder, or the one that is there with other settings."""
    if path.exists():
        return RunFolder.open(path, list(overrides))
    return RunFolder.create(path, tiny, load_config("default", list(overrides)))


def write_session(run: RunFolder, steps: tuple[int, ...]) -> None:
    """What a session of training writes."""
    warnings: list[str] = []
    with open_trackers(run, warnings.append) as trackers:
        for tracker in trackers:
            for step in steps:
                tracker.add_scalars({"train/reward": step / 100, "eval/cost/late": 0.0}, step)
            tracker.add_image("eval/stock", PIXELS, "Bright: much.", steps[-1])
            tracker.add_files([run.path / "config.yaml"])
    assert warnings == []


class Fake:
    """A tracker in memory."""

    def __init__(self, run: RunFolder, run_id: str | None) -> None:
        self.run_id = run_id or "abc"
        self.calls: list[Any] = []

    def add_scalars(self, values: Any, env_steps: int) -> None:
        self.calls.append((values, env_steps))

    def add_image(self, *arguments: Any) -> None:
        self.calls.append(arguments)

    def add_files(self, files: Any) -> None:
        self.calls.append(files)

    def close(self, *, finished: bool) -> None:
        self.calls.append(finished)


@pytest.fixture
def mlflow_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    pytest.importorskip("mlflow", reason="the extra 'mlflow' is not installed")
    monkeypatch.chdir(tmp_path)  # artifacts lie in the working directory
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return f"sqlite:///{tmp_path}/mlflow.db"


def test_mlflow__a_resumed_run_goes_on_in_the_same_run(
    tmp_path: Path, tiny: Scenario, mlflow_store: str
) -> None:
    from mlflow import MlflowClient

    write_session(make_run(tmp_path / "run", tiny, "tracking.to=[mlflow]"), (10, 20))
    client = MlflowClient(mlflow_store)
    (found,) = client.search_runs([client.get_experiment_by_name("omnichannel").experiment_id])
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "run"
    resumed = make_run(tmp_path / "run", tiny, "learner.lr=0.25", "tracking.to=[mlflow]")
    write_session(resumed, (30,))

    (found,) = client.search_runs([found.info.experiment_id])
    assert json.loads((tmp_path / "run" / IDS_FILE).read_text()) == {"mlflow": found.info.run_id}
    history = client.get_metric_history(found.info.run_id, "train/reward")
    assert [(point.step, point.value) for point in history] == [(10, 0.1), (20, 0.2), (30, 0.3)]
    assert found.data.metrics["eval/cost/late"] == 0
    params, tags = found.data.params, found.data.tags
    assert (params["scenario"], params["learner.hidden"]) == ("tiny", "[64, 64]")
    assert (params["learner.lr"], tags["learner.lr"]) == ("0.001", "0.25")
    assert "learner.tau" not in tags  # it is as it was
    assert tags["eval/stock"] == "Bright: much."
    files = {file.path for file in client.list_artifacts(found.info.run_id)}
    assert files == {"config.yaml", "images"}


def read_wandb(folder: Path) -> list[Any]:
    """The records of an offline run in their order: a log in LevelDB's format."""
    from wandb.proto.wandb_internal_pb2 import Record

    (file,) = folder.glob("*.wandb")
    data, at, records, parts = file.read_bytes(), 7, [], b""
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:  # a block ends in padding
            at += left
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in {1, 4}:  # whole, or the last part
            records.append(Record.FromString(parts))
            parts = b""
    return records


def test_wandb__a_resumed_run_goes_on_under_the_same_id(
    tmp_path: Path, tiny: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb", reason="the extra 'wandb' is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    write_session(make_run(tmp_path / "run", tiny, "tracking.to=[wandb]"), (10, 20))
    time.sleep(1.0)  # its folders are named by the second
    resumed = make_run(tmp_path / "run", tiny, "learner.lr=0.25", "tracking.to=[wandb]")
    write_session(resumed, (30,))

    sessions = [read_wandb(f) for f in sorted((tmp_path / "run" / "wandb").glob("offline-run-*"))]
    runs = [next(r.run for r in records if r.HasField("run")) for records in sessions]
    (run_id,) = {run.run_id for run in runs}
    assert json.loads((tmp_path / "run" / IDS_FILE).read_text()) == {"wandb": run_id}
    assert {(run.project, run.display_name) for run in runs} == {("omnichannel", "run")}
    points = [
        {".".join(item.nested_key): json.loads(item.value_json) for item in r.history.item}
        for records in sessions
        for r in records
        if r.HasField("history")
    ]
    found = [(p["env_steps"], p["train/reward"]) for p in points if "train/reward" in p]
    assert found == [(10, 0.1), (20, 0.2), (30, 0.3)]
    pictures = [
        (p["env_steps"], p["eval/stock.width"], p["eval/stock.caption"])
        for p in points
        if "eval/stock.width" in p
    ]
    assert pictures == [(20, 6, "Bright: much."), (30, 6, "Bright: much.")]
    settings = {
        update.key or ".".join(update.nested_key): json.loads(update.value_json)
        for r in sessions[1]
        for update in r.config.update
    }
    assert (settings["scenario"], settings["learner.lr"]) == ("tiny", 0.25)
    (artifact,) = (
        r.request.log_artifact.artifact if r.HasField("request") else r.artifact
        for r in sessions[1]
        if r.HasField("artifact") or r.request.HasField("log_artifact")
    )
    assert artifact.name == f"result-{run_id}"
    assert [entry.path for entry in artifact.manifest.contents] == ["config.yaml"]


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_missing_library__is_one_line_that_names_the_extra(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("marl.commands.console.find_spec", lambda module: None)

    with pytest.raises(InputError) as raised:
        check_trackers(load_config("default", [f"tracking.to=[{name}]"]))
    assert str(raised.value) == (
        f"{name} is not installed; install the extra '{name}': "
        f"pip install 'omnichannel-marl[{name}]', or '.[{name}]' in this folder"
    )
    check_trackers(load_config())


def test_search__takes_no_trackers() -> None:
    with pytest.raises(InputError, match=r"^tracking\.to: is not allowed in a search"):
        search(scenario="tiny", overrides=["tracking.to=[mlflow]"])


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> list[Fake]:
    """Takes MLflow's place; every session's is in the list."""
    made: list[Fake] = []

    def make(run: RunFolder, run_id: str | None) -> Fake:
        made.append(Fake(run, run_id))
        return made[-1]

    monkeypatch.setitem(tracking.TRACKERS, "mlflow", make)
    return made


def test_close__says_whether_the_run_came_to_its_end(
    tmp_path: Path, tiny: Scenario, fakes: list[Fake]
) -> None:
    run = make_run(tmp_path / "run", tiny, "tracking.to=[mlflow]")
    write_session(run, (10,))
    with pytest.raises(KeyboardInterrupt), open_trackers(run, print):
        raise KeyboardInterrupt

    assert [fake.calls[-1] for fake in fakes] == [True, False]
    assert [fake.run_id for fake in fakes] == ["abc", "abc"]


def test_a_tracker_that_fails__costs_a_warning_and_no_training(
    tmp_path: Path, tiny: Scenario, fakes: list[Fake], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Fake, values: Any, env_steps: int) -> None:
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(Fake, "add_scalars", fail)
    warnings: list[str] = []
    with open_trackers(
        make_run(tmp_path / "run", tiny, "tracking.to=[mlflow]"), warnings.append
    ) as (tracker,):
        tracker.add_scalars({"a": 1.0}, 1)
        tracker.add_scalars({"a": 2.0}, 2)

    assert warnings == [
        "warning: mlflow failed (no route); nothing more is written to it, and training goes on"
    ]


def test_a_tracker_that_hangs__is_not_waited_for(
    tmp_path: Path, tiny: Scenario, fakes: list[Fake], monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    monkeypatch.setattr(Fake, "add_scalars", lambda *_: release.wait(20))
    monkeypatch.setattr(tracking, "PATIENCE_S", 0.05)
    warnings: list[str] = []
    started = time.monotonic()
    with open_trackers(
        make_run(tmp_path / "run", tiny, "tracking.to=[mlflow]"), warnings.append
    ) as (tracker,):
        tracker.add_scalars({"a": 1.0}, 1)
    release.set()

    assert time.monotonic() - started < 10
    assert warnings == ["warning: mlflow has not taken everything in 0.05 s"]


def test_a_tracker_that_cannot_be_opened__is_one_line_before_training(
    tmp_path: Path, tiny: Scenario, fakes: list[Fake], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(run: RunFolder, run_id: str | None) -> Fake:
        raise RuntimeError("no key" + "!" * 500 + "\nlog in first")

    monkeypatch.setitem(tracking.TRACKERS, "wandb", refuse)
    run = make_run(tmp_path / "run", tiny, "tracking.to=[mlflow,wandb]")

    with pytest.raises(InputError) as raised, open_trackers(run, print):
        pass
    assert str(raised.value) == (
        f"tracking.to: wandb cannot be used (no key{'!' * 194} ...); "
        "--set 'tracking.to=[]' trains without it"
    )
    assert fakes[0].calls == [False]  # the one that was open is closed


@pytest.mark.parametrize(
    "content", ["[]", '{"mlflow": 3}', '{"mlflow": "../x"}', '{"other": "abc"}', "{"]
)
def test_ids__that_are_damaged_are_one_line(
    tmp_path: Path, tiny: Scenario, fakes: list[Fake], content: str
) -> None:
    run = make_run(tmp_path / "run", tiny, "tracking.to=[mlflow]")
    (run.path / IDS_FILE).write_text(content)

    with pytest.raises(InputError, match=r"run: '.*tracking\.json'"), open_trackers(run, print):
        pass
    assert fakes == []
