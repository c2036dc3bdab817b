"""Start states: given stock on hand and in transit, inline or as a file, by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from envs.errors import InputError
from envs.omnichannel import parallel_env
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.flows import Decisions
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.scenario.goods import Category
from envs.omnichannel.scenario.start import Start
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.simulator import Simulator
from marl.planning.stock_count import StockCountSchema
from tests.test_simulator_properties import check_conservation

SEEDS = make_seeds("start", 0, 3)
INLINE: dict[str, Any] = {
    "on_hand": {"dc_0": {"shirt": 40, "lamp": 7}, "store_1": {"lamp": 3}},
    "in_transit": {"dc_0": {"shirt": {1: 5, 4: 6}}, "store_0": {"lamp": {2: 9}}},
}
# Semicolons, as spreadsheets in Europe write them; the columns of a stock count.
FILE = """day;node;sku;on_hand;in_transit_1;in_transit_2;in_transit_4;online_backorders_1
0;dc_0;shirt;40;5;;6;
0;dc_0;lamp;7;0;0;0;
0;store_0;lamp;0;;9;;0
0;store_1;lamp;3;;;;
"""


def write_scenario(folder: Path, tiny: Scenario, start: Any) -> Path:
    data = tiny.model_dump(mode="json", exclude_none=True) | {"start": start}
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return path


@pytest.fixture(params=["inline", "file"])
def started(request: pytest.FixtureRequest, tiny: Scenario, tmp_path: Path) -> Scenario:
    """The same start state, from both places."""
    (tmp_path / "stock.csv").write_text(FILE, encoding="utf-8")
    start = INLINE if request.param == "inline" else {"file": "stock.csv"}
    return load_scenario(write_scenario(tmp_path, tiny, start))


def test_start__is_what_every_episode_begins_with(started: Scenario) -> None:
    state = Simulator(started).make_state(SEEDS)
    for copy in range(3):
        assert state.on_hand[copy].tolist() == [[40, 7], [0, 0], [0, 3]]  # DC, stores; shirt, lamp
    places = [tuple(place) for place in np.argwhere(state.in_transit[0]).tolist()]
    found = {place: state.in_transit[0][place] for place in places}
    assert found == {(0, 0, 0): 5, (3, 0, 0): 6, (1, 1, 1): 9}  # slot, node, SKU
    # The lead times of tiny reach three periods back to the DC; what is given comes later.
    assert state.in_transit.shape[1] == 4
    assert not state.backorders.any()


def test_start__arrives_when_it_is_due(started: Scenario) -> None:
    unsold = {"categories": {name: Category(return_rate=0.0) for name in started.categories}}
    simulator = Simulator(started.model_copy(update=unsold))
    state = simulator.make_state(SEEDS)
    shape = (3, 2, 2)
    nothing = Decisions(
        supplier_order=np.zeros((3, 1, 2), np.int64),
        shipment=np.zeros(shape, np.int64),
        online_share=np.zeros(shape),
        disposition=np.broadcast_to([1.0, 0.0, 0.0], (*shape, 3)),
    )
    shirts, lamps, gone = [], [], np.zeros(2, np.int64)
    for _ in range(4):
        state, flows = simulator.simulate_period(state, nothing, simulator.sample_demand(state))
        gone += [
            flows.online_from_dc[0, :, 0].sum(),
            (flows.sold_store + flows.online_from_store)[0, 0, 1],
        ]
        shirts.append(state.on_hand[0, 0, 0] + gone[0])
        lamps.append(state.on_hand[0, 1, 1] + gone[1])
    assert shirts == [45, 45, 45, 51]
    assert lamps == [0, 9, 9, 9]


def test_start__no_unit_of_it_is_lost(started: Scenario) -> None:
    check_conservation(started, seed=4, copies=3, periods=10)


def test_start__is_part_of_the_hash_and_of_the_saved_scenario(
    started: Scenario, tiny: Scenario
) -> None:
    inline = tiny.model_copy(update={"start": Start.model_validate(INLINE)})
    assert started.hash() != tiny.hash()
    again = Scenario.model_validate(started.model_dump(mode="json"))
    found, expected = (Simulator(scenario).make_state(SEEDS) for scenario in (again, inline))
    np.testing.assert_array_equal(found.in_transit, expected.in_transit)
    np.testing.assert_array_equal(found.on_hand, expected.on_hand)


def test_start__of_a_stock_counts_template(tiny: Scenario, tmp_path: Path) -> None:
    template = StockCountSchema(Simulator(tiny)).make_template()
    (tmp_path / "stock.csv").write_text(template, encoding="utf-8")
    found = Simulator(load_scenario(write_scenario(tmp_path, tiny, {"file": "stock.csv"})))
    expected = Simulator(tiny).make_state(SEEDS)
    np.testing.assert_array_equal(found.make_state(SEEDS).on_hand, expected.on_hand)


def test_start__is_that_of_agents_and_their_api(started: Scenario) -> None:
    env = BatchedEnv(started, 2)
    env.reset(SEEDS[:2])
    assert env.view.on_hand[1].tolist() == [[40, 7], [0, 0], [0, 3]]
    api = parallel_env(started)
    observations, _ = api.reset(seed=1)
    assert all(np.isfinite(observation).all() for observation in observations.values())


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ({"on_hand": {"shop": {"shirt": 1}}}, "start.on_hand: 'shop' is not known; allowed: dc_0,"),
        ({"on_hand": {"dc_0": {"hat": 1}}}, "start.on_hand.dc_0: 'hat' is not known; allowed: sh"),
        ({"on_hand": {"dc_0": {"shirt": -1}}}, "start.on_hand.dc_0.shirt: -1 is not allowed"),
        ({"on_hand": {"dc_0": {"shirt": 1.5}}}, "start.on_hand.dc_0.shirt: 1.5 is not allowed"),
        ({"in_transit": {"dc_0": {"shirt": {0: 1}}}}, "start.in_transit.dc_0.shirt.0"),
        ({"in_transit": {"dc_0": {"hat": {1: 1}}}}, "start.in_transit.dc_0: 'hat' is not known"),
        ({}, "start: file, on_hand: one of the two is needed, and not both"),
        ({"file": "stock.csv", "on_hand": {}}, "one of the two is needed, and not both"),
        ({"file": "none.csv"}, "start.file: file 'none.csv' does not exist"),
        ({"file": "../outside.csv"}, "start.file: '../outside.csv' is not allowed; only files in"),
    ],
)
def test_start__refuses_in_one_line(
    start: Any, message: str, tiny: Scenario, tmp_path: Path
) -> None:
    (tmp_path.parent / "outside.csv").write_text(FILE, encoding="utf-8")
    with pytest.raises(InputError) as error:
        load_scenario(write_scenario(tmp_path, tiny, start))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("dc_0;shirt;40", "dc_9;shirt;40", "line 2, column node: 'dc_9' is not in the scenario"),
        ("store_1;lamp", "store_1;lamb", "line 5, column sku: 'lamb' is not in the scenario"),
        ("shirt;40", "shirt;4.5", "line 2, column on_hand: '4.5' is not allowed; a whole number"),
        ("lamp;7;0", "lamp;7;-1", "line 3, column in_transit_1: '-1' is not allowed"),
        ("9;;0", "9;;3", "line 4, column online_backorders_1: 3 is not allowed; a start state has"),
        ("0;store_1;lamp;3", "0;dc_0;lamp;3", "line 5: 'dc_0' and 'lamp' are there twice"),
        ("lamp;3;;;;", "lamp;3", "line 5: 4 cells found; 8 are needed"),
        ("sku;on_hand", "sku;stock", "line 1, column on_hand: missing; once is needed"),
        ("in_transit_4", "in_transit_2", "line 1, column 'in_transit_2': not allowed"),
        ("in_transit_4", "in_transit_999", "line 1, column 'in_transit_999': not allowed"),
    ],
)
def test_start_file__refuses_in_one_line(
    before: str, after: str, message: str, tiny: Scenario, tmp_path: Path
) -> None:
    assert before in FILE
    (tmp_path / "stock.csv").write_text(FILE.replace(before, after, 1), encoding="utf-8")
    with pytest.raises(InputError) as error:
        load_scenario(write_scenario(tmp_path, tiny, {"file": "stock.csv"}))
    assert f"stock.csv, {message}" in str(error.value)
    assert "\n" not in str(error.value)


def test_start_file__that_nobody_read_is_refused(tiny: Scenario) -> None:
    scenario = tiny.model_copy(update={"start": Start(file="stock.csv")})
    with pytest.raises(InputError, match=r"'stock.csv' is not read yet; load_scenario reads it"):
        Simulator(scenario).make_state(SEEDS)
