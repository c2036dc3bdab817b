"""The report of `from-data`: findings, repairs and assumptions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from marl.planning.from_data.problems import Problem
from marl.planning.from_data.section import Section
from marl.planning.from_data.summary import Estimate, Summary


def make_summary_table(summary: Summary) -> Table:
    """Returns the summary for the terminal."""
    table = Table(title=f"found in the {summary.days} training {summary.period}s", box=SIMPLE_HEAD)
    table.add_column("what", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("95% interval", justify="right", no_wrap=True)
    table.add_column("from")
    for label, estimate, factor, decimals in _list_estimates(summary):
        table.add_row(
            label,
            f"{factor * estimate.value:.{decimals}f}",
            f"{factor * estimate.low:.{decimals}f} to {factor * estimate.high:.{decimals}f}",
            f"{estimate.n} {estimate.of}",
        )
    patterns = ", ".join(f"{count} {kind}" for kind, count in summary.patterns.items() if count)
    table.add_row("store-SKUs", patterns or "none sell", "", "")
    if summary.season is None:
        table.add_row("season", "none beyond noise", "", f"{summary.days} {summary.period}s")
    if summary.return_rate is None:
        table.add_row("returns", "not known", "", "no file of returns")
    elif not summary.return_delay:
        table.add_row("return delay", "not known", "", "no sale dates")
    return table


def list_fixes(fixed: Sequence[Problem]) -> list[str]:
    """Returns a line for each kind of mistake that was cured."""
    return [
        f"fixed: {problem.file}, column {problem.column}: {problem.fix} ({problem.count} times, "
        f"first in line {problem.line}: {problem.message})"
        for problem in fixed
    ]


def list_assumptions(sections: Sequence[Section]) -> list[str]:
    """Returns a line for each assumption in the scenario."""
    return [
        f"assumed: {section.name}: {remark}" for section in sections for remark in section.assumed
    ]


def _list_estimates(summary: Summary) -> Iterator[tuple[str, Estimate, float, int]]:
    """Label, estimate, factor and decimals of every row with an interval."""
    unit = summary.period
    yield f"units a {unit}, all stores", summary.units_a_day, 1, 1
    if summary.online_share:
        yield "ordered online, %", summary.online_share, 100, 1
    for name, estimate in summary.weekdays.items():
        yield f"  {name}, x mean day", estimate, 1, 3
    if summary.season:
        period = f"season of {summary.season.period} {unit}s, amplitude %"
        yield period, summary.season.amplitude, 100, 1
    yield f"noise: sd / mean of a store-SKU's {unit}", summary.noise, 1, 2
    yield f"{unit}s without a sale, %", summary.zero_days, 100, 1
    if summary.promotion_uplift:
        yield f"promotion, x usual {unit}", summary.promotion_uplift, 1, 2
    if summary.return_rate:
        yield "returned, % of units sold", summary.return_rate, 100, 2
    if len(summary.return_rates) > 1:
        for name, estimate in summary.return_rates.items():
            yield f"  {name}, %", estimate, 100, 2
    for name, estimate in summary.return_delay.items():
        yield f"return delay, {name}, {unit}s", estimate, 1, 1
