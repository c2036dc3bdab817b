"""Broken and hostile files: one line or a result; no traceback, no hang, no orders from a lie."""

import shutil
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

import pytest
import yaml

from envs.omnichannel.scenario import load_scenario
from envs.omnichannel.world.demand.trace_file import encode_trace
from envs.omnichannel.world.simulator import Simulator
from marl.commands.cli import main
from marl.planning.export import export_policy
from marl.planning.stock_count import StockCountSchema
from tests.make_hostile_files import Case, make_cases, write_good_files
from tests.test_export import make_run
from tests.test_trace_file import make_records, write_scenario

CASES = list(make_cases())
SECONDS = 30


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


def run(case: Case, folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Runs the command; whatever escapes it fails the test."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise TimeoutError(f"{case} takes more than {SECONDS} s")

    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["omnichannel", *case.command.arguments])
    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        with pytest.raises(SystemExit) as stopped:
            main()
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return int(stopped.value.code or 0)


def check(
    case: Case,
    good: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    errors: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(good, folder)
    case.change(folder / case.file)
    names = {path.name for path in folder.iterdir()}

    status = run(case, folder, monkeypatch)

    told = errors.readouterr().err
    assert status in {0, 1, 2}
    assert status == 0 or (told.count("\n") == 1 and len(told) < 1500), told[:2000]
    assert "Traceback" not in told
    made = {path.name for path in folder.iterdir()} - names
    assert status == 0 or made == set()
    if case.file == "policy.onnx":
        assert status == 2, "a changed policy orders nothing"


def test_corpus__is_large() -> None:
    assert len(CASES) >= 400


@pytest.mark.parametrize("case", CASES[::13], ids=str)
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
