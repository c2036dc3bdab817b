"""What a person sees while a run trains: one live line in a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


class TrainingProgress:
    """Shows episodes, service, reward, cost, speed and the time left.

    Args:
        console: where to write.
        quiet: whether to write nothing.
    """

    def __init__(self, console: Console, *, quiet: bool) -> None:
        self.console = console
        self.quiet = quiet
        self._live = console.is_terminal and not quiet
        self._bar = Progress(
            TextColumn("episode {task.fields[episode]}"),
            BarColumn(bar_width=20),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[summary]}"),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            disable=not self._live,
        )
        self._task = self._bar.add_task("train", total=1.0, episode=0, summary="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def say(self, line: str) -> None:
        """Writes a line above the bar."""
        if not self.quiet:
            self._bar.console.print(line, highlight=False, soft_wrap=True)

    def show(self, episodes: int, fraction: float, record: Mapping[str, float]) -> None:
        """Moves the bar after an iteration."""
        summary = (
            f"on time {100 * record['train/on_time']:.1f}%  reward {record['train/reward']:.4f}  "
            f"cost {record['train/cost/total']:.1f}  "
            f"{record['speed/env_steps_per_second']:,.0f} steps/s"
        )
        self._bar.update(self._task, completed=fraction, episode=episodes, summary=summary)

    def show_evaluation(self, episodes: int, metrics: Mapping[str, float], *, best: bool) -> None:
        """Writes a line for a validation."""
        self.say(
            f"episode {episodes:>6}  on time {100 * metrics['on_time']:6.2f}%  "
            f"served {100 * metrics['served']:6.2f}%  reward {metrics['reward']:.4f}  "
            f"cost {metrics['cost/total']:8.2f}{'  best so far' if best else ''}"
        )
