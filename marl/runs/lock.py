"""The lock of a run folder: one process at a time writes there."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

from envs.errors import InputError

LOCK_FILE = ".lock"
_OPEN = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK

_held: dict[Path, int] = {}  # folder -> descriptor; the system lets go of it when the process ends


def lock_folder(folder: Path) -> None:
    """Keeps other processes from writing to a run folder for as long as this one lives.

    Where the file system knows no locks, as some network file systems, nothing is locked.

    Raises:
        InputError: if another process has locked it, which is named, or its file cannot be one.
    """
    folder = folder.resolve()
    if folder in _held:
        return
    try:
        descriptor = os.open(folder / LOCK_FILE, _OPEN, 0o666)
    except OSError as error:
        raise InputError(
            f"run: '{folder / LOCK_FILE}' cannot be opened for writing ({error.strerror})"
        ) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InputError(f"run: '{folder / LOCK_FILE}' is a pipe or a device; remove it")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(descriptor, 100).decode(errors="replace").strip()
        os.close(descriptor)
        raise InputError(
            f"run: '{folder}' is being written by another process ({owner}); wait until it ends, "
            "or stop it"
        ) from None
    except OSError:
        os.close(descriptor)
        return
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"process {os.getpid()} on {os.uname().nodename}\n".encode())
    _held[folder] = descriptor
