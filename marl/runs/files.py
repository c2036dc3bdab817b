"""The one writer of files: each is whole or not there.

A file is replaced by renaming a new one over it. The temporary name of the new file
cannot be guessed; it is created exclusively, and removed when anything fails.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from envs.errors import InputError

PARTIAL = ".partial"  # ends the names of what is not whole yet
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SYSTEM = (Path("/dev"), Path("/proc"))  # whose entries stand for devices and open files


def sync_to_disk(path: Path) -> None:
    """Flushes a file, or a folder's names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Removes whatever stands there: a folder with all that is in it, a link, not what it leads to.

    `shutil.rmtree` opens what it is given, and to open a pipe waits for ever.

    Raises:
        OSError: if it cannot be removed; that there is nothing is no error.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def replace_files(contents: Mapping[Path, str | bytes]) -> None:
    """Writes all files beside their places, then renames one after the other.

    A link is replaced, not followed: where a run or a cache keeps its own files nobody else's link
    decides what is overwritten.

    Raises:
        OSError: if one cannot be written; then none is replaced, unless renaming itself failed.
    """
    partials: dict[Path, Path] = {}
    try:
        for path, content in contents.items():
            partials[path] = path.with_name(f".{os.urandom(8).hex()}{PARTIAL}")
            _write_new(partials[path], content, _find_mode(path))
        for path, partial in partials.items():
            partial.replace(path)
    except BaseException:  # an interrupt leaves nothing behind either
        for partial in partials.values():
            partial.unlink(missing_ok=True)
        raise
    for folder in {path.parent for path in contents}:
        sync_to_disk(folder)


def replace_file(path: Path, content: str | bytes) -> None:
    """Writes one file as `replace_files` does."""
    replace_files({path: content})


def write_file(path: Path, content: str | bytes, field: str, *, own: bool = False) -> None:
    """Writes a file that the user named.

    A link is followed: the file that it leads to is replaced, and the link stays. A file that is
    replaced hands on its mode. A device or a pipe is written to as it stands.

    Args:
        path: of the file.
        content: whole.
        field: what messages call it.
        own: whether it is a run's own file. Then links, pipes and devices are replaced: whoever
            handed over the run does not decide what else is written to.

    Raises:
        InputError: names the field if the file cannot be written.
    """
    try:
        target = path if own else Path(os.path.realpath(path))
        if not own and _is_stream(path, target):
            with path.open("wb") as stream:
                stream.write(_encode(content))
        else:
            replace_file(target, content)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{field}: '{path}' cannot be written ({reason})") from None


def _is_stream(path: Path, target: Path) -> bool:
    """Whether bytes are to flow into what stands there, as into /dev/stdout.

    Raises:
        OSError: if that cannot be told, for instance because links lead in a circle.
    """
    if any(path.is_relative_to(folder) or target.is_relative_to(folder) for folder in _SYSTEM):
        return True
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _find_mode(path: Path) -> int | None:
    """The mode of the regular file that is replaced."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return None
    return stat.S_IMODE(mode) if stat.S_ISREG(mode) else None


def _write_new(path: Path, content: str | bytes, mode: int | None) -> None:
    with os.fdopen(os.open(path, _NEW, 0o666), "wb") as file:
        file.write(_encode(content))
        file.flush()
        if mode is not None:
            os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())


def _encode(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content
