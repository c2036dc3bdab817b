"""The paper's feedback layer: evaluation changes how training goes on."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from marl.config import Feedback

HEAVIEST = 16.0  # service weights stay between its inverse and it
_POINT = 0.01


@dataclass(frozen=True)
class Adjustment:
    """What training multiplies its parameters by."""

    learning_rate: float = 1.0
    epsilon: float = 1.0
    service: float = 1.0  # weight of lost and late units in the agents' rewards

    def samples_like(self, other: Adjustment) -> bool:
        """Whether runners would sample the same under the other one."""
        return (self.epsilon, self.service) == (other.epsilon, other.service)


class TrainingFeedback:
    """Adjusts training after every evaluation.

    Source: "dynamically adjusts training parameters based on performance evaluation results",
    section 2.1.1 (3) of the paper, which names no rule. Here the learning rate and the exploration
    fall when the validation reward stops rising, and the weight of service follows a target by
    dual ascent (Boyd & Vandenberghe 2004, section 5.5; multiplicative, so it stays positive): it
    rises while fewer units than the target are on time, and falls while more are.
    """

    def __init__(self, rules: Feedback) -> None:
        self.rules = rules
        self.adjustment = Adjustment()
        self._best = float("-inf")
        self._stale = 0

    def update(self, reward: float, on_time: float) -> Adjustment:
        """Returns the adjustment after an evaluation.

        Args:
            reward: of the validation episodes.
            on_time: share of their units that were served on the day of their demand.
        """
        if self._is_plateau(reward):
            if self.rules.covers("learning_rate"):
                self._scale("learning_rate", self.rules.factor)
            if self.rules.covers("exploration"):
                self._scale("epsilon", self.rules.factor)
        if self.rules.covers("service"):
            missed = (self.rules.service_target - on_time) / _POINT
            weight = self.adjustment.service * math.exp(self.rules.service_step * missed)
            weight = min(max(weight, 1 / HEAVIEST), HEAVIEST)
            self.adjustment = replace(self.adjustment, service=weight)
        return self.adjustment

    def score(self, reward: float, on_time: float) -> float:
        """What the best checkpoint has most of: the reward, once the service target is met."""
        if not self.rules.covers("service"):
            return reward
        return reward - max(self.rules.service_target - on_time, 0) / _POINT

    def _is_plateau(self, reward: float) -> bool:
        if reward > self._best:
            self._best, self._stale = reward, 0
        else:
            self._stale += 1
        if self._stale < self.rules.patience:
            return False
        self._stale = 0
        return True

    def _scale(self, name: str, factor: float) -> None:
        self.adjustment = replace(
            self.adjustment, **{name: factor * getattr(self.adjustment, name)}
        )

    def get_state(self) -> dict[str, Any]:
        """What a checkpoint needs."""
        best = None if math.isinf(self._best) else self._best  # -inf is no JSON
        return {"adjustment": asdict(self.adjustment), "best": best, "stale": self._stale}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores `get_state`."""
        self.adjustment, self._stale = Adjustment(**state["adjustment"]), state["stale"]
        self._best = float("-inf") if state["best"] is None else state["best"]
