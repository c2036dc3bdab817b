"""A trial: one run of a search, in an actor of its own."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from ray import tune
from rich.console import Console

from envs.omnichannel.scenario import Scenario
from marl.config import TrainConfig
from marl.runs.folder import RunFolder
from marl.training.progress import TrainingProgress
from marl.training.search.results import Values, adopt_checkpoint
from marl.training.search.space import apply_values
from marl.training.trainer import Trainer


class Trial(tune.Trainable):
    """One run of the search; a step of Ray Tune trains up to the next validation."""

    def setup(self, config: Values, *, scenario: Any = None, base: Any = None) -> None:
        """Builds the run.

        Args:
            config: this trial's values by path.
            scenario: of all trials.
            base: the configuration that all trials share.
        """
        # Of this actor only: Ray Tune keeps the checkpoints, and a trial may move between nodes.
        self._folder = Path(tempfile.mkdtemp(prefix="omnichannel-trial-"))
        run = RunFolder.create(
            self._folder / "run",
            Scenario.model_validate(scenario),
            apply_values(config, TrainConfig.model_validate(base)),
        )
        self._trainer = Trainer(run, TrainingProgress(Console(quiet=True), quiet=True))

    def step(self) -> dict[str, Any]:
        """Trains and validates."""
        metrics = self._trainer.advance()
        fraction = self._trainer.fraction
        return {
            **metrics,
            "percent": min(100.0 * fraction, 100.0),
            "episodes": self._trainer.algorithm.episodes,
            "done": fraction >= 1,
        }

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Copies the run's latest checkpoint, under its name."""
        latest = self._trainer.run.find_checkpoint("latest")
        shutil.copytree(latest, Path(checkpoint_dir) / latest.name)

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Goes on from a checkpoint of this trial, or of another one (PBT)."""
        name = adopt_checkpoint(self._trainer.run, Path(checkpoint))
        self._trainer.restore(self._trainer.run.open_checkpoint(name))

    def reset_config(self, new_config: Values) -> bool:
        """Becomes another trial, or this one with other values (PBT), in the same process."""
        self.cleanup()
        self.setup(new_config)
        return True

    def cleanup(self) -> None:
        """Stops the runners."""
        self._trainer.close()
        shutil.rmtree(self._folder, ignore_errors=True)
