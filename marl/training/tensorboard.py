"""TensorBoard of a run: described scalars, stock as images, hyperparameters, a layout.

The x axis is env steps. All of it lies in the run folder's own event files, so that TensorBoard
shows one run, resumed or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorboardX import SummaryWriter
from tensorboardX.summary import hparams, image, scalar

from envs.omnichannel.agents.roster import PROPOSERS
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import FloatArray
from marl.config import TrainConfig
from marl.report.recording import compute_node_demand
from marl.runs.changes import flatten_fields

# The four charts of the tab "Custom Scalars": title -> tags.
CHARTS = {
    "reward": ("train/reward", "eval/reward"),
    "service": ("train/on_time", "eval/on_time", "eval/served"),
    "cost a day": ("train/cost/total", "eval/cost/total"),
    "speed, env steps a second": ("speed/env_steps_per_second",),
}
HPARAM_METRICS = ("eval/reward", "eval/on_time", "eval/served", "eval/cost/total")
STOCK_TAG = "eval/stock"

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
# Anchors of the colour map cividis, dark to bright: even to colour-blind eyes, and in grey.
_CIVIDIS = ((0, 34, 78), (67, 78, 108), (125, 124, 120), (188, 175, 111), (254, 232, 56))
_CELL = 16  # pixels, the last of which is a gap


class EventLog:
    """Writes a run's event files.

    Args:
        folder: of the run.
        scenario: whose stock is shown.
        config: the hyperparameters.
        env_steps: where the run stands; what an earlier session wrote beyond is left out.
    """

    def __init__(
        self, folder: Path, scenario: Scenario, config: TrainConfig, env_steps: int = 0
    ) -> None:
        self._writer = SummaryWriter(str(folder), purge_step=env_steps)
        self._described: set[str] = set()
        self._demand = np.maximum(compute_node_demand(scenario), 1e-9)  # (N, K)
        # Bright is the cover that an episode begins with, so that images can be compared.
        self._brightest = max(scenario.initial_store_cover, scenario.initial_dc_cover, 1.0)
        settings = {"scenario": scenario.name, **_list_settings(config)}
        experiment, start, self._end = hparams(settings, dict.fromkeys(HPARAM_METRICS))
        self._writer.file_writer.add_summary(experiment)
        self._writer.file_writer.add_summary(start)
        charts = {title: ["Multiline", [f"^{t}$" for t in tags]] for title, tags in CHARTS.items()}
        self._writer.add_custom_scalars({"training": charts})

    def add_scalars(self, values: Mapping[str, float], env_steps: int) -> None:
        """Writes scalars by tag; the first of a tag carries what the tag means."""
        for tag, value in values.items():
            summary = scalar(tag, value)
            if tag not in self._described:
                _attach(summary, "scalars", describe(tag))
                self._described.add(tag)
            self._writer.file_writer.add_summary(summary, env_steps)
        self._writer.flush()

    def add_stock(self, stock: FloatArray, env_steps: int) -> None:
        """Writes stock as an image, a node a row and a SKU a column.

        Args:
            stock: units on hand, (N, K).
            env_steps: where on the x axis.
        """
        pixels = draw_cells(stock / self._demand / self._brightest)
        summary = image(STOCK_TAG, pixels, dataformats="HWC")
        _attach(
            summary,
            "images",
            "Stock after the validation episodes: DCs, then stores, from the top; a SKU a column. "
            f"Dark: none. Bright: {self._brightest:g} days of demand or more.",
        )
        self._writer.file_writer.add_summary(summary, env_steps)
        self._writer.flush()

    def close(self) -> None:
        """Ends the session and closes the file."""
        self._writer.file_writer.add_summary(self._end)
        self._writer.close()


def describe(tag: str) -> str:
    """Returns what a scalar means, for TensorBoard's tooltip; empty if there is nothing to say."""
    phase, *rest = tag.split("/")
    measure = _MEASURES.get("/".join(rest))
    if measure is None:
        measure = next((_GROUPS[part] for part in rest if part in _GROUPS), "")
    return " ".join(text for text in (measure, _PHASES.get(phase, "")) if text)


def _attach(summary: Any, plugin: str, description: str) -> None:
    """Adds what TensorBoard shows behind a tag's information sign."""
    metadata = summary.value[0].metadata
    # Without its plugin's name TensorBoard's reader takes a described value for a stray one.
    metadata.plugin_data.plugin_name = plugin
    metadata.summary_description = description


def draw_cells(shares: FloatArray) -> NDArray[np.uint8]:
    """Returns a picture of values in [0, 1], (rows, columns), as pixels, (H, W, 3)."""
    places = np.linspace(0, 1, len(_CIVIDIS))
    channels = [np.interp(shares, places, anchors) for anchors in zip(*_CIVIDIS, strict=True)]
    cells = np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
    pixels = cells.repeat(_CELL, axis=0).repeat(_CELL, axis=1)
    for gap in (pixels[_CELL - 1 :: _CELL], pixels[:, _CELL - 1 :: _CELL]):
        gap[...] = 255
    return pixels


def _list_settings(config: TrainConfig) -> dict[str, bool | float | str]:
    """Every setting that has a value, by dotted name; lists as text."""
    fields = flatten_fields(config.model_dump(mode="json"))
    return {
        name: value if isinstance(value, bool | int | float | str) else str(value)
        for name, value in fields.items()
        if value is not None
    }
