"""The one writer of files: whole files or none, whatever stands in their place."""

import os
import stat
import threading
from pathlib import Path

import pytest

from envs.errors import InputError
from marl.runs.files import replace_file, replace_files, write_file


def list_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_write_file__a_new_file_has_the_mode_that_the_shell_gives(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_file(tmp_path / "orders.csv", "a\n", "--out")
    finally:
        os.umask(before)

    assert (tmp_path / "orders.csv").read_text(encoding="utf-8") == "a\n"
    assert stat.S_IMODE((tmp_path / "orders.csv").stat().st_mode) == 0o640
    assert list_names(tmp_path) == ["orders.csv"]


def test_write_file__keeps_the_mode_of_what_it_replaces(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("old", encoding="utf-8")
    path.chmod(0o604)

    write_file(path, b"new", "--out")

    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o604


def test_write_file__follows_a_link_which_stays(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    real, link = tmp_path / "far" / "real.csv", tmp_path / "link.csv"
    real.write_text("old", encoding="utf-8")
    link.symlink_to(real)

    write_file(link, "new", "--out")

    assert link.is_symlink()
    assert real.read_text(encoding="utf-8") == "new"
    assert list_names(tmp_path / "far") == ["real.csv"]


def test_write_file__a_pipe_gets_the_bytes_and_stays(tmp_path: Path) -> None:
    pipe, found = tmp_path / "pipe", list[bytes]()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    write_file(pipe, "orders" * 20_000, "--out")
    reader.join()

    assert found == [b"orders" * 20_000]
    assert pipe.is_fifo()


def test_write_file__a_device_stays_one() -> None:
    write_file(Path("/dev/null"), "orders", "--out")
    assert Path("/dev/null").is_char_device()


def test_write_file__stdout_is_written_by_its_name(capfd: pytest.CaptureFixture[str]) -> None:
    write_file(Path("/dev/stdout"), "orders", "--out")
    assert capfd.readouterr().out == "orders"


@pytest.mark.parametrize("name", [".o.csv.partial", ".o.csv.tmp", "o.csv~"])
def test_write_file__a_name_laid_out_beside_is_not_touched(name: str, tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("precious", encoding="utf-8")
    (tmp_path / name).symlink_to("precious.txt")

    write_file(tmp_path / "o.csv", "new", "--out")

    assert (tmp_path / "precious.txt").read_text(encoding="utf-8") == "precious"
    assert list_names(tmp_path) == sorted([name, "o.csv", "precious.txt"])


def test_replace_file__a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("precious", encoding="utf-8")
    (tmp_path / "latest").symlink_to("precious.txt")

    replace_file(tmp_path / "latest", "000100")

    assert not (tmp_path / "latest").is_symlink()
    assert (tmp_path / "precious.txt").read_text(encoding="utf-8") == "precious"


def test_replace_files__a_failure_leaves_everything_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("old", encoding="utf-8")

    with pytest.raises(FileNotFoundError):
        replace_files({tmp_path / "one": "new", tmp_path / "none" / "two": "new"})

    assert (tmp_path / "one").read_text(encoding="utf-8") == "old"
    assert list_names(tmp_path) == ["one"]


def test_replace_file__an_interrupt_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        replace_file(tmp_path / "orders.csv", "new")
    assert list_names(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none/o.csv", "No such file or directory"),
        ("folder", "Is a directory"),
        ("circle", "Too many levels of symbolic links"),
        ("o\x00.csv", "embedded null"),
        ("o" * 300, "File name too long"),
    ],
)
def test_write_file__what_cannot_be_written_is_one_line(
    name: str, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "circle").symlink_to("circle")

    with pytest.raises(InputError, match=reason) as error:
        write_file(tmp_path / name, "new", "--out")

    assert str(error.value).startswith("--out: '")
    assert "\n" not in str(error.value)
    assert list_names(tmp_path) == ["circle", "folder"]
