"""The progress of a run in a checkpoint's progress.json: its schema."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from envs.errors import InputError
from envs.validation import NonNegative, Positive, StrictModel

MOST = 10**15  # counters of a run stay below

Counter = Annotated[int, Field(strict=True, ge=0, lt=MOST)]


def _check_score(value: float) -> float:
    if math.isnan(value) or value == math.inf:
        raise ValueError(f"{value} is not allowed; a number, or -Infinity before there is one")
    return value


class AdjustmentState(StrictModel):
    """What training multiplies its parameters by."""

    learning_rate: Positive
    epsilon: Positive
    service: Positive


class FeedbackState(StrictModel):
    """Where the feedback layer stands."""

    adjustment: AdjustmentState
    best: float | None
    stale: Counter


class SessionProgress(StrictModel):
    """Where a run stands, beside what the algorithm itself keeps."""

    seconds: NonNegative
    best_score: Annotated[float, Field(allow_inf_nan=True), AfterValidator(_check_score)]
    next_evaluation: Counter
    feedback: FeedbackState


class ProgressFile(StrictModel):
    """The counters of a checkpoint."""

    episodes: Counter
    env_steps: Counter
    updates: Counter
    progress: SessionProgress


def check_counters(checkpoint: Path, stored: Mapping[str, Any], own: object) -> None:
    """Refuses counters by which limits were set, and which are not those of the other parts.

    Args:
        checkpoint: whose progress they are.
        stored: what `RunFolder.load_progress` returned.
        own: has the counters of the other parts as attributes.

    Raises:
        InputError: names the first one that differs.
    """
    for name in ("episodes", "env_steps", "updates"):
        if stored[name] != (found := getattr(own, name)):
            raise InputError(
                f"checkpoint: '{checkpoint}' does not fit this run ({name} is {stored[name]} in "
                f"its progress, and {found} in its parts)"
            )
