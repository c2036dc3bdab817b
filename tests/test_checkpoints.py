import json
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.errors import InputError
from marl.runs.checkpoints import (
    FORMAT,
    MANIFEST_FILE,
    BackgroundWriter,
    DamagedError,
    Part,
    _format_manifest,
    read_part,
    verify_checkpoint,
    write_manifest,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "000320"
    path.mkdir()
    Part.freeze({"weights": np.arange(4.0)}).write(path, "learner")
    (path / "progress.json").write_text('{"episodes": 320}', encoding="utf-8")
    write_manifest(path)
    return path


def test_part__comes_back_bit_for_bit(tmp_path: Path) -> None:
    generator = np.random.default_rng(7)
    generator.random(3)
    tree = {
        "rng": generator.bit_generator.state,
        "moments": [{"step": np.array(3.0, np.float32)}, {"step": np.array(4.0, np.float32)}],
        "half": np.array([[1.5, -0.0]], np.float16),
        "empty": np.zeros((0, 3), np.uint8),
        "best": None,
        "mode": "off",
        "third": 1 / 3,
    }

    Part.freeze(tree).write(tmp_path, "part")
    read = read_part(tmp_path, "part")

    assert read["rng"] == tree["rng"]
    assert {k: read[k] for k in ("best", "mode", "third")} == {
        "best": None, "mode": "off", "third": 1 / 3,
    }  # fmt: skip
    assert [m["step"].tolist() for m in read["moments"]] == [3.0, 4.0]
    assert read["half"].tobytes() == np.array([[1.5, -0.0]], np.float16).tobytes()
    assert (read["empty"].shape, read["empty"].dtype) == ((0, 3), np.uint8)


def test_part__is_a_copy(tmp_path: Path) -> None:
    weights = np.zeros(2)
    part = Part.freeze({"weights": weights})
    weights += 1

    part.write(tmp_path, "part")

    assert read_part(tmp_path, "part")["weights"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("leaf", [object(), np.array([object()]), {1, 2}])
def test_part__refuses_what_only_a_pickle_could_hold(leaf: Any) -> None:
    with pytest.raises(TypeError, match=r"pool/odd: .* has no place in a checkpoint"):
        Part.freeze({"pool": {"odd": leaf}})


def test_verify__a_whole_checkpoint_passes(folder: Path) -> None:
    verify_checkpoint(folder)

    assert {p.name for p in folder.iterdir()} == {
        "learner.npz", "learner.json", "progress.json", MANIFEST_FILE,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["learner.npz", "learner.json", "progress.json", MANIFEST_FILE])
def test_verify__names_the_file_in_which_any_byte_is_flipped(folder: Path, name: str) -> None:
    file = folder / name
    whole = file.read_bytes()
    for position in range(len(whole)):
        for mask in (0x01, 0xFF):
            damaged = bytearray(whole)
            damaged[position] ^= mask
            file.write_bytes(damaged)
            with pytest.raises(DamagedError, match=rf"/{name}' is damaged"):
                verify_checkpoint(folder)


def test_verify__names_a_file_that_is_missing_or_too_many(folder: Path) -> None:
    (folder / "extra.pkl").write_bytes(b"")
    with pytest.raises(DamagedError, match=r"extra.pkl' does not belong there"):
        verify_checkpoint(folder)
    (folder / "extra.pkl").unlink()
    (folder / "learner.npz").unlink()
    with pytest.raises(DamagedError, match=r"learner.npz' is missing"):
        verify_checkpoint(folder)


def test_verify__a_folder_of_rllibs_pickles_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "algorithm_state.pkl").write_bytes(b"")

    with pytest.raises(DamagedError, match=r"holds pickles, which are not read"):
        verify_checkpoint(tmp_path)


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.target,)


def test_read_part__never_unpickles(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "executed"
    np.save(tmp_path / "bomb.npy", np.array([Bomb(target)]), allow_pickle=True)
    with zipfile.ZipFile(folder / "learner.npz", "w") as file:
        file.write(tmp_path / "bomb.npy", "weights.npy")
    (folder / MANIFEST_FILE).unlink()
    write_manifest(folder)
    verify_checkpoint(folder)  # the stranger made his manifest fit

    with pytest.raises(DamagedError, match="part learner"):
        read_part(folder, "learner")
    assert not target.exists()

    np.load(tmp_path / "bomb.npy", allow_pickle=True)
    assert target.exists()  # so the file does what the test fears


def test_read_part__names_of_arrays_that_are_not_there_are_damage(folder: Path) -> None:
    (folder / "learner.json").write_text(json.dumps({"a": {"$array": "b"}}), encoding="utf-8")

    with pytest.raises(DamagedError, match="part learner"):
        read_part(folder, "learner")


def test_background_writer__runs_one_job_at_a_time_and_raises_in_the_caller() -> None:
    writer, go, done = BackgroundWriter(), threading.Event(), []

    def first() -> None:
        go.wait(5)
        done.append(1)

    def second() -> None:
        done.append(2)
        raise OSError("disk full")

    writer.submit(first)
    writer.wait(timeout_s=0.01)
    assert done == []
    go.set()
    writer.submit(second)
    with pytest.raises(OSError, match="disk full"):
        writer.close()
    assert done == [1, 2]


def test_verify_checkpoint__another_format_is_refused_with_one_line(folder: Path) -> None:
    manifest = folder / MANIFEST_FILE
    files = json.loads(manifest.read_text(encoding="utf-8"))["files"]
    manifest.write_text(_format_manifest(files, FORMAT - 1), encoding="utf-8")

    with pytest.raises(InputError, match=f"has format {FORMAT - 1}, .* {FORMAT} is needed") as e:
        verify_checkpoint(folder)
    assert "\n" not in str(e.value)
