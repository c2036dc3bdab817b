"""The numbers behind the report's figures of the network: recordings, stock, flows, proposals."""

from dataclasses import replace

import numpy as np
import pytest

from envs.omnichannel.batched_env import BatchedEnv, Step
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.scenario.substitution import Substitution
from envs.omnichannel.world.draws import make_seeds
from marl.evaluation.evaluate import EpisodeRunner
from marl.policies import make_policy
from marl.policies.base import Policy
from marl.report.figures.base import to_list
from marl.report.figures.network import (
    Box,
    compute_cover,
    make_flow_diagram,
    make_proposal_figure,
    make_stock_figure,
)
from marl.report.recording import Recording, Selection, record_episodes


class Constant:
    """Every agent holds one option."""

    name = "constant"

    def __init__(self, option: int) -> None:
        self.option = option

    def run_period(self, env: BatchedEnv) -> Step:
        shapes = {m: env.layout.modules[m].num_agents for m in env.layout.modules}
        skus = env.network.num_skus
        return env.step(
            {m: np.full((env.num_copies, a, skus), self.option) for m, a in shapes.items()}
        )


@pytest.fixture(scope="module")
def selection(tiny: Scenario) -> Selection:
    return Selection.from_scenario(tiny)


@pytest.fixture(scope="module")
def recordings(tiny: Scenario, selection: Selection) -> dict[str, Recording]:
    seeds = make_seeds("report", 0, 2)
    policies: dict[str, Policy] = {"before": make_policy("before", tiny), "trained": Constant(2)}
    return {n: record_episodes(p, tiny, seeds, selection) for n, p in policies.items()}


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
    metrics = EpisodeRunner(tiny, make_seeds("report", 0, 2), "evaluate").run(
        make_policy("before", tiny)
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
    recording = Recording(
        episodes=1,
        units=units,
        stock=nothing,
        proposals=nothing[None],
        average=nothing,
        moved=nothing,
    )

    diagram = make_flow_diagram(recording, tiny)

    assert {(s.label, t.label): units for s, t, units in diagram.links} == {
        ("supplier", "dc_0"): 14, ("dc_0", "store_0"): 7, ("dc_0", "store_1"): 4,
        ("dc_0", "online"): 3, ("store_0", "store"): 4, ("store_1", "store"): 3,
        ("store_0", "online"): 1, ("store", "customers"): 7, ("online", "customers"): 4,
        ("store", "lost sales"): 1, ("customers", "returned"): 1.5,
        ("returned", "consolidated"): 1, ("returned", "scrapped"): 0.5,
        ("store_1", "expired"): 0.25,
    }  # fmt: skip
    units["undelivered"] = np.array([[1.0, 1.0], [0.0, 0.0], [0.0, 0.5]])
    lossy = make_flow_diagram(recording, tiny).links
    assert {(s.label, t.label): units for s, t, units in lossy}.items() > {
        ("dc_0", "never arrived"): 2,
        ("store_1", "never arrived"): 0.5,
    }.items()
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


def test_flow_diagram__shows_what_was_taken_in_place_of_another(tiny: Scenario) -> None:
    rules = [Substitution(of="shirt", by="lamp", share=1.0)]
    scenario = tiny.model_copy(update={"substitution": rules, "initial_store_cover": 0.5})
    selection, seeds = Selection.from_scenario(scenario), make_seeds("report", 1, 4)
    recording = record_episodes(make_policy("before", scenario), scenario, seeds, selection)
    links = {
        (a.label, b.label): units for a, b, units in make_flow_diagram(recording, scenario).links
    }

    taken = recording.units["substituted_in"]
    assert taken[1].sum() > 0
    assert links["substitutes", "customers"] == pytest.approx(taken.sum())
    assert links["store_0", "substitutes"] == pytest.approx(taken[0].sum())


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
