"""What came of a search's trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Values = dict[str, Any]  # path -> value


@dataclass(frozen=True)
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


def format_values(values: Mapping[str, Any]) -> str:
    """One line of `path value` pairs."""
    return "  ".join(f"{path} {format_value(value)}" for path, value in values.items())


def format_value(value: Any) -> str:
    """Four digits of a fraction; anything else as it is."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
