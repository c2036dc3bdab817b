"""Weights & Biases: a run's settings as its config, its metrics, images and files."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.errors import InputError
from marl.runs.changes import list_settings
from marl.runs.folder import RunFolder

_AXIS = "env_steps"


class WandbTracker:
    """A run of Weights & Biases, whose own files lie in RUN/wandb.

    Key, entity and mode are the environment's: WANDB_API_KEY, WANDB_ENTITY, WANDB_MODE=offline.

    Args:
        run: the run folder; its name is the run's.
        run_id: of the session before; None: a new run.
    """

    def __init__(self, run: RunFolder, run_id: str | None) -> None:
        import wandb

        if (run.path / "wandb").is_symlink():  # whoever handed over the run does not say where to
            raise InputError(f"'{run.path / 'wandb'}' is a link")
        self.run_id = run_id or uuid.uuid4().hex[:8]
        self._run: Any = wandb.init(
            project=run.config.tracking.project,
            name=run.path.resolve().name,
            id=self.run_id,
            resume="allow",
            dir=run.path,
            # Neither our terminal nor the code of the folder that we run in is theirs.
            settings=wandb.Settings(
                console="off", silent=True, disable_code=True, disable_git=True
            ),
        )
        self._run.config.update(list_settings(run.scenario, run.config), allow_val_change=True)
        self._run.define_metric(_AXIS)
        self._run.define_metric("*", step_metric=_AXIS)

    def add_scalars(self, values: Mapping[str, float], env_steps: int) -> None:
        """Adds a value to each metric."""
        self._run.log({**values, _AXIS: env_steps})

    def add_image(
        self, tag: str, pixels: NDArray[np.uint8], description: str, env_steps: int
    ) -> None:
        """Adds an image, and what it shows as its caption."""
        from wandb import Image

        self._run.log({tag: Image(pixels, caption=description), _AXIS: env_steps})

    def add_files(self, files: Sequence[Path]) -> None:
        """Adds files as an artifact, the run's result."""
        from wandb import Artifact

        artifact = Artifact(f"result-{self.run_id}", type="result")
        for file in files:
            artifact.add_file(str(file))
        self._run.log_artifact(artifact)

    def close(self, *, finished: bool) -> None:
        """Ends the run; a later session opens it again."""
        self._run.finish(exit_code=0 if finished else 1)
