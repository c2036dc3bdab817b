import io

import pytest
from rich.console import Console

from marl.training.progress import TrainingProgress, format_duration

METRICS = {"on_time": 0.968, "served": 0.99, "reward": 0.9, "cost/total": 50.0}
RECORD = {
    "train/on_time": 0.9, "train/reward": 0.8, "train/cost/total": 60.0,
    "speed/env_steps_per_second": 2500.0,
}  # fmt: skip


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def show_everything(console: Console, *, quiet: bool) -> None:
    clock = Clock()
    with TrainingProgress(console, quiet=quiet, clock=clock) as progress:
        progress.say("hello")
        progress.show(32, 0.25, RECORD)
        clock.now += 90
        progress.show(64, 0.5, RECORD)
        progress.show_evaluation(64, METRICS, best=True)
        clock.now += 59
        progress.show(96, 0.75, RECORD)


def test_progress__without_a_terminal_writes_plain_lines() -> None:
    out = io.StringIO()

    show_everything(Console(file=out, width=120), quiet=False)

    # A line a minute with the time left, besides the validations.
    assert out.getvalue() == (
        "hello\n"
        "episode     64   50%  on time 90.0%  reward 0.8000  cost 60.0  2,500 steps/s  3:00 left\n"
        "episode     64  on time  96.80%  served  99.00%  reward 0.9000  cost    50.00  "
        "best so far\n"
    )


def test_progress__in_a_terminal_shows_the_time_left() -> None:
    out = io.StringIO()

    show_everything(Console(file=out, width=140, force_terminal=True), quiet=False)

    # 149 seconds for half of the way; a quarter is left.
    assert "2,500 steps/s  1:14 left" in out.getvalue()
    assert "\x1b[" in out.getvalue()


@pytest.mark.parametrize("width", [80, 100, 140])
def test_progress__fits_the_terminal(width: int) -> None:
    out = io.StringIO()

    show_everything(Console(file=out, width=width, force_terminal=True), quiet=False)

    assert "1:14 left" in out.getvalue()
    assert "…" not in out.getvalue()


def test_progress__in_a_terminal_that_cannot_redraw_is_plain() -> None:
    out = io.StringIO()
    console = Console(file=out, width=120, force_terminal=True, _environ={"TERM": "dumb"})

    show_everything(console, quiet=False)

    assert "3:00 left\n" in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_progress__quiet_writes_nothing() -> None:
    for force_terminal in (True, False):
        out = io.StringIO()

        show_everything(Console(file=out, force_terminal=force_terminal), quiet=True)

        assert out.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (754, "12:34"), (7325, "2:02:05")]
)
def test_duration__is_short(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
