"""The paper's feedback layer: evaluation changes how training goes on."""

from __future__ import annotations

from typing import Any

from marl.config import Feedback


class LearningRateFeedback:
    """Lowers the learning rate when the validation reward stops rising.

    Source: "dynamically adjusts training parameters based on performance evaluation results",
    section 2.1.1 (3) of the paper, which names no rule; this one is reduction on plateau.
    """

    def __init__(self, rules: Feedback) -> None:
        self.rules = rules
        self.scale = 1.0
        self._best = float("-inf")
        self._stale = 0

    def update(self, validation_reward: float) -> float:
        """Returns the factor of the learning rate after an evaluation."""
        if self.rules.mode == "off":
            return self.scale
        if validation_reward > self._best:
            self._best, self._stale = validation_reward, 0
        else:
            self._stale += 1
        if self._stale >= self.rules.patience:
            self.scale *= self.rules.factor
            self._stale = 0
        return self.scale

    def get_state(self) -> dict[str, Any]:
        """What a checkpoint needs."""
        # -inf is no JSON.
        best = None if self._stale == 0 and self._best == float("-inf") else self._best
        return {"scale": self.scale, "best": best, "stale": self._stale}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores `get_state`."""
        self.scale, self._stale = state["scale"], state["stale"]
        self._best = float("-inf") if state["best"] is None else state["best"]
