"""The numbers behind each figure of the report."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest

import marl.report
from envs.omnichannel.scenario import Scenario
from marl.evaluation.evaluate import Evaluation
from marl.evaluation.forecast_costs import Accuracy, ForecastChoice, MethodResult
from marl.evaluation.statistics import Interval
from marl.report.figures.base import Figure, get_colour, get_pattern, make_tick
from marl.report.figures.forecast_cost import make_forecast_cost_figure
from marl.report.figures.policies import (
    compute_store_service,
    make_ablation_figure,
    make_channel_figure,
    make_cost_figure,
    make_returns_figure,
    make_store_figure,
)
from marl.report.figures.training import make_reward_figure, make_service_figure, read_curve
from marl.report.page import ReportData, make_figures, make_rows, make_tiles
from marl.report.recording import Recording, Selection
from tests.test_report_network import recordings, selection

__all__ = ["recordings", "selection"]  # fixtures


def make_intervals(scale: float = 1.0, **given: float) -> dict[str, Interval]:
    values = {
        "on_time": 0.9, "served": 0.95, "reward": 0.8, "days_of_cover": 2.0, "cost/total": 30.0,
        "cost/lost_sales": 10.0, "cost/late": 0.0, "cost/holding": 15.0, "cost/overflow": 0.0,
        "cost/transport": 5.0, "cost/ordering": 0.0, "cost/returns": 0.0, "cost/waste": 0.0,
        "on_time/store": 0.8, "on_time/online": 1.0, "restocked": 3.0, "mailed": 0.0,
        "consolidated": 1.0, "liquidated": 0.0, "scrapped": 0.5,
    } | given  # fmt: skip
    return {
        name: Interval(mean=v * scale, low=v * scale - 0.1, high=v * scale + 0.1)
        for name, v in values.items()
    }


POLICIES = {"before": make_intervals(), "trained": make_intervals(0.5)}
RECORDS = [
    {"episodes": 0, "eval/reward": 0.5, "eval/on_time": 0.8, "eval/served": 0.81},
    {"episodes": 8, "train/reward": 0.6, "train/on_time": 0.85, "train/served": 0.9},
    {"episodes": 16, "train/reward": 0.7, "train/on_time": 0.9, "train/served": 0.95},
    {"episodes": 16, "eval/reward": 0.75, "eval/on_time": 0.91, "eval/served": 0.96},
]


def test_curves__read_the_lines_that_have_the_tag() -> None:
    episodes, values = read_curve(RECORDS, "eval/reward")

    assert episodes.tolist() == [0, 16]
    assert values.tolist() == [0.5, 0.75]


def test_reward_figure__shows_both_curves_and_the_references() -> None:
    policies = {"before": make_intervals(), "untrained": make_intervals(), "trained": {}}

    data = make_reward_figure(RECORDS, policies).plots[0].data

    assert [(trace["name"], trace["x"], trace["y"]) for trace in data] == [
        ("training", [8, 16], [0.6, 0.7]),
        ("validation", [0, 16], [0.5, 0.75]),
        ("before", [0, 16.0], [0.8, 0.8]),
    ]


def test_reward_figure__of_a_long_run_averages_blocks() -> None:
    records = [{"episodes": i, "train/reward": float(i % 2)} for i in range(4000)]

    trace = make_reward_figure(records, {}).plots[0].data[0]

    assert len(trace["x"]) == 400
    assert set(trace["y"]) == {0.5}


def test_service_figure__is_in_percent_by_both_meanings() -> None:
    on_time, served = make_service_figure(RECORDS, {}).plots

    assert on_time.data[1]["y"] == [80.0, 91.0]
    assert served.data[1]["y"] == [81.0, 96.0]


def test_cost_figure__stacks_the_terms_that_are_paid() -> None:
    data = make_cost_figure(POLICIES).plots[0].data

    assert [(trace["name"], trace["x"]) for trace in data[:-1]] == [
        ("lost sales", [10.0, 5.0]),
        ("holding", [15.0, 7.5]),
        ("transport", [5.0, 2.5]),
    ]
    assert data[-1]["text"] == [" 30.0", " 15.0"]


def test_palettes__tell_any_number_of_cost_terms_apart() -> None:
    looks = {(get_colour(i), get_pattern(i)) for i in range(64)}

    assert len(looks) == 64
    assert (get_colour(64), get_pattern(64)) in looks


def test_figures__show_names_letter_by_letter() -> None:
    name = "a<b>_%{x}"

    data = make_cost_figure({name: make_intervals()}).plots[0].data

    assert data[0]["y"] == ["a&lt;b&gt; %\N{ZERO WIDTH SPACE}{x}"]


def test_returns_figure__stacks_the_dispositions() -> None:
    data = make_returns_figure(POLICIES).plots[0].data

    assert [(trace["name"], trace["x"]) for trace in data[:-1]] == [
        ("restocked", [3.0, 1.5]),
        ("consolidated", [1.0, 0.5]),
        ("scrapped", [0.5, 0.25]),
    ]


def test_channel_figure__shows_percent_and_intervals() -> None:
    figure = make_channel_figure(POLICIES, ("store", "online"))
    assert figure is not None
    trace = figure.plots[0].data[0]

    assert trace["x"] == ["store", "online"]
    assert trace["y"] == [80.0, 100.0]
    assert trace["error_y"]["array"] == [10.0, 10.0]


def test_channel_figure__is_left_out_without_its_metrics() -> None:
    assert make_channel_figure(POLICIES, ("store", "online", "pickup")) is None


def test_store_figure__is_units_on_time_over_units_demanded(
    recordings: dict[str, Recording], selection: Selection
) -> None:
    units = {
        "on_time": np.array([[[3.0, 1.0], [2.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]),
        "demand": np.array([[[4.0, 2.0], [2.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]),
    }
    recording = replace(recordings["before"], units=units)

    assert compute_store_service(recording).tolist() == [0.75, 1.0]
    data = make_store_figure({"before": recording}, selection).plots[0].data
    assert data[0]["x"] == ["store_0", "store_1"]
    assert data[0]["y"] == [75.0, 100.0]


def test_ablation_figure__is_reward_by_variant() -> None:
    trace = make_ablation_figure(POLICIES).plots[0].data[0]

    assert trace["x"] == [0.8, 0.4]
    assert trace["error_x"]["array"] == [0.1, 0.1]


def test_headline__compares_with_before() -> None:
    tiles = make_tiles(POLICIES)

    assert (tiles[0].label, tiles[0].value, tiles[0].comparison) == (
        "on time", "45.00", "before 90.00",
    )  # fmt: skip
    assert make_tiles({"trained": make_intervals()})[0].comparison == ""
    assert make_tiles({"before": make_intervals()}) == []


def test_table__prints_signs_and_half_widths() -> None:
    paired = {"trained - before": make_intervals(-0.5)}

    name, cells = make_rows(paired, sign="+")[0]

    assert name == "trained - before"
    assert (cells[0].mean, cells[0].half_width) == ("\N{MINUS SIGN}45.00", "± 10.00")
    assert make_rows(POLICIES, sign="+")[0][1][0].mean == "+90.00"


def test_ticks__are_broken_for_phones() -> None:
    assert make_tick("forecast_order_up_to") == "forecast<br>order up to"


COSTS = ForecastChoice(
    chosen="moving_average",
    oracle=Interval(mean=50.0, low=49.0, high=51.0),
    methods=(
        MethodResult(
            method="moving_average",
            accuracy=(
                Accuracy(periods=1, wape=1.104, log_score=1.4, held=0.902),
                Accuracy(periods=7, wape=0.487, log_score=3.0, held=0.91),
            ),
            z=(1.0, 1.5),
            cost=Interval(mean=90.0, low=88.0, high=92.0),
            on_time=Interval(mean=0.9, low=0.9, high=0.9),
            error=Interval(mean=40.0, low=38.5, high=41.5),
            more=Interval(mean=0.0, low=0.0, high=0.0),
        ),
    ),
)


def test_forecast_cost__is_what_the_forecast_costs_more_than_the_oracle() -> None:
    figure = make_forecast_cost_figure(COSTS)
    costs, errors = (plot.data[0] for plot in figure.plots)
    assert "the 40.00 ± 1.50 between them" in figure.reading
    assert (costs["y"], costs["x"]) == (["oracle", "moving<br>average"], [50.0, 90.0])
    assert costs["error_x"]["array"] == [1.0, 2.0]
    assert (errors["y"], errors["x"]) == (["next day", "next 7 days"], [110.4, 48.7])
    assert errors["text"] == ["90% band holds 90.2%", "90% band holds 91.0%"]


def make_data(tiny: Scenario, recordings: dict[str, Recording]) -> ReportData:
    evaluation = Evaluation(
        scenario="tiny",
        episodes=16,
        seed=0,
        policies=POLICIES,
        paired={"trained - before": make_intervals()},
    )
    return ReportData(
        name="a run",
        scenario=tiny,
        evaluation=evaluation,
        records=RECORDS,
        recordings=recordings,
        ablation=evaluation,
        forecast_costs=COSTS,
        documents={},
    )


def test_figures__are_what_plotly_allows(tiny: Scenario, recordings: dict[str, Recording]) -> None:
    figures = make_figures(make_data(tiny, recordings))

    assert [figure.id for figure in figures] == [
        "reward", "service", "stock", "costs", "channels", "stores", "flows", "returns",
        "forecast-cost", "proposals", "ablations",
    ]  # fmt: skip
    for figure in figures:
        check_with_plotly(figure)


def check_with_plotly(figure: Figure) -> None:
    """plotly refuses unknown properties and values; the page's colours become real ones."""
    text = re.sub(r"var\(--[\w-]+\)", "#123456", json.dumps(figure.to_json(), allow_nan=False))
    for plot in json.loads(text)["plots"]:
        for patch in [[{}] * len(plot["data"]), *plot["patches"].values()]:
            data = [trace | change for trace, change in zip(plot["data"], patch, strict=True)]
            go.Figure(data, plot["layout"])


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours__hold_against_the_page(scheme: int) -> None:
    folder = Path(marl.report.__path__[0])
    blocks = (folder / "report.css").read_text("utf-8").split(":root {")[1:]
    colours = dict(re.findall(r"(--[\w-]+): (#[0-9a-f]{3,6});", blocks[scheme].split("}")[0]))

    for name, colour in colours.items():
        needed = {"--text": 7.0, "--quiet": 4.5, "--trained": 4.5}.get(name, 3.0)
        if name not in {"--page", "--surface", "--rule", "--grid", "--bar"}:
            assert compute_contrast(colour, colours["--page"]) >= needed, name


def compute_contrast(a: str, b: str) -> float:
    """WCAG 2.1's contrast ratio."""
    lighter, darker = sorted((compute_luminance(a), compute_luminance(b)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def compute_luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
    parts = np.array([int(digits[i : i + 2], 16) for i in (0, 2, 4)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])
