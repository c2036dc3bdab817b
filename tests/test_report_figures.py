"""The numbers behind each figure of the report."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest

import marl.evaluation.report
from envs.omnichannel.batched_env import BatchedEnv, Step
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.world.draws import make_seeds
from marl.evaluation.evaluate import Evaluation, run_episodes
from marl.evaluation.report.comparisons import (
    compute_store_service,
    make_ablation_figure,
    make_channel_figure,
    make_cost_figure,
    make_returns_figure,
    make_store_figure,
)
from marl.evaluation.report.curves import make_reward_figure, make_service_figure, read_curve
from marl.evaluation.report.figure import Figure, make_tick, to_list
from marl.evaluation.report.network import (
    Box,
    compute_cover,
    make_flow_diagram,
    make_proposal_figure,
    make_stock_figure,
)
from marl.evaluation.report.recording import Recording, Selection, record_episodes
from marl.evaluation.report.report import ReportData, make_figures, make_rows, make_tiles
from marl.evaluation.statistics import Interval
from marl.policies import make_policy
from marl.policies.base import Policy


class Constant:
    """Every agent holds one level."""

    name = "constant"

    def __init__(self, level: int) -> None:
        self.level = level

    def run_period(self, env: BatchedEnv) -> Step:
        shapes = {m: env.roster.num_agents(m) for m in env.roster.module_rows}
        skus = env.network.num_skus
        return env.step(
            {m: np.full((env.num_copies, a, skus), self.level) for m, a in shapes.items()}
        )


@pytest.fixture(scope="module")
def selection(tiny: Scenario) -> Selection:
    return Selection.from_scenario(tiny)


@pytest.fixture(scope="module")
def recordings(tiny: Scenario, selection: Selection) -> dict[str, Recording]:
    seeds = make_seeds("report", 0, 2)
    policies: dict[str, Policy] = {"before": make_policy("before", tiny), "trained": Constant(2)}
    return {n: record_episodes(p, tiny, seeds, selection) for n, p in policies.items()}


def make_intervals(scale: float = 1.0, **given: float) -> dict[str, Interval]:
    values = {
        "on_time": 0.9, "served": 0.95, "reward": 0.8, "days_of_cover": 2.0, "cost/total": 30.0,
        "cost/lost_sales": 10.0, "cost/late": 0.0, "cost/holding": 15.0, "cost/overflow": 0.0,
        "cost/transport": 5.0, "cost/ordering": 0.0, "cost/returns": 0.0, "cost/waste": 0.0,
        "on_time/store": 0.8, "on_time/online": 1.0, "restocked": 3.0, "mailed": 0.0,
        "consolidated": 1.0, "liquidated": 0.0, "scrapped": 0.5,
    } | given  # fmt: skip
    return {
        name: Interval(v * scale, v * scale - 0.1, v * scale + 0.1) for name, v in values.items()
    }


POLICIES = {"before": make_intervals(), "trained": make_intervals(0.5)}
RECORDS = [
    {"episodes": 0, "eval/reward": 0.5, "eval/on_time": 0.8, "eval/served": 0.81},
    {"episodes": 8, "train/reward": 0.6, "train/on_time": 0.85, "train/served": 0.9},
    {"episodes": 16, "train/reward": 0.7, "train/on_time": 0.9, "train/served": 0.95},
    {"episodes": 16, "eval/reward": 0.75, "eval/on_time": 0.91, "eval/served": 0.96},
]


def test_selection__of_a_small_network_shows_everything(selection: Selection) -> None:
    assert selection.node_names == ("dc_0", "store_0", "store_1")
    assert selection.sku_names == ("shirt", "lamp")
    # 6 + 3 shirts and 3 + 2 lamps a day in a store of size 1, half of it in one of size 0.5.
    assert selection.demand.tolist() == [[13.5, 7.5], [9.0, 5.0], [4.5, 2.5]]


def test_selection__keeps_the_largest_in_the_networks_order() -> None:
    selection = Selection.from_scenario(load_scenario("paper"), most=3)

    assert selection.node_names == ("dc_0", "store_2", "store_4", "store_8")
    assert selection.sku_names == ("grocery", "home", "electronics")
    assert selection.demand.shape == (4, 3)


def test_recording__agrees_with_the_metrics_of_the_same_episodes(
    tiny: Scenario, recordings: dict[str, Recording]
) -> None:
    metrics = run_episodes(
        make_policy("before", tiny), tiny, make_seeds("report", 0, 2), "evaluate"
    )
    before = recordings["before"]

    assert before.episodes == 2
    assert before.stock.shape == (14, 3, 2)
    assert before.stock.sum(axis=(1, 2)).mean() == pytest.approx(metrics["stock"].mean())
    for name in ("returned", "consolidated", "shrunk"):
        assert before.units[name].sum() == pytest.approx(metrics[name].mean())
    for c, channel in enumerate(tiny.channels):
        lost = before.units["lost"][..., c].sum()
        assert lost == pytest.approx(metrics[f"lost/{channel}"].mean())


def test_recording__of_constant_agents_averages_their_proposals(
    recordings: dict[str, Recording],
) -> None:
    trained = recordings["trained"]

    assert trained.proposals.shape == (4, 14, 3, 2)
    # Only ordering agents propose supplier orders.
    assert np.isnan(trained.proposals[2:, :, 0]).all()
    assert not np.isnan(trained.proposals[:, :, 1:]).any()
    np.testing.assert_allclose(trained.average, np.nanmean(trained.proposals, axis=0))
    # A DC's supplier takes every order: what is above zero, rounded half up.
    orders = np.floor(np.maximum(trained.average[:, 0], 0) + 0.5)
    np.testing.assert_array_equal(trained.moved[:, 0], orders)


def test_recording__of_a_policy_without_agents_has_no_proposals(
    recordings: dict[str, Recording], selection: Selection
) -> None:
    assert recordings["before"].proposals.shape == (0, 0, 3, 2)
    assert make_proposal_figure(recordings["before"], selection) is None


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


def test_stock_figure__is_stock_over_demand_by_day(
    recordings: dict[str, Recording], selection: Selection
) -> None:
    figure = make_stock_figure(recordings, selection)
    before = recordings["before"]

    assert [plot.unit for plot in figure.plots] == [
        "before: days of cover", "trained: days of cover",
    ]  # fmt: skip
    assert figure.controls[0].options == [str(day) for day in range(14)]
    day_3 = figure.plots[0].patches["3"][0]
    assert day_3["customdata"] == before.stock[3].round(1).tolist()
    assert before.stock[3, 0, 0] > 0
    assert day_3["z"][0][0] == pytest.approx(before.stock[3, 0, 0] / 13.5, abs=0.005)
    # Both panels share one scale.
    assert len({plot.data[0]["zmax"] for plot in figure.plots}) == 1


def test_stock_figure__of_many_skus_runs_down_the_page(
    recordings: dict[str, Recording], selection: Selection
) -> None:
    before = recordings["before"]
    stock, demand = np.tile(before.stock, 2), np.tile(selection.demand, 2)
    wide = replace(selection, demand=demand, sku_names=("a", "b", "c", "a very long name"))

    plot = make_stock_figure({"before": replace(before, stock=stock)}, wide).plots[0]

    assert plot.data[0]["x"] == ["dc_0", "store_0", "store_1"]
    assert plot.data[0]["customdata"] == stock[-1].T.round(1).tolist()
    assert plot.layout["yaxis"]["ticktext"] == ["a", "b", "c", "a very long n…"]


def test_cover__of_what_nobody_demands_is_left_blank(
    recordings: dict[str, Recording], selection: Selection
) -> None:
    demand = selection.demand.copy()
    demand[1, 0] = 0

    cover = compute_cover(recordings["before"], replace(selection, demand=demand))

    assert np.isnan(cover[:, 1, 0]).all()
    assert to_list(cover[0])[1][0] is None


def test_cost_figure__stacks_the_terms_that_are_paid() -> None:
    data = make_cost_figure(POLICIES).plots[0].data

    assert [(trace["name"], trace["x"]) for trace in data[:-1]] == [
        ("lost sales", [10.0, 5.0]),
        ("holding", [15.0, 7.5]),
        ("transport", [5.0, 2.5]),
    ]
    assert data[-1]["text"] == [" 30.0", " 15.0"]


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


def test_flow_diagram__has_a_link_for_every_flow(tiny: Scenario) -> None:
    units = {
        "supplied": np.array([[10.0, 4.0]]),
        "shipped": np.array([[5.0, 2.0], [3.0, 1.0]]),
        "sold_store": np.array([[3.0, 1.0], [2.0, 1.0]]),
        "online_from_store": np.array([[1.0, 0.0], [0.0, 0.0]]),
        "online_from_dc": np.array([[0.0, 2.0], [1.0, 0.0]]),
        "demand": np.array([[[4.0, 1.0], [1.0, 2.0]], [[2.0, 1.0], [1.0, 0.0]]]),
        "lost": np.array([[[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]),
        "returned": np.array([[1.0, 0.0], [0.5, 0.0]]),
        "consolidated": np.array([[1.0, 0.0], [0.0, 0.0]]),
        "scrapped": np.array([[0.0, 0.0], [0.5, 0.0]]),
    }
    units["wasted"] = np.array([[0.0, 0.0], [0.25, 0.0]])
    zeros = ("store_from_dc", "shrunk", "restocked", "mailed", "liquidated")
    units |= {name: np.zeros((2, 2)) for name in zeros}
    nothing = np.empty((0, 3, 2))
    recording = Recording(1, units, nothing, nothing[None], nothing, nothing)

    diagram = make_flow_diagram(recording, tiny)

    assert {(s.label, t.label): units for s, t, units in diagram.links} == {
        ("supplier", "dc_0"): 14, ("dc_0", "store_0"): 7, ("dc_0", "store_1"): 4,
        ("dc_0", "online"): 3, ("store_0", "store"): 4, ("store_1", "store"): 3,
        ("store_0", "online"): 1, ("store", "customers"): 7, ("online", "customers"): 4,
        ("store", "lost sales"): 1, ("customers", "returned"): 1.5,
        ("returned", "consolidated"): 1, ("returned", "scrapped"): 0.5,
        ("store_1", "expired"): 0.25,
    }  # fmt: skip
    trace = diagram.to_trace()
    assert trace["node"]["label"][:3] == ["supplier", "dc_0", "store_0"]
    assert (trace["link"]["source"][0], trace["link"]["target"][0]) == (0, 1)
    assert trace["link"]["value"][0] == 14


def test_flow_diagram__conserves_what_the_stores_get(tiny: Scenario) -> None:
    selection = Selection.from_scenario(tiny)
    recording = record_episodes(
        make_policy("before", tiny), tiny, make_seeds("report", 1, 4), selection
    )
    diagram = make_flow_diagram(recording, tiny)
    sold = sum(u for _, target, u in diagram.links if target == Box("end", "customers"))

    names = ("sold_store", "store_from_dc", "online_from_store", "online_from_dc")
    assert sold == pytest.approx(sum(recording.units[name].sum() for name in names))


def test_flow_diagram__draws_many_stores_as_one(tiny: Scenario) -> None:
    stores = [
        tiny.network.stores[0].model_copy(update={"name": f"s{i}", "size": 1.0 + i})
        for i in range(14)
    ]
    network = tiny.network.model_copy(update={"stores": stores})
    scenario = tiny.model_copy(update={"network": network})
    selection = Selection.from_scenario(scenario)
    recording = record_episodes(
        make_policy("before", scenario), scenario, make_seeds("report", 1, 1), selection
    )

    boxes = {box.label for link in make_flow_diagram(recording, scenario).links for box in link[:2]}

    assert "3 other stores" in boxes
    assert {f"s{i}" for i in range(3, 14)} < boxes
    assert not {"s0", "s1", "s2"} & boxes


def test_proposal_figure__follows_the_chosen_location_and_sku(
    recordings: dict[str, Recording], selection: Selection
) -> None:
    figure = make_proposal_figure(recordings["trained"], selection)
    assert figure is not None
    trained, plot = recordings["trained"], figure.plots[0]

    assert [trace["name"] for trace in plot.data] == [
        "ordered or shipped", "ordering high", "ordering low", "shipping high", "shipping low",
        "average (eq. 6)",
    ]  # fmt: skip
    assert [control.options for control in figure.controls] == [
        ["dc_0", "store_0", "store_1"], ["shirt", "lamp"],
    ]  # fmt: skip
    dc = plot.patches["0,1"]
    assert [trace["visible"] for trace in dc] == [True, True, True, False, False, True]
    assert dc[0]["y"] == trained.moved[:, 0, 1].tolist()
    store = plot.patches["2,0"]
    assert store[4]["y"] == trained.proposals[3, :, 2, 0].round(1).tolist()


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


def make_data(tiny: Scenario, recordings: dict[str, Recording]) -> ReportData:
    evaluation = Evaluation("tiny", 16, 0, POLICIES, {"trained - before": make_intervals()})
    return ReportData("a run", tiny, evaluation, RECORDS, recordings, evaluation, {})


def test_figures__are_what_plotly_allows(tiny: Scenario, recordings: dict[str, Recording]) -> None:
    figures = make_figures(make_data(tiny, recordings))

    assert [figure.id for figure in figures] == [
        "reward", "service", "stock", "costs", "channels", "stores", "flows", "returns",
        "proposals", "ablations",
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
    folder = Path(marl.evaluation.report.__path__[0])
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
