from marl.config import Feedback
from marl.learning.feedback import LearningRateFeedback


def test_feedback__off_never_changes_the_rate() -> None:
    feedback = LearningRateFeedback(Feedback(mode="off", patience=1))

    assert [feedback.update(r) for r in (1.0, 0.5, 0.4)] == [1.0, 1.0, 1.0]


def test_feedback__halves_the_rate_on_a_plateau() -> None:
    feedback = LearningRateFeedback(Feedback(mode="learning_rate", patience=2, factor=0.5))

    scales = [feedback.update(r) for r in (1.0, 0.9, 0.9, 1.1, 1.0, 1.1)]

    assert scales == [1.0, 1.0, 0.5, 0.5, 0.5, 0.25]


def test_feedback__goes_on_from_its_state() -> None:
    rules = Feedback(mode="learning_rate", patience=2)
    first, second = LearningRateFeedback(rules), LearningRateFeedback(rules)
    for reward in (1.0, 0.9):
        first.update(reward)

    second.set_state(first.get_state())

    assert second.update(0.8) == first.update(0.8) == 0.5
