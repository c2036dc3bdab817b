"""Broken and hostile files: one line or a result; no traceback, no hang, no orders from a lie."""

import os
import resource
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

import pytest
import yaml

from envs.errors import InputError
from envs.omnichannel.scenario import load_scenario
from envs.omnichannel.world.demand.trace_file import encode_trace
from envs.omnichannel.world.simulator import Simulator
from marl.commands.cli import main
from marl.config import load_config
from marl.planning.export import export_policy
from marl.planning.goals_file import read_goals
from marl.planning.stock_count import StockCountSchema
from marl.runs.folder import RunFolder
from tests.make_hostile_files import Case, make_cases, write_good_files
from tests.make_hostile_runs import OUTSIDE, make_run_cases
from tests.test_export import make_run
from tests.test_trace_file import make_records, write_scenario

CASES = list(make_cases())
RUN_CASES = list(make_run_cases())
SECONDS = 30
MOST_BYTES = 2 * 1024**3  # of address space, beyond what the interpreter and its libraries have


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a good file of every kind."""
    folder, tiny = tmp_path_factory.mktemp("good"), load_scenario("tiny")
    traced = write_scenario(folder, file="trace.csv.gz")
    traced.rename(folder / "traced.yaml")
    (folder / "trace.csv.gz").write_bytes(encode_trace(make_records()))
    write_good_files(folder)
    make_run(folder / "run", tiny)
    export_policy(folder / "run", folder / "policy.onnx")
    (folder / "mine.yaml").write_text(yaml.safe_dump(tiny.model_dump(mode="json")), "utf-8")
    state = StockCountSchema(Simulator(tiny)).make_template()
    (folder / "state.csv").write_text(state, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def good_run(tmp_path_factory: pytest.TempPathFactory, ray_session: None) -> Path:
    """A folder with a run that was trained, evaluated and reported."""
    from marl.commands.train import run_training

    folder = tmp_path_factory.mktemp("good")
    settings = (
        *("env_runners.num_env_runners=0", "env_runners.num_envs_per_env_runner=16"),
        *("pool.min_env_steps=200", "pool.capacity_env_steps=2000", "learner.hidden=[16, 16]"),
        *("learner.batch_size=32", "evaluation.validation_episodes=2", "evaluation.baselines=[]"),
        *("evaluation.test_episodes=2", "evaluation.interval_episodes=32", "stop.episodes=32"),
    )
    run = RunFolder.create(
        folder / "run", load_scenario("tiny"), load_config("default", [*settings])
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("marl.training.ray_start.start_ray", lambda *_: None)
        run_training(run, None, 0.0, quiet=True)
    shutil.copy(run.path / "evaluation.json", run.path / "ablation.json")
    (run.path / "report.html").unlink()
    return folder


@contextmanager
def limit() -> Iterator[None]:
    """Ends what runs for `SECONDS`, and refuses it more than `MOST_BYTES` of memory."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise TimeoutError(f"more than {SECONDS} s")

    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    least, most = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    space = pages * os.sysconf("SC_PAGE_SIZE") + MOST_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (space, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (least, most))
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def run_command(case: Case, folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Runs the command; whatever escapes it fails the test."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["omnichannel", *case.command.arguments])
    monkeypatch.setattr("marl.training.ray_start.start_ray", lambda *_: None)  # it runs already
    monkeypatch.setattr("marl.commands.cli.leave", sys.exit)  # and is to run on
    with limit(), pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


def check(
    case: Case,
    good: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    errors: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(good, folder)
    outside = folder.with_name(OUTSIDE)
    outside.write_text("mine", encoding="utf-8")
    case.change(folder / case.file)
    names = {path.name for path in folder.iterdir()}

    status = run_command(case, folder, monkeypatch)

    told = errors.readouterr().err
    assert status in {0, 1, 2}
    assert status == 0 or (told.count("\n") == 1 and len(told) < 1500), told[:2000]
    assert "Traceback" not in told
    made = {path.name for path in folder.iterdir()} - names
    assert status == 0 or made == set()
    assert not [*folder.rglob("*.partial"), *folder.rglob(".from-data-*")]
    if case.file == "policy.onnx":
        assert status == 2, "a changed policy orders nothing"
    assert outside.read_text(encoding="utf-8") == "mine"
    shutil.rmtree(folder)


def test_goals__in_a_circle_of_links_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "new").symlink_to("later")

    with pytest.raises(InputError, match=r"--goals: '.*circle' cannot be read"):
        read_goals(tmp_path / "circle", 1)
    assert read_goals(tmp_path / "new", 1) is None


def test_corpus__is_large() -> None:
    assert len(CASES) + len(RUN_CASES) >= 400


# Those of a policy's arrays and their document, which need no Ray.
POLICY_CASES = [
    case
    for case in RUN_CASES
    if case.file.endswith("policy.npz") and case.command.name in {"evaluate", "export-run"}
]


@pytest.mark.parametrize("case", CASES[::13] + POLICY_CASES[::7], ids=str)
def test_command__a_hostile_file_is_one_line(
    case: Case,
    good: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    check(case, good, tmp_path / "case", monkeypatch, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_command__every_hostile_file_is_one_line(
    case: Case,
    good: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    check(case, good, tmp_path / "case", monkeypatch, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("case", RUN_CASES, ids=str)
def test_command__every_hostile_run_folder_is_one_line(
    case: Case,
    good_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    check(case, good_run, tmp_path / "case", monkeypatch, capsys)
