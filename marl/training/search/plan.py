"""A search on disk: its settings, its trials and its results.

SEARCH/config.yaml scenario.yaml search.yaml   the settings, with all defaults
SEARCH/tune/trial_00000/                       Ray Tune's own: results, events, checkpoints
SEARCH/results.json                            every trial, and the best one on fresh episodes
SEARCH/best/                                   the best trial's run folder, up to its best moment
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import yaml

from envs.errors import InputError
from envs.untrusted import read_text
from envs.validation import Count, StrictModel, parse_yaml, validate_model
from marl.runs.files import replace_file
from marl.runs.folder import RunFolder
from marl.training.search.space import Space, parse_space

Scheduler = Literal["asha", "pbt"]

TUNE_FOLDER = "tune"
SEARCH_FILE = "search.yaml"


class _Plan(StrictModel):
    """What `search.yaml` holds."""

    scheduler: Scheduler
    num_samples: Count
    space: list[str]


@dataclass(frozen=True)
class Search:
    """A search on disk.

    Attributes:
        run: scenario and configuration that the trials share.
        scheduler: who stops or changes trials.
        num_samples: trials.
        space: what varies.
    """

    run: RunFolder
    scheduler: Scheduler
    num_samples: int
    space: Space

    @classmethod
    def create(cls, run: RunFolder, scheduler: Scheduler, num_samples: int, space: Space) -> Self:
        """Makes a search of a new run folder."""
        plan = _Plan(scheduler=scheduler, num_samples=num_samples, space=[str(d) for d in space])
        replace_file(run.path / SEARCH_FILE, yaml.safe_dump(plan.model_dump(), sort_keys=False))
        return cls(run, scheduler, num_samples, space)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Opens a search that was interrupted or is done.

        Raises:
            InputError: if the folder holds none.
        """
        tuner = path / TUNE_FOLDER / "tuner.pkl"
        if not (path / SEARCH_FILE).is_file() or not tuner.is_file():
            raise InputError(f"--resume: '{path}' holds no search; give a folder of `search`")
        data = parse_yaml(read_text(path / SEARCH_FILE, "--resume"), SEARCH_FILE)
        plan = validate_model(_Plan, data, SEARCH_FILE)
        space = parse_space(plan.space)
        return cls(RunFolder.open(path), plan.scheduler, plan.num_samples, space)

    @property
    def tune_folder(self) -> Path:
        """The absolute path of Ray Tune's own files."""
        return (self.run.path / TUNE_FOLDER).resolve()

    def count_runners(self) -> int:
        """The most EnvRunner actors that a trial can have."""
        path = "env_runners.num_env_runners"
        values = [x for d in self.space if d.path == path for x in d.list_extremes()]
        return max(values or [self.run.config.env_runners.num_env_runners])
