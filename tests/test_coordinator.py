from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from envs.omnichannel.agents.coordinator import Coordinator, make_feasible
from envs.omnichannel.agents.roster import PROPOSERS
from envs.omnichannel.flows import Targets
from envs.omnichannel.layout import Layout
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.scenario.coordination import Coordination
from envs.omnichannel.types import FloatArray, IntArray, ModuleOptions, Network, Signals, View
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.simulator import Simulator


def make_coordinator(tiny: Scenario, **rules: object) -> Coordinator:
    scenario = tiny.model_copy(update={"coordination": Coordination.model_validate(rules)})
    return Coordinator(scenario, Network.from_scenario(tiny))


def make_view(tiny: Scenario) -> View:
    """60 units in every store, 100 in the DC; a forecast of 10 walk-ins and 4 online orders."""
    state = Simulator(tiny).make_state(make_seeds("test", 0, 1))
    on_hand = np.array([[[100, 100], [60, 60], [60, 60]]])
    forecast = np.broadcast_to(np.array([10.0, 4.0]), (1, 2, 2, 2))
    signals = Signals(
        forecast=forecast,
        smoothed=forecast,
        last_demand=forecast.astype(np.int64),
        variance=np.ones((1, 2, 2)),
        weight=np.ones((1, 2, 2)),
        origin=np.zeros(1, np.int64),
        ahead=np.ones((1, 1, 1, 2)),
    )
    return View.make(replace(state, on_hand=on_hand), signals)


def make_options() -> ModuleOptions:
    """Options that pull apart: cover 8 against 0, push 0.5 against 5, online share 1 against 0."""
    return {
        "ordering_high": np.full((1, 1, 2), 10),  # stores 8 days, DC 24 days
        "ordering_low": np.full((1, 3, 2), 0),  # stores 0 days, DC 6 days
        "shipping_high": np.full((1, 1, 2), 2),  # push 0.5 days, share 1
        "shipping_low": np.full((1, 2, 2), 9),  # push 5 days, share 0
        "return_high": np.full((1, 1, 2), 0),  # restock
        "return_low": np.array(
            [[[1, 2], [3, 0]]]
        ),  # consolidate, liquidate, half and half, restock
    }


def test_coordinate__averages_signed_gaps_and_clips_only_the_mean(tiny: Scenario) -> None:
    """Eq. 6 for store_0 (lead time 1, position 60).

    The online share comes first: (1 + 0) / 2, so the store is to serve 10 + 0.5 x 4 = 12 a day.
    Targets of (1 + 8), (1 + 0), (1 + 0.5) and (1 + 5) days are 108, 12, 18, 72; gaps 48, -48, -42,
    12, mean -7.5: nothing is shipped. Clipped first, the mean would be (48 + 12) / 4 = 15.
    """
    proposals, targets = make_coordinator(tiny).coordinate(make_options(), make_view(tiny))
    assert targets.online_share[0, 0, 0] == 0.5
    assert proposals["shipment_gap"][:, 0, 0, 0].tolist() == [48, -48, -42, 12]
    assert targets.shipment_gap[0, 0, 0] == -7.5
    assert make_feasible(targets).shipment[0, 0, 0] == 0
    assert np.maximum(proposals["shipment_gap"], 0).mean(axis=0)[0, 0, 0] == 15


def test_coordinate__supplier_gaps_compare_echelon_targets_and_positions(tiny: Scenario) -> None:
    """28 units a day below the DC: 24 and 6 days are 672 and 168; 220 are there."""
    proposals, targets = make_coordinator(tiny).coordinate(make_options(), make_view(tiny))
    assert proposals["supplier_gap"][:, 0, 0, 0].tolist() == [452, -52]
    assert targets.supplier_gap[0, 0, 0] == 200


