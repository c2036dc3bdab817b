"""The comparison as tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.table import Table

from envs.omnichannel.world.account.costs import TERMS
from marl.evaluation.evaluate import Evaluation, Intervals
from marl.evaluation.forecast_costs import ForecastChoice
from marl.evaluation.statistics import Interval

# Rows of the comparison: metric, label, factor, decimals.
_ROWS = (
    ("on_time", "on time, %", 100, 2),
    ("served", "served, %", 100, 2),
    ("reward", "reward", 1, 4),
    ("cost/total", "cost/total", 1, 2),
)
_TERM_ROWS = tuple((f"cost/{term}", f"  {term}", 1, 2) for term in TERMS)
_ALWAYS = {metric for metric, *_ in _ROWS}
_COLUMNS = 6  # policies beside each other
_PAIRED_ROWS = ("reward", "cost/total", "on_time")


def make_tables(evaluation: Evaluation) -> list[Table]:
    """Returns the comparison for the terminal: a metric a row, a policy a column.

    Cost terms that no policy pays are left out. Values are means +- half the 95% interval. Six
    policies fit 120 columns, and more are spread over several tables; in less, values wrap.
    """
    names = list(evaluation.policies)
    parts = [names[i : i + _COLUMNS] for i in range(0, len(names), _COLUMNS)]
    return [_make_table(evaluation, part) for part in parts]


def _make_table(evaluation: Evaluation, names: list[str]) -> Table:
    period = " of the held-back period" if evaluation.held_back else ""
    title = f"{evaluation.scenario}: {evaluation.episodes} episodes{period}, mean ± 95%"
    table = Table(title=title, box=SIMPLE_HEAD)
    table.add_column("metric", no_wrap=True)
    for name in names:
        table.add_column(_break_name(name), justify="right")
    paid = evaluation.policies.values()
    found = [evaluation.policies[name] for name in names]
    for metric, label, factor, decimals in (*_ROWS, *_TERM_ROWS):
        if metric in _ALWAYS or any(metrics[metric].mean for metrics in paid):
            table.add_row(label, *(_format(m[metric], factor, decimals) for m in found))
    if bound := evaluation.bound:
        gaps = (_format(bound.gaps[name], 1, 4) for name in names)
        table.add_row(f"below bound ({bound.episodes})", *gaps)
        table.caption = (
            f"On average nobody exceeds a reward of {_format(bound.reward, 1, 4)} in "
            f"{bound.episodes} of the episodes: perfect information, relaxed; no policy may come "
            "near it."
        )
    return table


def make_paired_table(evaluation: Evaluation) -> Table:
    """Returns the paired differences for the terminal: a pair a row."""
    table = Table(title="paired differences, mean ± 95%", box=SIMPLE_HEAD)
    table.add_column("pair", overflow="fold")
    rows = {metric: row for metric, *row in _ROWS}
    for metric in _PAIRED_ROWS:
        table.add_column(str(rows[metric][0]), justify="right", no_wrap=True)
    for pair, metrics in evaluation.paired.items():
        table.add_row(pair, *_format_differences(metrics))
    return table


def _format_differences(metrics: Intervals) -> Iterator[str]:
    rows = {metric: (factor, decimals) for metric, _, factor, decimals in _ROWS}
    for metric in _PAIRED_ROWS:
        factor, decimals = rows[metric]
        yield _format(metrics[metric], factor, decimals, sign="+")


def _format(interval: Interval, factor: float, decimals: int, sign: str = "") -> str:
    mean = f"{factor * interval.mean:{sign}.{decimals}f}"
    if interval.half_width == 0:
        return mean
    return f"{mean} ± {factor * interval.half_width:.{decimals}f}"


def _break_name(name: str, width: int = 12) -> str:
    """Breaks a policy's name after underscores, so that six of them fit beside each other."""
    lines = [""]
    for part in name.replace("_", "_ ").split():
        if lines[-1] and len(lines[-1] + part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def make_forecast_table(name: str, choice: ForecastChoice) -> Table:
    """Returns a row a method: its accuracy, what the rule costs by it, and what its errors cost.

    Args:
        name: of the scenario.
        choice: to be shown.
    """
    table = Table(
        title=f"{name}: the cost of forecasts, on training days after rolling origins",
        caption=(
            "Order-up-to with one z, which is chosen before each origin. An oracle that knows the "
            f"units of the coming days costs {_format(choice.oracle, 1, 2)}; what a method costs "
            f"more is what its errors cost. The cheapest is {choice.chosen}."
        ),
        box=SIMPLE_HEAD,
    )
    table.add_column("method", no_wrap=True)
    for column in ("WAPE, %", "of a week", "log score", "90% band", "z", "on time, %", "cost"):
        table.add_column(column, justify="right")
    table.add_column("of errors", justify="right")
    table.add_column("more than the best", justify="right")
    for result in choice.methods:
        day = result.accuracy[0]
        table.add_row(
            result.method,
            *(f"{100 * accuracy.wape:.1f}" for accuracy in (day, result.accuracy[-1])),
            f"{day.log_score:.3f}",
            f"{100 * day.held:.1f}",
            ", ".join(f"{z:g}" for z in result.z),
            _format(result.on_time, 100, 2),
            _format(result.cost, 1, 2),
            _format(result.error, 1, 2),
            "" if result.method == choice.chosen else _format(result.more, 1, 2),
        )
    return table
