"""The results of a search's trials, and the run folder of the best one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from marl.errors import RunError
from marl.runs.files import replace_file
from marl.runs.folder import RunFolder
from marl.training.search.plan import Search
from marl.training.search.space import apply_values

Values = dict[str, Any]  # path -> value


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """What came of a trial.

    Attributes:
        name: of its folder.
        status: `done`, `stopped early`, `failed` or `unfinished`.
        percent: of its training.
        reward: of the last validation.
        best_reward: of the best validation whose checkpoint is kept; None: there is none.
        values: what it was trained with in the end; empty before the first validation.
        checkpoint: of the best validation.
    """

    name: str
    status: str
    percent: float
    reward: float | None
    best_reward: float | None
    values: Values
    checkpoint: Path | None

    def to_json(self) -> dict[str, Any]:
        """Everything but the checkpoint, which belongs to Ray Tune."""
        return {k: v for k, v in vars(self).items() if k != "checkpoint"}


def read_result(result: Any) -> TrialResult:
    """Returns what Ray Tune's result of a trial says."""
    metrics = result.metrics or {}
    percent = float(metrics.get("percent", 0.0))
    kept = [(m["reward"], c) for c, m in result.best_checkpoints or [] if "reward" in m]
    best_reward, checkpoint = max(kept, key=lambda pair: pair[0], default=(None, None))
    if result.error:
        status = "failed"
    elif not metrics.get("done"):
        status = "unfinished"
    else:
        status = "done" if percent >= 100 else "stopped early"
    return TrialResult(
        name=Path(result.path).name,
        status=status,
        percent=percent,
        reward=metrics.get("reward"),
        best_reward=best_reward,
        values=dict(result.config) if percent else {},
        checkpoint=Path(checkpoint.path) if checkpoint else None,
    )


def is_finished(search: Search, results: list[TrialResult]) -> bool:
    """Whether every trial was started and ended."""
    return len(results) == search.num_samples and all(r.status != "unfinished" for r in results)


def save_best(search: Search, results: list[TrialResult]) -> RunFolder:
    """Makes SEARCH/best of the best trial.

    Raises:
        RunError: if no trial got as far as a validation.
    """
    best = results[0] if results else None
    if best is None or best.checkpoint is None:
        raise RunError(
            f"search '{search.run.path}': no trial reached a validation; see the error.txt files "
            f"in {search.tune_folder}"
        )
    path = search.run.path / "best"
    shutil.rmtree(path, ignore_errors=True)
    run = RunFolder.create(path, search.run.scenario, apply_values(best.values, search.run.config))
    adopt_checkpoint(run, best.checkpoint)
    return run


def adopt_checkpoint(run: RunFolder, folder: Path) -> str:
    """Copies the checkpoint that a folder of Ray Tune holds into a run; returns its name."""
    (checkpoint,) = (path for path in folder.iterdir() if path.is_dir())
    shutil.copytree(checkpoint, run.checkpoints / checkpoint.name, dirs_exist_ok=True)
    for pointer in ("best", "latest"):
        replace_file(run.checkpoints / pointer, checkpoint.name)
    return checkpoint.name


def write_results(search: Search, results: list[TrialResult], best: Any = None) -> None:
    """Writes results.json.

    Args:
        search: whose.
        results: of its trials.
        best: the best trial's evaluation on fresh episodes, if the search is done.
    """
    data = {
        "scheduler": search.scheduler,
        "num_samples": search.num_samples,
        "space": [str(dimension) for dimension in search.space],
        "trials": [result.to_json() for result in results],
        "best": best and {**results[0].to_json(), "evaluation": best},
    }
    replace_file(search.run.path / "results.json", json.dumps(data, indent=2))


def make_table(search: Search, results: list[TrialResult]) -> Table:
    """A row for each trial, the best first."""
    table = Table(box=None)
    for name in ("trial", "status", "done, %", "reward", "best reward"):
        table.add_column(name, justify="left" if name in {"trial", "status"} else "right")
    for dimension in search.space:
        table.add_column(dimension.path, justify="right")
    for result in results:
        rewards = (result.reward, result.best_reward)
        table.add_row(
            result.name,
            result.status,
            f"{result.percent:.0f}",
            *("-" if reward is None else f"{reward:.4f}" for reward in rewards),
            *(format_value(result.values.get(d.path, "-")) for d in search.space),
        )
    return table


def format_values(values: Mapping[str, Any]) -> str:
    """One line of `path value` pairs."""
    return "  ".join(f"{path} {format_value(value)}" for path, value in values.items())


def format_value(value: Any) -> str:
    """Four digits of a fraction; anything else as it is."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
