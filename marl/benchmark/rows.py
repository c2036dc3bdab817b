"""Rows of the table: how they are measured, and how they are printed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

ENV_STEPS = "env steps/s"
TRANSITIONS = "transitions/s"
CELLS = "cells/s"
HASHED = "MB hashed/s"
ONE_THREAD, TWO_THREADS = "one busy thread", "two busy threads"

_FREE_CORES = 1.6  # speed-up of two busy threads below which a second core was not free


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    value: float  # `unit`, median over the rounds
    unit: str
    ratio_to: str | None = None  # name of the row that `value` is divided by
    ratio: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `benchmark --json`."""
        return asdict(self)


@dataclass(frozen=True)
class Probe:
    """Something to measure: `run` does the work and returns how many units it was."""

    name: str
    unit: str
    run: Callable[[], float]
    ratio_to: str | None = None
    settle: Callable[[], object] | None = None  # ends, unmeasured, what `run` left running


def measure_probes(probes: Sequence[Probe], rounds: int, earlier: Sequence[Row] = ()) -> list[Row]:
    """Runs every probe once a round, after a warm-up, and returns the medians of units a second.

    Args:
        probes: run one after the other in every round, so that a disturbance of the machine
            spreads over all of them.
        rounds: how often.
        earlier: rows that a ratio may refer to besides those of `probes`.

    Returns:
        A row for each probe.
    """
    speeds: dict[str, list[float]] = {probe.name: [] for probe in probes}
    for measured in [False] + [True] * rounds:
        for probe in probes:
            started = time.perf_counter()
            amount = probe.run()
            seconds = time.perf_counter() - started
            if probe.settle:
                probe.settle()
            if measured:
                speeds[probe.name].append(amount / seconds)
    values = {row.name: row.value for row in earlier}
    values |= {name: statistics.median(of_rounds) for name, of_rounds in speeds.items()}
    return [_make_row(probe, values) for probe in probes]


def make_table(rows: Sequence[Row]) -> Table:
    """Builds the table that the command line prints."""
    table = Table(title="speed, medians of one run", caption=_describe_cores(rows), box=SIMPLE_HEAD)
    table.add_column("stage", no_wrap=True)
    table.add_column("speed", justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    table.add_column("ratio", justify="right")
    table.add_column("to", no_wrap=True)
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        table.add_row(row.name, _format_speed(row.value), row.unit, ratio, row.ratio_to or "")
    return table


def _format_speed(value: float) -> str:
    """Three digits and more, short enough for the table to fit 80 columns."""
    if value >= 1e6:
        return f"{value / 1e6:,.1f} M"
    if value >= 1e3:
        return f"{value / 1e3:,.1f} k"
    return f"{value:,.1f}" if value >= 10 else f"{value:.2f}"


def _make_row(probe: Probe, values: Mapping[str, float]) -> Row:
    value = values[probe.name]
    ratio = None if probe.ratio_to is None else value / values[probe.ratio_to]
    return Row(probe.name, value, probe.unit, probe.ratio_to, ratio)


def _describe_cores(rows: Sequence[Row]) -> str | None:
    """Says whether a second core was free while the actors ran."""
    gains = [row.ratio for row in rows if row.name == TWO_THREADS and row.ratio is not None]
    if not gains:
        return None
    if gains[0] >= _FREE_CORES:
        return f"Two busy threads did {gains[0]:.2f} times the work of one: two cores were free."
    return (
        f"Two busy threads did {gains[0]:.2f} times the work of one: fewer than two cores were "
        "free, so the rows with actors say little about scaling."
    )
