from dataclasses import replace

import numpy as np
import pytest

from envs.omnichannel.agents.coordinator import Coordinator, make_decisions
from envs.omnichannel.agents.decisions.base import Decision
from envs.omnichannel.layout import Layout
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import FloatArray, ModuleOptions, Network, Signals, View
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.simulator import Simulator


def make_decision(tiny: Scenario, target: str) -> Decision:
    decisions = make_decisions(tiny, Network.from_scenario(tiny))
    return next(d for d in decisions if d.target == target)


def propose(
    tiny: Scenario, target: str, options: ModuleOptions, view: View | None = None
) -> FloatArray:
    """All proposals where half of the online orders are the stores'."""
    share = np.full((1, 2, 2), 0.5)
    coordinator = Coordinator(tiny, Network.from_scenario(tiny))
    return coordinator.propose(options, view or make_view(tiny), share)[target]


def make_view(tiny: Scenario) -> View:
    """Everything that counts as position: see the tests for who counts what."""
    state = Simulator(tiny).make_state(make_seeds("test", 0, 1))
    in_transit = np.zeros_like(state.in_transit)
    in_transit[0, 1, :, 0] = [20, 3, 4]
    in_inspection = np.zeros_like(state.in_inspection)
    in_inspection[0, 0, :, 0] = [2, 0]
    backorders = np.zeros_like(state.backorders)
    backorders[0, 0, :, 0] = [5, 1]
    forecast = np.broadcast_to(np.array([10.0, 4.0]), (1, 2, 2, 2))
    state = replace(
        state,
        on_hand=np.array([[[30, 0], [10, 0], [6, 0]]]),
        in_transit=in_transit,
        in_inspection=in_inspection,
        backorders=backorders,
    )
    signals = Signals(
        forecast=forecast,
        smoothed=forecast,
        last_demand=forecast.astype(np.int64),
        variance=np.ones((1, 2, 2)),
        weight=np.ones((1, 2, 2)),
        origin=np.zeros(1, np.int64),
        ahead=np.ones((1, 1, 1, 2)),
    )
    return View.make(state, signals)


def make_options(**chosen: int) -> ModuleOptions:
    agents = {
        "ordering_high": 1,
        "ordering_low": 3,
        "shipping_high": 1,
        "shipping_low": 2,
        "return_high": 1,
        "return_low": 2,
    }
    return {m: np.full((1, count, 2), chosen.get(m, 0)) for m, count in agents.items()}


def test_num_options__follow_the_grids(tiny: Scenario) -> None:
    # 11 covers; 4 push covers x 3 online shares; 4 dispositions.
    modules = Layout.from_scenario(tiny).modules
    assert {m: module.num_options for m, module in modules.items()} == {
        "ordering_high": 11,
        "ordering_low": 11,
        "shipping_high": 12,
        "shipping_low": 12,
        "return_high": 4,
        "return_low": 4,
    }


@pytest.mark.parametrize(
    ("option", "cover", "share"), [(0, 0.5, 0), (1, 0.5, 0.5), (2, 0.5, 1), (3, 1.5, 0), (11, 5, 1)]
)
def test_shipping_options__share_varies_fastest(
    tiny: Scenario, option: int, cover: float, share: float
) -> None:
    push = make_decision(tiny, "shipment_gap").grids[2]
    shared = make_decision(tiny, "online_share").grids[0]
    assert (push[option, 0], shared[option, 0]) == (cover, share)
    shares = propose(tiny, "online_share", make_options(shipping_high=option))
    assert shares.shape == (2, 1, 2, 2)
    assert (shares[0] == share).all()
    assert (shares[1] == 0).all()


def test_propose_dispositions__high_level_holds_for_every_store(tiny: Scenario) -> None:
    proposed = propose(tiny, "disposition", make_options(return_high=3, return_low=2))
    assert proposed.shape == (2, 1, 2, 2, 3)
    assert (proposed[0] == [0.5, 0.5, 0]).all()
    assert (proposed[1] == [0, 0, 1]).all()


def test_propose_supplier_gaps__use_the_echelon(tiny: Scenario) -> None:
    """DC 30 + 20, stores 10 + 3 + 2 - 5 and 6 + 4 - 1: position 69. Rate 28; 6 and 10 days."""
    gaps = propose(tiny, "supplier_gap", make_options(ordering_low=4))
    assert gaps.shape == (2, 1, 1, 2)
    assert gaps[:, 0, 0, 0].tolist() == [6 * 28 - 69, 10 * 28 - 69]


def test_propose_shipment_gaps__cover_the_lead_time_and_the_days_beyond(tiny: Scenario) -> None:
    """Positions 15 and 10; with a share of 0.5 the stores serve 12 a day, lead times 1 and 2.

    The DC's 30 units do not matter to a pull or to the push of a store's own agent.
    """
    options = make_options(ordering_high=2, ordering_low=6, shipping_low=9)
    gaps = propose(tiny, "shipment_gap", options)
    assert gaps.shape == (4, 1, 2, 2)
    assert gaps[0, 0, :, 0].tolist() == [2 * 12 - 15, 3 * 12 - 10]
    assert gaps[1, 0, :, 0].tolist() == [4 * 12 - 15, 5 * 12 - 10]
    assert gaps[3, 0, :, 0].tolist() == [6 * 12 - 15, 7 * 12 - 10]


def test_propose_shipment_gaps__balanced_push_shares_out_what_the_dc_holds(tiny: Scenario) -> None:
    """Push of 5 days wants 6 x 12 - 15 = 57 and 7 x 12 - 10 = 74; the DC holds 30 of 131."""
    gaps = propose(tiny, "shipment_gap", make_options(shipping_high=9))
    assert gaps[2, 0, :, 0] == pytest.approx([57 * 30 / 131, 74 * 30 / 131])
    assert gaps[2, 0, :, 1].tolist() == [0, 0]  # the DC holds nothing of the second SKU


def test_propose_shipment_gaps__balanced_push_leaves_surplus_as_it_is(tiny: Scenario) -> None:
    view = make_view(tiny)
    on_hand = np.array([[[15, 0], [100, 0], [6, 0]]])
    view = replace(view, on_hand=on_hand)
    gaps = propose(tiny, "shipment_gap", make_options(), view)
    # Half a day: 1.5 x 12 - 105 = -87 at store_0; of 2.5 x 12 - 10 = 20 the DC holds 15.
    assert gaps[2, 0, :, 0].tolist() == [-87, 15]