# The share decides the rate (12, 10, 14), the rate the gaps; position 60, lead time 1.
@pytest.mark.parametrize(
    ("rules", "share", "gap"),
    [
        ({"strategy": "average"}, 0.5, -7.5),
        ({"strategy": "low_only"}, 0.0, (-50 + 0) / 2),
        ({"strategy": "high_only"}, 1.0, (66 - 39) / 2),
        (
            {"strategy": "weighted", "role_weights": {"ordering": 3, "shipping": 1, "return": 1}},
            0.5,
            (3 * 48 - 3 * 48 - 42 + 12) / 8,
        ),
        (
            # Share 0.75, rate 13: gaps 57, -47, -40.5, 18; the high level counts three times.
            {"strategy": "weighted", "level_weights": {"high": 3, "low": 1}},
            0.75,
            (3 * 57 - 47 - 3 * 40.5 + 18) / 8,
        ),
        ({"strategy": "weighted"}, 0.5, -7.5),
        ({"strategy": "valued", "level_weights": {"high": 3}}, 0.0, (-50 + 0) / 2),
        (
            # Share 0.75, rate 13: the same gaps.
            {
                "strategy": "learned",
                "proposer_weights": {"shipment_gap": [1, 0, 1, 2], "online_share": [3, 1]},
            },
            0.75,
            (57 - 40.5 + 2 * 18) / 4,
        ),
        ({"strategy": "learned"}, 0.5, -7.5),
        # The weights serve `weighted` alone.
        ({"strategy": "average", "level_weights": {"high": 3, "low": 1}}, 0.5, -7.5),
    ],
)
def test_coordinate__strategies_weigh_the_proposers(
    tiny: Scenario, rules: dict[str, object], share: float, gap: float
) -> None:
    _, targets = make_coordinator(tiny, **rules).coordinate(make_options(), make_view(tiny))
    assert targets.online_share[0, 0, 0] == pytest.approx(share)
    assert targets.shipment_gap[0, 0, 0] == pytest.approx(gap)


def test_weigh__gives_every_copy_its_own_weights(tiny: Scenario) -> None:
    coordinator, view = make_coordinator(tiny), make_view(tiny)
    both = {m: np.repeat(a, 2, axis=0) for m, a in make_options().items()}
    views = view.select(np.zeros(2, np.int64))
    weights = {d: np.array([np.arange(1.0, 1 + len(p)), np.ones(len(p))])
               for d, p in PROPOSERS.items()}  # fmt: skip

    coordinator.weigh(weights)
    found = coordinator.compute_targets(both, views)

    for copy in range(2):
        coordinator.weigh({d: w[copy] for d, w in weights.items()})
        alone = coordinator.compute_targets(make_options(), view)
        for decision in PROPOSERS:
            expected = getattr(alone, decision)[0]
            np.testing.assert_array_equal(getattr(found, decision)[copy], expected)
    assert found.online_share[:, 0, 0] == pytest.approx([1 / 3, 1 / 2])
    coordinator.weigh({d: w[0] for d, w in weights.items()})
    coordinator.weigh(None)
    assert coordinator.weights["disposition"].tolist() == [0.5, 0.5]


def test_coordinate__averages_dispositions(tiny: Scenario) -> None:
    _, targets = make_coordinator(tiny).coordinate(make_options(), make_view(tiny))
    assert targets.disposition[0].tolist() == [
        [[0.5, 0.5, 0], [0.5, 0, 0.5]],
        [[0.75, 0.25, 0], [1, 0, 0]],
    ]


def test_coordinator__without_any_weight_falls_back_to_the_mean(tiny: Scenario) -> None:
    coordinator = make_coordinator(
        tiny, strategy="weighted", role_weights={"ordering": 1, "shipping": 0, "return": 1}
    )
    assert coordinator.weights["online_share"].tolist() == [0.5, 0.5]
    assert coordinator.weights["shipment_gap"].tolist() == [0.5, 0.5, 0, 0]


