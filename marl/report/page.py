"""Puts figures, tables and plotly's own script into one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import dataclass
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from envs.omnichannel.scenario import Scenario
from marl.evaluation.evaluate import Evaluation
from marl.evaluation.forecast_costs import ForecastChoice
from marl.evaluation.statistics import Interval
from marl.report.figures.base import Figure, make_label
from marl.report.figures.forecast import make_forecast_figure
from marl.report.figures.forecast_cost import make_forecast_cost_figure
from marl.report.figures.network import (
    make_flow_figure,
    make_proposal_figure,
    make_stock_figure,
)
from marl.report.figures.policies import (
    make_ablation_figure,
    make_channel_figure,
    make_cost_figure,
    make_returns_figure,
    make_store_figure,
)
from marl.report.figures.training import (
    TRAINED,
    Policies,
    Records,
    make_reward_figure,
    make_service_figure,
)
from marl.report.recording import Recording, Selection

BEFORE = "before"


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """All that a report shows."""

    name: str  # of the run
    scenario: Scenario
    evaluation: Evaluation
    records: Records  # lines of metrics.jsonl
    recordings: dict[str, Recording]  # by policy: before, trained
    ablation: Evaluation | None  # the run's variants, each without one part
    forecast_costs: ForecastChoice | None  # of the scenario's own method, where asked for
    documents: dict[str, str]  # by title, shown as they are: configuration, scenario, versions


@dataclass(frozen=True)
class Tile:
    """A headline number."""

    label: str
    value: str
    unit: str
    comparison: str


@dataclass(frozen=True)
class Cell:
    """A number of a table: mean and half the 95% interval."""

    mean: str
    half_width: str


@dataclass(frozen=True)
class Column:
    """A column of the headline table."""

    metric: str
    label: str
    unit: str
    factor: float
    decimals: int

    def name_unit(self, period: str) -> str:
        """Returns the unit, of periods of this name."""
        return self.unit.format(period=period)

    def format(self, value: float, sign: str = "") -> str:
        """Returns a value in the column's unit."""
        text = f"{self.factor * value:{sign}.{self.decimals}f}"
        return text.replace("-", "\N{MINUS SIGN}")

    def make_cell(self, interval: Interval, sign: str = "") -> Cell:
        """Returns a mean with its interval."""
        return Cell(self.format(interval.mean, sign), f"± {self.format(interval.half_width)}")


COLUMNS = (
    Column("on_time", "on time", "%", 100, 2),
    Column("served", "served", "%", 100, 2),
    Column("reward", "reward", "eq. 8", 1, 4),
    Column("cost/total", "cost", "a {period}", 1, 2),
    Column("days_of_cover", "stock", "{period}s", 1, 2),
)


def render_report(data: ReportData) -> str:
    """Returns the report as one HTML document."""
    figures = make_figures(data)
    environment = Environment(
        loader=PackageLoader("marl.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    network, period = data.scenario.network, data.scenario.period
    return environment.get_template("template.html.j2").render(
        data=data,
        size=f"{_count(len(network.dcs), 'distribution centre')}, "
        f"{_count(len(network.stores), 'store')}, {_count(len(data.scenario.skus), 'SKU')}, "
        f"episodes of {_count(data.scenario.horizon, period)}",
        tiles=make_tiles(data.evaluation.policies, period),
        columns=[(column.label, column.name_unit(period)) for column in COLUMNS],
        rows=make_rows(data.evaluation.policies),
        differences=make_rows(data.evaluation.paired, sign="+"),
        figures=figures,
        payload=compress(json.dumps([figure.to_json() for figure in figures])),
        plotly=_compress_plotly(),
    )


def make_figures(data: ReportData) -> list[Figure]:
    """Returns all figures that the data can fill, in the order of the page."""
    selection = Selection.from_scenario(data.scenario)
    policies, period = data.evaluation.policies, data.scenario.period
    costs = data.forecast_costs
    figures = [
        make_reward_figure(data.records, policies),
        make_service_figure(data.records, policies, period),
        make_stock_figure(data.recordings, selection),
        make_cost_figure(policies, period),
        make_channel_figure(policies, data.scenario.channels, period),
        make_store_figure(data.recordings, selection),
        make_flow_figure(data.recordings, data.scenario),
        make_returns_figure(policies, period),
        make_forecast_figure(data.scenario),
        make_forecast_cost_figure(costs, period) if costs else None,
        make_proposal_figure(data.recordings[TRAINED], selection),
        make_ablation_figure(data.ablation.policies) if data.ablation else None,
    ]
    return [figure for figure in figures if figure is not None]


def make_tiles(policies: Policies, period: str = "day") -> list[Tile]:
    """Returns the trained policy's headline numbers, each beside that of `before`."""
    trained, before = policies.get(TRAINED), policies.get(BEFORE)
    if trained is None:
        return []
    return [
        Tile(
            label=column.label,
            unit=column.name_unit(period),
            value=column.format(trained[column.metric].mean),
            comparison=f"{BEFORE} {column.format(before[column.metric].mean)}" if before else "",
        )
        for column in COLUMNS
    ]


def make_rows(found: Policies, sign: str = "") -> list[tuple[str, list[Cell]]]:
    """Returns a table of the columns: a policy, or a pair of them, a row."""
    return [
        (make_label(name), [column.make_cell(metrics[column.metric], sign) for column in COLUMNS])
        for name, metrics in found.items()
    ]


def compress(text: str) -> str:
    """Returns gzip in base64, which the page's script unpacks: two fifths of plotly's size."""
    # mtime: the same report twice is the same file.
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode("ascii")


@cache
def _compress_plotly() -> str:
    return compress(get_plotlyjs())


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
