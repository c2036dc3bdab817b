"""Files that are whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

from envs.errors import InputError

PARTIAL = ".partial"  # ends the names of what is not whole yet


def sync_to_disk(path: Path) -> None:
    """Flushes a file, or a folder's names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Writes a file under a temporary name and renames it."""
    partial = path.with_name(f".{path.name}{PARTIAL}")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    sync_to_disk(path.parent)


def write_file(path: Path, text: str, field: str) -> None:
    """Writes a file that the user named.

    Raises:
        InputError: names the field if the file cannot be written.
    """
    try:
        write_text(path, text)
    except OSError as error:
        raise InputError(f"{field}: '{path}' cannot be written ({error.strerror})") from None