@given(st.integers(0, 2**32))
def test_coordinate__targets_lie_between_the_proposals(seed: int) -> None:
    tiny, rng = load_scenario("tiny"), np.random.default_rng(seed)
    coordinator = make_coordinator(tiny)
    modules = Layout.from_scenario(tiny).modules
    options = {
        module_id: rng.integers(0, modules[module_id].num_options, array.shape)
        for module_id, array in make_options().items()
    }
    proposals, targets = coordinator.coordinate(options, make_view(tiny))
    for decision in PROPOSERS:
        proposed, target = proposals[decision], getattr(targets, decision)
        assert (target >= proposed.min(axis=0) - 1e-9).all()
        assert (target <= proposed.max(axis=0) + 1e-9).all()


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.sampled_from(["average", "weighted", "low_only", "high_only"]))
def test_compute_targets__is_the_weighted_mean_of_the_proposals(seed: int, strategy: str) -> None:
    tiny, rng = load_scenario("tiny"), np.random.default_rng(seed)
    coordinator = make_coordinator(
        tiny, strategy=strategy, role_weights={"shipping": 3}, level_weights={"high": 0.5}
    )
    modules = Layout.from_scenario(tiny).modules
    options = {
        module_id: rng.integers(0, modules[module_id].num_options, array.shape)
        for module_id, array in make_options().items()
    }
    view = make_view(tiny)
    proposals, _ = coordinator.coordinate(options, view)
    targets = coordinator.compute_targets(options, view)
    for decision in PROPOSERS:
        mean = np.tensordot(coordinator.weights[decision], proposals[decision], axes=1)
        np.testing.assert_allclose(getattr(targets, decision), mean, rtol=0, atol=1e-9)


def make_targets(gap: FloatArray, share: float, disposition: tuple[float, ...]) -> Targets:
    cells = gap[None, None]
    return Targets(
        supplier_gap=cells,
        shipment_gap=cells,
        online_share=np.full(cells.shape, share),
        disposition=np.broadcast_to(disposition, (*cells.shape, 3)),
    )


def test_make_feasible__clips_and_rounds_half_up() -> None:
    gap = np.array([-7.5, -0.4, 0.49, 0.5, 2.5, 3.49])
    decisions = make_feasible(make_targets(gap, 0.5, (1, 0, 0)))
    assert decisions.shipment.ravel().tolist() == [0, 0, 0, 1, 3, 3]
    assert decisions.supplier_order.ravel().tolist() == [0, 0, 0, 1, 3, 3]
    assert decisions.shipment.dtype == np.int64


@pytest.mark.parametrize(
    ("disposition", "feasible"),
    [
        ((0.5, 0.25, 0.25), [0.5, 0.25, 0.25]),
        ((0.5, 0.5, 1.0), [0.25, 0.25, 0.5]),
        ((-1.0, 0.5, 0.0), [0, 1, 0]),
        ((0.0, 0.0, 0.0), [1, 0, 0]),
    ],
)
def test_make_feasible__makes_shares_sum_to_one(
    disposition: tuple[float, ...], feasible: list[float]
) -> None:
    decisions = make_feasible(make_targets(np.zeros(1), 0.5, disposition))
    assert decisions.disposition.ravel().tolist() == feasible


@given(arrays(np.float64, 6, elements=st.floats(-1e6, 1e6)), st.floats(-2, 2))
def test_make_feasible__orders_are_the_nearest_units_above_zero(
    gap: FloatArray, share: float
) -> None:
    decisions = make_feasible(make_targets(gap, share, (1, 0, 0)))
    assert (decisions.shipment >= 0).all()
    assert (np.abs(decisions.shipment - np.maximum(gap, 0)) <= 0.5).all()
    assert (decisions.online_share == min(max(share, 0), 1)).all()


@pytest.mark.parametrize(
    ("module_id", "options", "message"),
    [
        ("ordering_low", np.full((1, 3, 2), 11), "ordering_low has options outside 0 to 10"),
        ("return_high", np.full((1, 1, 2), -1), "return_high has options outside 0 to"),
        (
            "shipping_low",
            np.zeros((1, 3, 2), int),
            r"shipping_low has options of shape \(1, 3, 2\)",
        ),
    ],
)
def test_compute_targets__refuses_options_that_do_not_fit(
    tiny: Scenario, module_id: str, options: IntArray, message: str
) -> None:
    coordinator = make_coordinator(tiny)

    with pytest.raises((IndexError, ValueError), match=message):
        coordinator.compute_targets({**make_options(), module_id: options}, make_view(tiny))
