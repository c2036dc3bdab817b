"""Run folders: the files of a run, and the way back to them.

RUN/config.yaml scenario.yaml versions.json   the settings, with all defaults
RUN/metrics.jsonl events.out.tfevents.*       the course of training
RUN/checkpoints/000320/                       whole checkpoints, by episode; see `checkpoints`
RUN/checkpoints/latest best                   names of two of them
RUN/evaluation.json                           the final comparison
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from envs.errors import InputError
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.scenario.demand import Trace
from envs.untrusted import MOST_TABLE, parse_object, read_text
from envs.validation import validate_model
from marl.config import TrainConfig, load_config
from marl.errors import RunError
from marl.runs.checkpoints import DamagedError, check_version, verify_checkpoint, write_manifest
from marl.runs.files import PARTIAL, remove, replace_file, sync_to_disk
from marl.runs.progress_file import ProgressFile

POLICY_FILE = "policy.npz"
PROGRESS_FILE = "progress.json"
_MOST_NAME = 1000  # bytes of a file that names a checkpoint
METRICS_FILE = "metrics.jsonl"
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class SavedCheckpoint:
    """What saving took."""

    name: str
    num_bytes: int
    seconds: float


@dataclass(frozen=True)
class RunFolder:
    """A run on disk, with the scenario and configuration it was started with."""

    path: Path
    scenario: Scenario
    config: TrainConfig

    @classmethod
    def create(cls, path: Path | None, scenario: Scenario, config: TrainConfig) -> RunFolder:
        """Makes a new run folder, of which no other process makes its own.

        Raises:
            InputError: if the folder exists and is not empty, or cannot be made.
        """
        try:
            path = _make_new_folder(scenario.name) if path is None else path
            _claim_folder(path)
        except OSError as error:
            raise InputError(f"--run-dir: '{path}' cannot be made ({error.strerror})") from None
        run = cls(path, scenario, config)
        write_settings(path, scenario, config)
        replace_file(path / "versions.json", json.dumps(_collect_versions(), indent=2))
        return run

    @classmethod
    def open(cls, path: Path, overrides: list[str] | None = None) -> RunFolder:
        """Opens an existing run folder, with overrides of its configuration.

        Raises:
            InputError: if it is not one.
        """
        return cls(path, *read_settings(path, overrides))

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    def find_checkpoint(self, pointer: str) -> Path:
        """Returns the checkpoint that `latest` or `best` names.

        Raises:
            InputError: if there is none.
        """
        file = self.checkpoints / pointer
        if file.is_file():
            name = read_text(file, "run", _MOST_NAME, self.path).strip()
            for checkpoint in self._list_checkpoints():  # a name that leads elsewhere is not there
                if checkpoint.name == name and (checkpoint / PROGRESS_FILE).is_file():
                    return checkpoint
        raise InputError(
            f"run: '{self.path}' has no checkpoint; a run folder with a whole checkpoint is needed"
        )

    def open_checkpoint(self, name: str | None = None) -> Path:
        """Returns a checkpoint after comparing every byte of it with its manifest.

        Args:
            name: of the checkpoint; None: the latest.

        Raises:
            InputError: if it does not exist or is damaged; names the last one that is whole.
        """
        checkpoint = self.checkpoints / name if name else self.find_checkpoint("latest")
        if checkpoint not in (known := self._list_checkpoints()):
            names = ", ".join(path.name for path in known) or "none"
            raise InputError(f"--checkpoint: {name!r} is not known; there are: {names}")
        try:
            verify_checkpoint(checkpoint)
        except DamagedError as error:
            raise InputError(f"{error}; {self.offer_checkpoint(checkpoint)}") from None
        return checkpoint

    def load_progress(self, checkpoint: Path | None = None) -> dict[str, Any]:
        """Returns the counters of a checkpoint, by default of the latest.

        Raises:
            InputError: if there is none, or a counter in it is not allowed.
        """
        folder = checkpoint or self.find_checkpoint("latest")
        path = folder / PROGRESS_FILE
        source = f"run: '{path}'"
        data = parse_object(read_text(path, "run", inside=self.path), source, finite=False)
        return validate_model(ProgressFile, data, source).model_dump()

    def save_checkpoint(
        self, episodes: int, write: Callable[[Path], None], *, is_best: bool
    ) -> SavedCheckpoint:
        """Writes a checkpoint under a temporary name, renames it, then moves the pointers.

        A run killed at any moment keeps its last whole checkpoint: `latest` changes last.

        Args:
            episodes: the checkpoint's name.
            write: writes its files into the folder that it is given.
            is_best: whether `best` is to name it.

        Raises:
            RunError: if the disk is full or fails; what was there before stays whole.
        """
        started = time.monotonic()
        final = self.checkpoints / name_checkpoint(episodes)
        partial = self.checkpoints / f".{final.name}{PARTIAL}"
        try:
            remove(partial)
            partial.mkdir(parents=True)
            write(partial)
            num_bytes = write_manifest(partial)
            _replace_folder(partial, final)
            for pointer in ("best", "latest") if is_best else ("latest",):
                replace_file(self.checkpoints / pointer, final.name)
            self._prune()
        except OSError as error:
            with suppress(OSError):
                remove(partial)
            raise RunError(
                f"checkpoint {final.name} of '{self.path}' cannot be saved ({error.strerror}); "
                f"{self.offer_checkpoint(final)}"
            ) from None
        return SavedCheckpoint(final.name, num_bytes, time.monotonic() - started)

    def rewind(self, checkpoint: Path) -> None:
        """Makes a checkpoint the run's present: what came after it is dropped.

        `latest` names it, so that a checkpoint written over a later one is never the only one;
        half-written checkpoints go; metrics.jsonl ends where the checkpoint was made; config.yaml
        holds what the run goes on with.
        """
        for partial in self.checkpoints.glob(f".*{PARTIAL}"):
            remove(partial)
        replace_file(self.checkpoints / "latest", checkpoint.name)
        replace_file(self.path / "config.yaml", _to_yaml(self.config.model_dump(mode="json")))
        metrics, last = self.path / METRICS_FILE, self.load_progress(checkpoint)["env_steps"]
        if os.path.lexists(metrics):
            lines = read_text(metrics, "run", MOST_TABLE, self.path).splitlines()
            replace_file(metrics, "".join(f"{x}\n" for x in lines if _is_before(x, last)))

    def append_metrics(self, record: Mapping[str, Any]) -> None:
        """Adds a line to metrics.jsonl.

        Raises:
            RunError: if the disk is full or fails.
        """
        try:
            # Neither through a link nor into a pipe that nobody reads, which would wait for ever.
            descriptor = os.open(self.path / METRICS_FILE, _APPEND, 0o666)
            with os.fdopen(descriptor, "ab") as file:
                file.write(f"{json.dumps(record)}\n".encode())
        except OSError as error:
            raise RunError(
                f"'{self.path / METRICS_FILE}' cannot be written ({error.strerror}); "
                f"{self.offer_checkpoint()}"
            ) from None

    def _list_checkpoints(self) -> list[Path]:
        """Checkpoints by age, the newest last."""
        if not self.checkpoints.is_dir():
            return []
        return sorted(p for p in self.checkpoints.iterdir() if p.is_dir() and p.name[0] != ".")

    def offer_checkpoint(self, unusable: Path | None = None) -> str:
        """Says how to go on, but not from `unusable`."""
        for checkpoint in reversed(self._list_checkpoints()):
            if checkpoint != unusable and _is_whole(checkpoint):
                return (
                    f"the last whole one is {checkpoint.name}; go on from it with: omnichannel "
                    f"resume {self.path} --checkpoint {checkpoint.name}"
                )
        return "there is no other whole checkpoint in this run"

    def _prune(self) -> None:
        """Removes all but the last `keep` checkpoints and the named ones."""
        named = {
            read_text(self.checkpoints / pointer, "run", _MOST_NAME, self.path).strip()
            for pointer in ("latest", "best")
            if (self.checkpoints / pointer).is_file()
        }
        for old in self._list_checkpoints()[: -self.config.checkpoints.keep]:
            if old.name not in named:
                remove(old)


def _make_new_folder(name: str) -> Path:
    """A folder of this moment; runs that are started in the same second get one each."""
    stem = f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    for number in count(1):
        path = Path("runs") / (stem if number == 1 else f"{stem}-{number}")
        with suppress(FileExistsError):
            path.mkdir(parents=True)
            return path
    raise AssertionError("numbers do not end")


def _claim_folder(path: Path) -> None:
    """Begins the one file that every run has, where no other process did so before.

    Raises:
        InputError: if the folder is not empty.
        OSError: if it cannot be made.
    """
    is_free = not path.exists() or (path.is_dir() and not any(path.iterdir()))
    if is_free:
        path.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            (path / "config.yaml").touch(exist_ok=False)
            return
    raise InputError(f"--run-dir: '{path}' is not empty; give a new or empty folder")


def name_checkpoint(episodes: int) -> str:
    """The name of a checkpoint; names sort by age."""
    return f"{episodes:06d}"


def write_settings(folder: Path, scenario: Scenario, config: TrainConfig) -> None:
    """Writes config.yaml, scenario.yaml and the recorded demand that it names."""
    replace_file(folder / "config.yaml", _to_yaml(config.model_dump(mode="json")))
    own = _copy_trace(scenario, folder)
    replace_file(folder / "scenario.yaml", _to_yaml(own.model_dump(mode="json")))


def read_settings(folder: Path, overrides: list[str] | None = None) -> tuple[Scenario, TrainConfig]:
    """Returns what `write_settings` wrote, with overrides of the configuration.

    Raises:
        InputError: if the folder has none, or something in them is not allowed.
    """
    if not (folder / "config.yaml").is_file() or not (folder / "scenario.yaml").is_file():
        raise InputError(f"run: '{folder}' is not a run folder; give one that train has made")
    check_version(folder)
    scenario = load_scenario(folder / "scenario.yaml")
    return scenario, load_config(folder / "config.yaml", overrides)


def _copy_trace(scenario: Scenario, folder: Path) -> Scenario:
    """The scenario with its own copy of a trace file in the folder, so that a run can be moved."""
    trace = scenario.demand
    if not isinstance(trace, Trace) or trace.file is None:
        return scenario
    name = Path(trace.file).name
    shutil.copyfile(trace.file, folder / name)
    return scenario.model_copy(update={"demand": trace.model_copy(update={"file": name})})


def _replace_folder(new: Path, final: Path) -> None:
    """Renames a folder, over an older one if there is one."""
    old = final.with_name(f".{final.name}.old{PARTIAL}")
    remove(old)
    if os.path.lexists(final):
        final.replace(old)
    new.replace(final)
    sync_to_disk(final.parent)
    remove(old)


def _is_whole(checkpoint: Path) -> bool:
    try:
        verify_checkpoint(checkpoint)
    except InputError:
        return False
    return True


def _is_before(line: str, env_steps: int) -> bool:
    """Whether a line of metrics is whole and no later than `env_steps`."""
    try:
        return bool(json.loads(line)["env_steps"] <= env_steps)
    except (LookupError, RecursionError, TypeError, ValueError):
        return False


def _to_yaml(data: dict[str, Any]) -> str:
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def _collect_versions() -> dict[str, str]:
    packages = ("omnichannel-marl", "ray", "torch", "numpy", "scipy", "pettingzoo", "gymnasium")
    versions = {package: metadata.version(package) for package in packages}
    return {"python": platform.python_version(), **versions}
