"""The progress of a run for a person: one live line in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

PLAIN_INTERVAL = 60.0  # seconds between the lines of a log, where no terminal shows a live one
_NARROW = 100  # columns; below, the line leaves out what it can do without


class TrainingProgress:
    """Shows episodes, service, reward, cost, speed and the time left.

    Args:
        console: where to write. Without a terminal that can redraw a line, plain lines are
            written, without colour.
        quiet: whether to write nothing.
        clock: seconds from any fixed moment.
    """

    def __init__(
        self, console: Console, *, quiet: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.console = console
        self.quiet = quiet
        self._clock = clock
        self._start: tuple[float, float] | None = None  # seconds and fraction when first shown
        self._next_line = clock() + PLAIN_INTERVAL
        self._live = console.is_terminal and not console.is_dumb_terminal and not quiet
        self._bar = Progress(
            TextColumn("episode {task.fields[episode]}"),
            BarColumn(bar_width=20 if console.width >= _NARROW else 8),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[summary]}", markup=False),
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
        """Moves the bar after an iteration; in a log, writes a line a minute.

        Args:
            episodes: trained so far.
            fraction: of the way to the run's nearest limit.
            record: the iteration's scalars, by tag.
        """
        left = self._estimate_left(fraction)
        summary = self._summarise(record, left)
        self._bar.update(self._task, completed=fraction, episode=episodes, summary=summary)
        if not self._live and self._clock() >= self._next_line:
            self._next_line = self._clock() + PLAIN_INTERVAL
            self.say(f"episode {episodes:>6}  {100 * fraction:3.0f}%  {summary}")

    def show_evaluation(self, episodes: int, metrics: Mapping[str, float], *, best: bool) -> None:
        """Writes a line for a validation."""
        self.say(
            f"episode {episodes:>6}  on time {100 * metrics['on_time']:6.2f}%  "
            f"served {100 * metrics['served']:6.2f}%  reward {metrics['reward']:.4f}  "
            f"cost {metrics['cost/total']:8.2f}{'  best so far' if best else ''}"
        )

    def _estimate_left(self, fraction: float) -> float | None:
        """Seconds left at the mean speed of this session; None before there is one."""
        now = self._clock()
        if self._start is None:
            self._start = (now, fraction)
        started, first = self._start
        if fraction <= first:
            return None
        return (now - started) * max(1 - fraction, 0) / (fraction - first)

    def _summarise(self, record: Mapping[str, float], left: float | None) -> str:
        parts = [
            f"on time {100 * record['train/on_time']:.1f}%",
            f"reward {record['train/reward']:.4f}",
            f"cost {record['train/cost/total']:.1f}",
            f"{record['speed/env_steps_per_second']:,.0f} steps/s",
            f"{'-:--' if left is None else format_duration(left)} left",
        ]
        if self._live and self.console.width < _NARROW:
            del parts[1]
        return "  ".join(parts)


def format_duration(seconds: float) -> str:
    """Returns minutes and seconds, and hours where there are any."""
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"
