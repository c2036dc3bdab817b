"""TensorBoard of a run: described scalars, stock as images, hyperparameters, a layout.

The x axis is env steps. All of it lies in the run folder's own event files, so that TensorBoard
shows one run, resumed or not.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorboardX import SummaryWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.record_writer import RecordWriter
from tensorboardX.summary import hparams, image, scalar

from envs.omnichannel.agents.roster import PROPOSERS
from envs.omnichannel.scenario import Scenario
from marl.config import TrainConfig
from marl.runs.changes import list_settings
from marl.runs.folder import METRICS_FILE

# The charts that matter, under names that TensorBoard's alphabetical order puts first.
OVERVIEW = {
    "eval/reward": "1_overview/1_reward",
    "eval/on_time": "1_overview/2_on_time",
    "eval/cost/total": "1_overview/3_cost_a_day",
    "speed/env_steps_per_second": "1_overview/4_env_steps_per_second",
}
# The four charts of the tab "Custom Scalars": title -> tags.
CHARTS = {
    "reward": ("train/reward", "eval/reward"),
    "service": ("train/on_time", "eval/on_time", "eval/served"),
    "cost a day": ("train/cost/total", "eval/cost/total"),
    "speed, env steps a second": ("speed/env_steps_per_second",),
}
HPARAM_METRICS = ("eval/reward", "eval/on_time", "eval/served", "eval/cost/total")
HPARAMS_FILE = "events.out.tfevents.0.hparams"

_PHASES = {
    "train": "Agents that explore, mean over the round's episodes.",
    "eval": "Greedy policy, mean over the validation episodes.",
}
_MEASURES = {
    "reward": "Reward a period (eq. 8).",
    "served": "Share of the units demanded that were handed over in the end.",
    "service_level": "The paper's service level: the share of units served in the end.",
    "on_time": "Share of the units demanded that were handed over on the day of their demand.",
    "epsilon": "Share of random actions, mean over the copies.",
}
_GROUPS = {
    "cost": "Money a period, whole network.",
    "td_error": "Mean absolute TD error of the module's last updates.",
    "size": "Transitions in the module's part of the pool.",
    "env_steps_per_update": "Env steps seen by the learner per update, of the whole run so far.",
    "learning_rate_scale": "What the feedback multiplies the learning rate by.",
    "epsilon_scale": "What the feedback multiplies the exploration by.",
    "service_scale": "What the feedback multiplies the agents' cost of lost and late units by.",
    **{
        decision: f"Learnt weight of the module's proposals for the {decision.replace('_', ' ')}."
        for decision in PROPOSERS
    },
    "env_steps_per_second": "Periods of one copy a second, sampling and learning together.",
    "transitions_learnt_per_second": "Transitions in the batches of all modules, a second.",
}


class EventLog:
    """Writes a run's event files.

    Args:
        folder: of the run.
        scenario: of the run.
        config: the hyperparameters.
        env_steps: where the run stands; what an earlier session wrote beyond is left out.
    """

    def __init__(
        self, folder: Path, scenario: Scenario, config: TrainConfig, env_steps: int = 0
    ) -> None:
        self._writer = SummaryWriter(str(folder), purge_step=env_steps)
        self._shown = _list_shown(folder / METRICS_FILE)
        self._described: set[str] = set()  # of this session's file
        self._session = _SessionFile(folder / HPARAMS_FILE, scenario, config)
        charts = {title: ["Multiline", [f"^{t}$" for t in tags]] for title, tags in CHARTS.items()}
        self._writer.add_custom_scalars({"training": charts})

    def add_scalars(self, values: Mapping[str, float], env_steps: int) -> None:
        """Writes scalars by tag; the first of a tag carries what the tag means.

        A tag that has been nothing but zero has no chart yet.
        """
        for tag, value in values.items():
            if value == 0 and tag not in self._shown:
                continue
            for name in (tag, OVERVIEW[tag]) if tag in OVERVIEW else (tag,):
                summary = scalar(name, value)
                if tag not in self._described:
                    _attach(summary, "scalars", describe(tag))
                self._writer.file_writer.add_summary(summary, env_steps)
            self._shown.add(tag)
            self._described.add(tag)
        self._writer.flush()

    def add_image(
        self, tag: str, pixels: NDArray[np.uint8], description: str, env_steps: int
    ) -> None:
        """Writes an image, (H, W, 3), and what it shows."""
        summary = image(tag, pixels, dataformats="HWC")
        _attach(summary, "images", description)
        self._writer.file_writer.add_summary(summary, env_steps)
        self._writer.flush()

    def add_files(self, files: Sequence[Path]) -> None:
        """Does nothing: TensorBoard shows no files, and they lie beside its own."""

    def close(self, *, finished: bool = True) -> None:
        """Ends the session and closes the file."""
        self._session.close()
        self._writer.close()


class _SessionFile:
    """The hyperparameters, in an event file of their own.

    TensorBoard keeps the first that it reads, so a resumed run writes this file anew.
    """

    def __init__(self, path: Path, scenario: Scenario, config: TrainConfig) -> None:
        self._file = RecordWriter(str(path))
        self._write(Event(file_version="brain.Event:2"))
        settings = list_settings(scenario, config)
        experiment, start, self._end = hparams(settings, dict.fromkeys(HPARAM_METRICS))
        for summary in (experiment, start):
            self._write(Event(summary=summary))

    def close(self) -> None:
        """Ends the session and closes the file."""
        self._write(Event(summary=self._end))
        self._file.close()

    def _write(self, event: Any) -> None:
        event.wall_time = time.time()
        self._file.write(event.SerializeToString())
        self._file.flush()


def describe(tag: str) -> str:
    """Returns what a scalar means, for TensorBoard's tooltip; empty if there is nothing to say."""
    phase, *rest = tag.split("/")
    measure = _MEASURES.get("/".join(rest))
    if measure is None:
        measure = next((_GROUPS[part] for part in rest if part in _GROUPS), "")
    return " ".join(text for text in (measure, _PHASES.get(phase, "")) if text)


def _list_shown(metrics: Path) -> set[str]:
    """The tags that have had a value other than zero in the sessions before."""
    lines = metrics.read_text(encoding="utf-8").splitlines() if metrics.is_file() else []
    return {tag for line in lines for tag, value in json.loads(line).items() if value}


def _attach(summary: Any, plugin: str, description: str) -> None:
    """Adds what TensorBoard shows behind a tag's information sign."""
    metadata = summary.value[0].metadata
    # Without its plugin's name TensorBoard's reader takes a described value for a stray one.
    metadata.plugin_data.plugin_name = plugin
    metadata.summary_description = description
