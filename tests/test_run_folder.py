from pathlib import Path

import pytest

from envs.errors import InputError
from envs.omnichannel.scenario import Scenario
from marl.config import load_config
from marl.run_folder import PROGRESS_FILE, RunFolder


@pytest.fixture
def run(tmp_path: Path, tiny: Scenario) -> RunFolder:
    return RunFolder.create(tmp_path / "run", tiny, load_config())


def write_progress(folder: Path) -> None:
    (folder / PROGRESS_FILE).write_text('{"episodes": 1}', encoding="utf-8")


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


def test_run_folder__a_save_that_fails_leaves_the_last_whole_checkpoint(run: RunFolder) -> None:
    run.save_checkpoint(100, write_progress, is_best=True)

    def fail(folder: Path) -> None:
        write_progress(folder)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        run.save_checkpoint(200, fail, is_best=True)

    assert run.find_checkpoint("latest").name == "000100"
    assert run.find_checkpoint("best").name == "000100"


def test_run_folder__a_pointer_to_nothing_is_no_checkpoint(run: RunFolder) -> None:
    run.save_checkpoint(100, write_progress, is_best=False)
    (run.checkpoints / "latest").write_text("000999", encoding="utf-8")

    with pytest.raises(InputError, match="has no checkpoint"):
        run.find_checkpoint("latest")
