"""Run folders: what a run writes, and how it is found again.

RUN/config.yaml scenario.yaml versions.json   what was asked for
RUN/metrics.jsonl events.out.tfevents.*       what happened
RUN/checkpoints/000320/                       whole checkpoints, by episode
RUN/checkpoints/latest best                   names of two of them
RUN/evaluation.json                           the final comparison
"""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from envs.errors import InputError
from envs.omnichannel.scenario import Scenario, load_scenario
from marl.config import TrainConfig, load_config

POLICY_FILE = "policy.npz"
PROGRESS_FILE = "progress.json"


@dataclass(frozen=True)
class RunFolder:
    """A run on disk, with the scenario and configuration it was started with."""

    path: Path
    scenario: Scenario
    config: TrainConfig

    @classmethod
    def create(cls, path: Path | None, scenario: Scenario, config: TrainConfig) -> RunFolder:
        """Makes a new run folder.

        Raises:
            InputError: if the folder exists and is not empty, or cannot be made.
        """
        if path is None:
            path = Path("runs") / f"{scenario.name}-{datetime.now():%Y%m%d-%H%M%S}"
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise InputError(f"--run-dir: '{path}' is not empty; give a new or empty folder")
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"--run-dir: '{path}' cannot be made ({error.strerror})") from None
        run = cls(path, scenario, config)
        write_text(path / "config.yaml", _to_yaml(config.model_dump(mode="json")))
        write_text(path / "scenario.yaml", _to_yaml(scenario.model_dump(mode="json")))
        write_text(path / "versions.json", json.dumps(_collect_versions(), indent=2))
        return run

    @classmethod
    def open(cls, path: Path, overrides: list[str] | None = None) -> RunFolder:
        """Opens an existing run folder, with overrides of its configuration.

        Raises:
            InputError: if it is not one.
        """
        if not (path / "config.yaml").is_file() or not (path / "scenario.yaml").is_file():
            raise InputError(f"run: '{path}' is not a run folder; give one that train has made")
        scenario = load_scenario(path / "scenario.yaml")
        return cls(path, scenario, load_config(path / "config.yaml", overrides))

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
            checkpoint = self.checkpoints / file.read_text(encoding="utf-8").strip()
            if (checkpoint / PROGRESS_FILE).is_file():
                return checkpoint
        raise InputError(
            f"run: '{self.path}' has no checkpoint; a run folder with a whole checkpoint is needed"
        )

    def load_progress(self) -> dict[str, Any]:
        """Returns the counters of the latest checkpoint.

        Raises:
            InputError: if there is none.
        """
        text = (self.find_checkpoint("latest") / PROGRESS_FILE).read_text(encoding="utf-8")
        progress: dict[str, Any] = json.loads(text)
        return progress

    def save_checkpoint(
        self, episodes: int, write: Callable[[Path], None], *, is_best: bool
    ) -> Path:
        """Writes a checkpoint under a temporary name, renames it, then moves the pointers.

        A run killed at any moment keeps its last whole checkpoint: `latest` changes last.
        """
        final = self.checkpoints / f"{episodes:06d}"
        partial = self.checkpoints / f".{final.name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        write(partial)
        _sync_tree(partial)
        if final.exists():
            shutil.rmtree(final)
        partial.replace(final)
        if is_best:
            write_text(self.checkpoints / "best", final.name)
        write_text(self.checkpoints / "latest", final.name)
        self._prune()
        return final

    def append_metrics(self, record: Mapping[str, Any]) -> None:
        """Adds a line to metrics.jsonl."""
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def _prune(self) -> None:
        """Removes all but the last `keep` checkpoints and the named ones."""
        named = {
            (self.checkpoints / pointer).read_text(encoding="utf-8").strip()
            for pointer in ("latest", "best")
            if (self.checkpoints / pointer).is_file()
        }
        whole = sorted(p for p in self.checkpoints.iterdir() if p.is_dir() and p.name[0] != ".")
        for old in whole[: -self.config.checkpoints.keep]:
            if old.name not in named:
                shutil.rmtree(old)


def write_text(path: Path, text: str) -> None:
    """Writes a file under a temporary name and renames it."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _sync_tree(folder: Path) -> None:
    """Flushes every file to disk, so that the rename never outruns the content."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _to_yaml(data: dict[str, Any]) -> str:
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def _collect_versions() -> dict[str, str]:
    packages = ("omnichannel-marl", "ray", "torch", "numpy", "scipy", "pettingzoo", "gymnasium")
    versions = {package: metadata.version(package) for package in packages}
    return {"python": platform.python_version(), **versions}
