from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest

from envs.omnichannel.agents.roster import MODULES
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.layout import Layout
from envs.omnichannel.scenario import load_scenario


def test_layout__paper_has_34_agents_in_6_modules() -> None:
    layout = Layout.from_scenario(load_scenario("paper"))
    stores = range(10)
    assert layout.names == [
        "ordering_high",
        "ordering_dc_0",
        *(f"ordering_store_{s}" for s in stores),
        "shipping_high",
        *(f"shipping_store_{s}" for s in stores),
        "return_high",
        *(f"return_store_{s}" for s in stores),
    ]
    assert len(layout.names) == 34
    assert list(layout.modules) == list(MODULES)
    assert [module.num_agents for module in layout.modules.values()] == [1, 11, 1, 10, 1, 10]


def test_layout__rows_agree_with_the_slices_of_the_modules() -> None:
    layout = Layout.from_scenario(load_scenario("tiny"))
    for name, module in layout.modules.items():
        members = [agent for agent in layout.agents if agent.module_id == name]
        assert [a.row for a in members] == list(range(module.rows.start, module.rows.stop))
        assert [a.index for a in members] == list(range(len(members)))
    # Rows: the DC, two stores, the network.
    assert {agent.name: agent.row for agent in layout.agents}["return_store_1"] == 2
    assert {agent.name: agent.row for agent in layout.agents}["return_high"] == 3


def test_layout__who_leads_whom_and_how_often_they_decide() -> None:
    layout = Layout.from_scenario(load_scenario("tiny"))
    low, high = layout.modules["shipping_low"], layout.modules["shipping_high"]
    assert (low.role, low.level, low.boss, low.cadence) == ("shipping", "low", high.name, 1)
    assert (high.level, high.boss, high.cadence) == ("high", None, layout.review_period)
    assert list(layout.decision_times("high")[:2]) == [0, layout.review_period]
    assert (layout.rows_of("low"), layout.rows_of("high")) == (slice(0, 3), slice(3, 4))


@pytest.mark.parametrize(
    ("horizon", "review", "times"),
    [(100, 7, range(0, 92, 7)), (98, 7, range(0, 92, 7)), (5, 7, [0]), (3, 1, [0, 1, 2])],
)
def test_decision_times__a_return_of_the_high_level_ends_where_it_decides(
    horizon: int, review: int, times: Iterable[int]
) -> None:
    layout = replace(
        Layout.from_scenario(load_scenario("tiny")), horizon=horizon, review_period=review
    )
    assert layout.decision_times("high").tolist() == list(times)
    assert layout.decision_times("low").tolist() == list(range(horizon))


@pytest.mark.parametrize("name", ["tiny", "perishable", "pickup", "two_dcs", "retail"])
def test_layout__sizes_are_those_of_the_environment(name: str) -> None:
    scenario = load_scenario(name)
    layout, env = Layout.from_scenario(scenario), BatchedEnv(scenario, num_copies=1)
    net = env.network
    assert (layout.num_dcs, layout.num_stores) == (net.num_dcs, net.num_stores)
    assert layout.features == env.observation.features
    assert env.forecast.begin(np.zeros(1, np.int64)).smoothed.shape[1:] == (
        layout.num_stores,
        layout.num_skus,
        layout.num_channels,
    )
    for decision in env.coordinator.decisions:
        for module_id, grid in zip(decision.proposers, decision.grids, strict=True):
            assert layout.modules[module_id].num_options == len(grid)
