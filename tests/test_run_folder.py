import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from unittest.mock import Mock

import pytest

from envs.errors import InputError
from envs.omnichannel.scenario import Scenario
from marl.commands.cli import main
from marl.config import load_config
from marl.errors import RunError
from marl.runs import folder
from marl.runs.folder import PROGRESS_FILE, RunFolder
from marl.runs.lock import lock_folder
from tests.conftest import make_progress


def hold_lock(folder: Path) -> subprocess.Popen[str]:
    """Starts a process that has locked a folder, and waits until it has."""
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom marl.runs.lock import lock_folder\n"
        f"lock_folder(Path({str(folder)!r}))\nprint('ready', flush=True)\ntime.sleep(60)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "ready\n"
    return holder


@pytest.fixture
def run(tmp_path: Path, tiny: Scenario) -> RunFolder:
    return RunFolder.create(tmp_path / "run", tiny, load_config())


def write_progress(folder: Path) -> None:
    (folder / PROGRESS_FILE).write_text(make_progress(1, 1000), encoding="utf-8")


def test_run_folder__opens_with_what_it_was_made_with(run: RunFolder) -> None:
    opened = RunFolder.open(run.path)

    assert opened == run


def test_run_folder__refuses_a_folder_in_use(run: RunFolder, tiny: Scenario) -> None:
    with pytest.raises(InputError, match=r"--run-dir: .* is not empty"):
        RunFolder.create(run.path, tiny, load_config())


def test_run_folder__refuses_to_open_another_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a run folder"):
        RunFolder.open(tmp_path)


def test_run_folder__without_checkpoint_says_so(run: RunFolder) -> None:
    with pytest.raises(InputError, match="has no checkpoint"):
        run.find_checkpoint("latest")


def test_run_folder__keeps_the_last_ones_and_the_best(run: RunFolder) -> None:
    for episodes in (100, 200, 300, 400):
        run.save_checkpoint(episodes, write_progress, is_best=episodes == 100)

    names = sorted(p.name for p in run.checkpoints.iterdir())
    assert names == ["000100", "000300", "000400", "best", "latest"]
    assert run.find_checkpoint("latest").name == "000400"
    assert run.find_checkpoint("best").name == "000100"


