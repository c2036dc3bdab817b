import io

from rich.console import Console

from marl.progress import TrainingProgress

METRICS = {"on_time": 0.968, "served": 0.99, "reward": 0.9, "cost/total": 50.0}
RECORD = {
    "train/on_time": 0.9, "train/reward": 0.8, "train/cost/total": 60.0,
    "speed/env_steps_per_second": 2500.0,
}  # fmt: skip


def show_everything(console: Console, *, quiet: bool) -> None:
    with TrainingProgress(console, quiet=quiet) as progress:
        progress.say("hello")
        progress.show(32, 0.5, RECORD)
        progress.show_evaluation(32, METRICS, best=True)


def test_progress__without_a_terminal_writes_plain_lines() -> None:
    out = io.StringIO()

    show_everything(Console(file=out, width=120), quiet=False)

    assert out.getvalue() == (
        "hello\n"
        "episode     32  on time  96.80%  served  99.00%  reward 0.9000  cost    50.00  "
        "best so far\n"
    )


def test_progress__in_a_terminal_shows_the_time_left() -> None:
    out = io.StringIO()

    show_everything(Console(file=out, width=140, force_terminal=True), quiet=False)

    assert "2,500 steps/s" in out.getvalue()
    assert "left" in out.getvalue()


def test_progress__quiet_writes_nothing() -> None:
    out = io.StringIO()

    show_everything(Console(file=out, force_terminal=True), quiet=True)

    assert out.getvalue() == ""
