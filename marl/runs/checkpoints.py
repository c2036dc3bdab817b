"""Checkpoint folders: plain arrays and JSON, whole or refused.

CHECKPOINT/manifest.json            size and SHA-256 of every other file
CHECKPOINT/<part>.npz <part>.json   a part's arrays, and all else of it with the arrays' names

Nothing is pickled and nothing is unpickled, so reading a stranger's checkpoint runs no code.
The hashes find damage, not malice: whoever can change a file can change the manifest too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from envs.errors import InputError
from envs.untrusted import (
    MOST_TABLE,
    open_file,
    parse_json,
    read_arrays,
    read_bytes,
    read_text,
)
from marl.runs.files import sync_to_disk

MANIFEST_FILE = "manifest.json"
FORMAT = 2  # of what training writes; another one is refused

Tree = Any  # nested dicts with string keys and lists; leaves are arrays and what JSON knows
Arrays = dict[str, NDArray[Any]]  # path in the tree -> values

_ARRAY = "$array"  # {"$array": path} stands for an array


class DamagedError(InputError):
    """A checkpoint that is not what its manifest says, or has none."""


@dataclass(frozen=True)
class Part:
    """A part of a checkpoint as it was at one moment: copies, so that training may go on."""

    document: Tree  # the tree, with names in the place of arrays
    arrays: Arrays

    @classmethod
    def freeze(cls, tree: Tree) -> Self:
        """Copies a tree's arrays.

        Raises:
            TypeError: if a leaf is neither an array nor what JSON knows.
        """
        arrays: Arrays = {}
        return cls(_take_arrays(tree, "", arrays), arrays)

    def write(self, folder: Path, name: str) -> None:
        """Writes `name`.json, and `name`.npz if there are arrays."""
        text = json.dumps(self.document)
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
        if not self.arrays:
            return
        with (folder / f"{name}.npz").open("wb") as file:
            np.savez(file, allow_pickle=False, **self.arrays)


def read_part(folder: Path, name: str) -> Tree:
    """Returns the tree of a part that `Part.write` wrote.

    Raises:
        DamagedError: if it cannot be read.
    """
    field, tree, arrays = "checkpoint", folder / f"{name}.json", folder / f"{name}.npz"
    try:
        text = read_text(tree, field, MOST_TABLE, folder)
        document = parse_json(text, field, finite=False)
        return _put_arrays(document, read_arrays(arrays, field, folder) if arrays.exists() else {})
    except (InputError, KeyError, TypeError):
        raise DamagedError(f"checkpoint: part {name} of '{folder}' is damaged") from None


def _take_arrays(tree: Tree, path: str, arrays: Arrays) -> Tree:
    """Copies the arrays below `path` into `arrays`; returns the rest."""
    if isinstance(tree, np.ndarray):
        if tree.dtype.hasobject:
            raise TypeError(f"{path}: an array of objects has no place in a checkpoint")
        arrays[path] = tree.copy()
        return {_ARRAY: path}
    if isinstance(tree, dict):
        return {key: _take_arrays(tree[key], f"{path}/{key}".lstrip("/"), arrays) for key in tree}
    if isinstance(tree, list | tuple):
        return [_take_arrays(leaf, f"{path}/{i}", arrays) for i, leaf in enumerate(tree)]
    if tree is None or isinstance(tree, bool | int | float | str):
        return tree
    raise TypeError(f"{path}: {type(tree).__name__} has no place in a checkpoint")


def _put_arrays(document: Tree, arrays: Arrays) -> Tree:
    if isinstance(document, dict):
        if document.keys() == {_ARRAY}:
            return arrays[document[_ARRAY]]
        return {key: _put_arrays(value, arrays) for key, value in document.items()}
    if isinstance(document, list):
        return [_put_arrays(value, arrays) for value in document]
    return document


def write_manifest(folder: Path) -> int:
    """Flushes every file of a folder to the disk, then writes the manifest.

    Returns:
        The folder's size in bytes.
    """
    files: dict[str, dict[str, Any]] = {
        path.name: {"bytes": path.stat().st_size, "sha256": _measure_file(path, folder)[1]}
        for path in sorted(folder.iterdir())
    }
    for name in files:
        sync_to_disk(folder / name)
    manifest = folder / MANIFEST_FILE
    manifest.write_text(_format_manifest(files), encoding="utf-8")
    sync_to_disk(manifest)
    sync_to_disk(folder)
    size: int = manifest.stat().st_size + sum(entry["bytes"] for entry in files.values())
    return size


def verify_checkpoint(folder: Path) -> None:
    """Compares every file with the manifest.

    Raises:
        DamagedError: names the first file that is missing, too many or damaged.
    """
    files = _read_manifest(folder)
    found = {path.name for path in folder.iterdir()} - {MANIFEST_FILE}
    if odd := sorted(found ^ files.keys()):
        state = "is missing" if odd[0] in files else "does not belong there"
        raise DamagedError(f"checkpoint: '{folder / odd[0]}' {state}")
    for name, entry in files.items():
        path = folder / name
        size, digest = _measure_file(path, folder)
        if size != entry["bytes"] or digest != entry["sha256"]:
            raise DamagedError(
                f"checkpoint: '{path}' is damaged; its size and SHA-256 are not the manifest's"
            )


def _read_manifest(folder: Path) -> dict[str, dict[str, Any]]:
    path = folder / MANIFEST_FILE
    if not path.exists():
        raise DamagedError(
            f"checkpoint: '{folder}' has no {MANIFEST_FILE}; it is not whole, or it holds "
            "pickles, which are not read"
        )
    try:
        parsed = _parse_manifest(read_text(path, "checkpoint", inside=folder))
    except InputError:
        raise DamagedError(f"checkpoint: '{path}' is damaged") from None
    if parsed is None:
        raise DamagedError(f"checkpoint: '{path}' is damaged")
    _check_format(folder, parsed.format)
    return parsed.files


def check_version(run: Path) -> None:
    """Refuses a run whose checkpoints another version wrote, before its other files are read.

    Raises:
        InputError: names the first such checkpoint.
    """
    for manifest in sorted(run.glob(f"checkpoints/*/{MANIFEST_FILE}")):
        # Whoever opens a damaged one says what is wrong with it.
        content = read_bytes(manifest, "checkpoint", inside=run)
        if parsed := _parse_manifest(content.decode(errors="replace")):
            _check_format(manifest.parent, parsed.format)


class _Manifest(NamedTuple):
    format: int
    files: dict[str, dict[str, Any]]


def _parse_manifest(text: str) -> _Manifest | None:
    """Reads a manifest, of whatever format; None: it is damaged."""
    try:
        data = json.loads(text)
        manifest = _Manifest(data["format"], data["files"])
        is_whole = text == _format_manifest(manifest.files, manifest.format)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return manifest if is_whole and _has_entries(manifest.files) else None


def _has_entries(files: Any) -> bool:
    return isinstance(files, dict) and all(
        isinstance(entry, dict) and entry.keys() == {"bytes", "sha256"} for entry in files.values()
    )


def _check_format(folder: Path, found: int) -> None:
    if found != FORMAT:
        raise InputError(
            f"checkpoint: '{folder}' has format {found}, which another version wrote; format "
            f"{FORMAT} is needed: train anew, or use the version that wrote it"
        )


def _format_manifest(files: dict[str, dict[str, Any]], number: int = FORMAT) -> str:
    """The one text that a manifest of these files can have: its own hash is part of it."""
    covered = files if number == 1 else [number, files]  # format 1 left its number out
    digest = hashlib.sha256(json.dumps(covered, sort_keys=True).encode()).hexdigest()
    return json.dumps({"format": number, "files": files, "sha256": digest}, indent=2) + "\n"


def _measure_file(path: Path, folder: Path) -> tuple[int, str]:
    """The bytes of a file of a checkpoint's folder, and their digest."""
    with open_file(path, "checkpoint", inside=folder) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest


class BackgroundWriter:
    """Runs jobs in a thread, one at a time; what went wrong is raised by the next call."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._pending: Future[object] | None = None

    def submit(self, job: Callable[[], object]) -> None:
        """Starts a job, once the one before has ended."""
        self.wait()
        self._pending = self._executor.submit(job)

    def wait(self, timeout_s: float | None = None) -> None:
        """Waits for the job, at most `timeout_s`; raises what it raised."""
        pending = self._pending
        if pending is None or not wait_for([pending], timeout_s).done:
            return
        self._pending = None
        pending.result()

    def close(self) -> None:
        """Waits for the job and ends the thread."""
        self._executor.shutdown()
        self.wait()
