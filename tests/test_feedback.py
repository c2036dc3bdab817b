from __future__ import annotations

import json
import math

import pytest

from marl.config import Feedback
from marl.learning.feedback import HEAVIEST, Adjustment, TrainingFeedback


def test_update__off_never_changes_anything() -> None:
    feedback = TrainingFeedback(Feedback(mode="off", patience=1))
    assert {feedback.update(r, 0.5) for r in (1.0, 0.5, 0.4)} == {Adjustment()}


@pytest.mark.parametrize("mode", ["learning_rate", "exploration", "all"])
def test_update__falls_on_a_plateau(mode: str) -> None:
    feedback = TrainingFeedback(Feedback(mode=mode, patience=2, factor=0.5))
    found = [feedback.update(r, 0.968) for r in (1.0, 0.9, 0.9, 1.1, 1.0, 1.1)]
    scales = [1.0, 1.0, 0.5, 0.5, 0.5, 0.25]
    constant = [1.0] * 6
    assert [a.learning_rate for a in found] == (constant if mode == "exploration" else scales)
    assert [a.epsilon for a in found] == (constant if mode == "learning_rate" else scales)


def test_update__service_weight_by_dual_ascent() -> None:
    rules = Feedback(mode="service", service_target=0.95, service_step=0.1)
    feedback = TrainingFeedback(rules)
    # Two points short, then one point more than asked for.
    assert feedback.update(0.5, 0.93).service == pytest.approx(math.exp(0.2))
    assert feedback.update(0.5, 0.96).service == pytest.approx(math.exp(0.1))
    assert feedback.adjustment.learning_rate == 1


@pytest.mark.parametrize("penalty", [2.0, 30.0])
def test_update__service_target_is_met_from_either_side(penalty: float) -> None:
    rules = Feedback(mode="service", service_target=0.9, service_step=0.05)
    feedback = TrainingFeedback(rules)

    def serve(weight: float) -> float:
        """What agents do that know their costs: the newsvendor's critical ratio, holding at 1."""
        return weight * penalty / (weight * penalty + 1)

    assert (serve(1) < 0.85) if penalty == 2 else (serve(1) > 0.95)
    for _ in range(60):
        feedback.update(0.5, serve(feedback.adjustment.service))

    # At the target the critical ratio asks for 9 = weight x penalty.
    assert feedback.adjustment.service == pytest.approx(9 / penalty, rel=0.01)
    assert serve(feedback.adjustment.service) == pytest.approx(0.9, abs=0.001)


def test_update__service_weight_is_bounded() -> None:
    feedback = TrainingFeedback(Feedback(mode="service", service_step=5))
    assert feedback.update(0, 0.0).service == HEAVIEST
    for _ in range(9):
        feedback.update(0, 1.0)
    assert feedback.adjustment.service == 1 / HEAVIEST


def test_score__the_target_comes_before_the_reward() -> None:
    rules = Feedback(mode="service", service_target=0.95)
    feedback = TrainingFeedback(rules)
    assert feedback.score(0.7, 0.951) > feedback.score(0.9, 0.94)
    assert feedback.score(0.7, 0.96) == 0.7
    assert TrainingFeedback(Feedback()).score(0.9, 0.1) == 0.9


def test_set_state__goes_on_from_json() -> None:
    rules = Feedback(mode="all", patience=2)
    first, second = TrainingFeedback(rules), TrainingFeedback(rules)
    second.set_state(json.loads(json.dumps(first.get_state(), allow_nan=False)))
    for reward in (1.0, 0.9):
        first.update(reward, 0.9)
    second.set_state(json.loads(json.dumps(first.get_state(), allow_nan=False)))
    assert second.update(0.8, 0.9) == first.update(0.8, 0.9)
    assert first.adjustment.learning_rate == 0.5
