"""MLflow: a run's settings as params, its metrics, images and files."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marl.runs.changes import list_settings
from marl.runs.folder import RunFolder

_MOST_PARAMS = 100  # that MLflow takes in one call


class MlflowTracker:
    """A run of MLflow.

    The server is MLFLOW_TRACKING_URI; without it MLflow takes mlflow.db in the working directory.

    Args:
        run: the run folder; its name is the run's.
        run_id: MLflow's, of the session before; None: a new run.
    """

    def __init__(self, run: RunFolder, run_id: str | None) -> None:
        from mlflow import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)  # or it tells how a store is made
        self._client = client = MlflowClient()
        if run_id is None:
            project = run.config.tracking.project
            found = client.get_experiment_by_name(project)
            experiment = found.experiment_id if found else client.create_experiment(project)
            run_id = str(
                client.create_run(experiment, run_name=run.path.resolve().name).info.run_id
            )
        else:
            client.update_run(run_id, status="RUNNING")
        self.run_id = run_id
        self._add_settings(list_settings(run.scenario, run.config))

    def add_scalars(self, values: Mapping[str, float], env_steps: int) -> None:
        """Adds a value to each metric."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(tag, value, now, env_steps) for tag, value in values.items()]
        self._client.log_batch(self.run_id, metrics=metrics)

    def add_image(
        self, tag: str, pixels: NDArray[np.uint8], description: str, env_steps: int
    ) -> None:
        """Adds an image, and what it shows as a tag."""
        self._client.log_image(self.run_id, pixels, key=tag, step=env_steps)
        self._client.set_tag(self.run_id, tag, description)

    def add_files(self, files: Sequence[Path]) -> None:
        """Adds files as artifacts."""
        for file in files:
            self._client.log_artifact(self.run_id, str(file))

    def close(self, *, finished: bool) -> None:
        """Ends the run; a later session opens it again."""
        self._client.set_terminated(self.run_id, "FINISHED" if finished else "KILLED")

    def _add_settings(self, settings: Mapping[str, Any]) -> None:
        """Adds settings as params; MLflow cannot change one, so a resumed run's is a tag."""
        from mlflow.entities import Param

        texts = {name: str(value) for name, value in settings.items()}
        known = self._client.get_run(self.run_id).data.params
        new = [Param(name, text) for name, text in texts.items() if name not in known]
        for start in range(0, len(new), _MOST_PARAMS):
            self._client.log_batch(self.run_id, params=new[start : start + _MOST_PARAMS])
        for name, text in texts.items():
            if known.get(name, text) != text:
                self._client.set_tag(self.run_id, name, text)