@contextmanager
def limit_file_size(num_bytes: int) -> Iterator[None]:
    """The system refuses to write larger files: a full disk as the kernel reports it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_run_folder__a_disk_that_fills_leaves_the_last_whole_checkpoint(run: RunFolder) -> None:
    run.save_checkpoint(100, write_progress, is_best=True)

    def write_much(folder: Path) -> None:
        write_progress(folder)
        (folder / "pool.npz").write_bytes(bytes(100_000))

    with limit_file_size(50_000), pytest.raises(RunError) as error:
        run.save_checkpoint(200, write_much, is_best=True)

    assert str(error.value) == (
        f"checkpoint 000200 of '{run.path}' cannot be saved (File too large); the last whole one "
        f"is 000100; go on from it with: omnichannel resume {run.path} --checkpoint 000100"
    )
    assert sorted(p.name for p in run.checkpoints.iterdir()) == ["000100", "best", "latest"]
    assert run.open_checkpoint().name == "000100"


def test_append_metrics__on_a_full_disk_says_so(run: RunFolder) -> None:
    with limit_file_size(0), pytest.raises(RunError, match=r"metrics.jsonl' cannot be written \(F"):
        run.append_metrics({"episodes": 1})


def test_run_folder__writing_a_name_again_replaces_the_checkpoint(run: RunFolder) -> None:
    run.save_checkpoint(100, write_progress, is_best=True)

    def write_other(folder: Path) -> None:
        (folder / PROGRESS_FILE).write_text(make_progress(2, 28), encoding="utf-8")

    run.save_checkpoint(100, write_other, is_best=False)

    assert run.load_progress() == json.loads(make_progress(2, 28))
    assert sorted(p.name for p in run.checkpoints.iterdir()) == ["000100", "best", "latest"]


PLANTED: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "link": lambda path: path.symlink_to("../config.yaml"),
    "folder link": lambda path: path.symlink_to(".."),
    "circle": lambda path: path.symlink_to(path.name),
    "file": lambda path: path.write_text("mine", encoding="utf-8"),
    "folder": lambda path: (path / "inner").mkdir(parents=True),
}


@pytest.mark.parametrize("name", ["000100", ".000100.partial", ".000100.old.partial"])
@pytest.mark.parametrize("plant", PLANTED.values(), ids=PLANTED)
def test_save_checkpoint__replaces_what_stands_in_its_place(
    run: RunFolder, name: str, plant: Callable[[Path], object]
) -> None:
    settings = (run.path / "config.yaml").read_text(encoding="utf-8")
    run.checkpoints.mkdir(exist_ok=True)
    plant(run.checkpoints / name)

    run.save_checkpoint(100, write_progress, is_best=False)

    assert sorted(p.name for p in run.checkpoints.iterdir()) == ["000100", "latest"]
    assert (run.path / "config.yaml").read_text(encoding="utf-8") == settings


@pytest.mark.parametrize("plant", PLANTED.values(), ids=PLANTED)
def test_rewind__removes_partial_checkpoints_of_any_kind(
    run: RunFolder, plant: Callable[[Path], object]
) -> None:
    run.save_checkpoint(100, write_progress, is_best=False)
    plant(run.checkpoints / ".000200.partial")

    run.rewind(run.checkpoints / "000100")

    assert sorted(p.name for p in run.checkpoints.iterdir()) == ["000100", "latest"]


def test_open_checkpoint__offers_the_last_whole_one_instead_of_a_damaged_one(
    run: RunFolder,
) -> None:
    for episodes in (100, 200, 300):
        run.save_checkpoint(episodes, write_progress, is_best=episodes == 100)
    for name in ("000200", "000300"):
        (run.checkpoints / name / PROGRESS_FILE).write_text('{"episodes": 7}', encoding="utf-8")

    with pytest.raises(InputError) as error:
        run.open_checkpoint()

    assert str(error.value) == (
        f"checkpoint: '{run.checkpoints}/000300/progress.json' is damaged; its size and SHA-256 "
        "are not the manifest's; the last whole one is 000100; go on from it with: "
        f"omnichannel resume {run.path} --checkpoint 000100"
    )
    assert run.open_checkpoint("000100").name == "000100"


def test_open_checkpoint__says_if_no_other_is_whole(run: RunFolder) -> None:
    run.save_checkpoint(100, write_progress, is_best=True)
    (run.checkpoints / "000100" / PROGRESS_FILE).write_text("{}", encoding="utf-8")

    with pytest.raises(InputError, match="there is no other whole checkpoint in this run"):
        run.open_checkpoint()


@pytest.mark.parametrize("name", ["000200", "../checkpoints/000100", "latest"])
def test_open_checkpoint__lists_what_there_is(run: RunFolder, name: str) -> None:
    run.save_checkpoint(100, write_progress, is_best=True)

    with pytest.raises(InputError, match=r"--checkpoint: .* is not known; there are: 000100"):
        run.open_checkpoint(name)


def test_rewind__drops_what_came_after_the_checkpoint(run: RunFolder) -> None:
    for episodes in (100, 200):
        run.save_checkpoint(episodes, write_progress, is_best=False)
        run.append_metrics({"episodes": episodes, "env_steps": 10 * episodes})
    with (run.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"episodes": 300, "env_')
    (run.checkpoints / ".000300.partial").mkdir()
    changed = RunFolder.open(run.path, ["learner.lr=0.5"])

    changed.rewind(run.checkpoints / "000100")

    assert run.find_checkpoint("latest").name == "000100"
    lines = (run.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["episodes"] for line in lines] == [100]
    assert sorted(p.name for p in run.checkpoints.iterdir()) == ["000100", "000200", "latest"]
    assert RunFolder.open(run.path).config.learner.lr == 0.5


def test_run_folder__a_pointer_to_nothing_is_no_checkpoint(run: RunFolder) -> None:
    run.save_checkpoint(100, write_progress, is_best=False)
    (run.checkpoints / "latest").write_text("000999", encoding="utf-8")

    with pytest.raises(InputError, match="has no checkpoint"):
        run.find_checkpoint("latest")


def test_lock__a_second_process_is_refused_until_the_first_has_ended(run: RunFolder) -> None:
    holder = hold_lock(run.path)
    try:
        with pytest.raises(InputError, match=rf"by another process \(process {holder.pid} on .+\)"):
            lock_folder(run.path)
    finally:
        holder.kill()
        holder.wait()

    lock_folder(run.path)
    lock_folder(run.path)  # the process that has it may ask again


def test_resume__of_a_run_that_another_process_writes_is_one_line(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    holder = hold_lock(run.path)
    monkeypatch.setattr(sys, "argv", ["omnichannel", "resume", str(run.path)])
    try:
        with pytest.raises(SystemExit) as stop:
            main()
    finally:
        holder.kill()
        holder.wait()

    assert stop.value.code == 2
    assert "is being written by another process" in capsys.readouterr().err


def test_run_folder__of_the_same_second_get_names_of_their_own(
    tmp_path: Path, tiny: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(folder, "datetime", Mock(now=lambda: datetime(2026, 1, 2, 3, 4, 5)))

    names = [RunFolder.create(None, tiny, load_config()).path.name for _ in range(3)]

    stem = "tiny-20260102-030405"
    assert names == [stem, f"{stem}-2", f"{stem}-3"]
