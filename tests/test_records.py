from dataclasses import replace

import numpy as np
import pytest

from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.types import IntArray, State
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.events.records import Count, Shrink
from envs.omnichannel.world.simulator import Simulator
from marl.evaluation.evaluate import EpisodeRunner
from marl.policies import make_policy
from tests.conftest import known


def make_simulator(tiny: Scenario, **records: float) -> Simulator:
    return Simulator(Scenario.model_validate(tiny.model_dump() | {"records": records}))


def make_state(simulator: Simulator, stores: IntArray, error: IntArray, period: int = 0) -> State:
    """One copy with this stock in the stores and this error of its records, (S, K) each."""
    state = simulator.make_state(make_seeds("test", 0, 1))
    on_hand = np.concatenate([state.on_hand[:, :1], np.array(stores)[None]], axis=1)
    return replace(
        state, on_hand=on_hand, record_error=np.array(error)[None], period=np.array([period])
    )


def update(
    simulator: Simulator, state: State, on_hand: list[list[int]], count: float, shrunk: int = 0
) -> list[list[int]]:
    """The errors after a period that ends with this stock; `count` is the draw of the counts."""
    units = np.array(on_hand)[None]
    uniform = np.full((1, 2, 2, 2), count)
    error = known(simulator.find(Count)).update_error(
        state, units, np.full_like(units, shrunk), uniform
    )
    return error[0].tolist()


def test_show__agents_see_the_record_and_not_its_error(tiny: Scenario) -> None:
    simulator = make_simulator(tiny)
    state = make_state(simulator, np.array([[6, 4], [3, 9]]), np.array([[2, 0], [-3, -1]]))
    shown = simulator.show(state)
    assert shown.on_hand[0, 1:].tolist() == [[8, 4], [0, 8]]
    assert shown.on_hand[0, 0].tolist() == state.on_hand[0, 0].tolist()
    assert not known(shown.record_error).any()


def test_show__without_errors_is_the_state_itself(tiny: Scenario) -> None:
    simulator = Simulator(tiny)
    state = simulator.make_state(make_seeds("test", 0, 2))
    assert simulator.show(state) is state
    assert state.record_error is None
    assert simulator.sample_demand(state).record_draws is None


def test_shrink__mean_is_the_rate(tiny: Scenario) -> None:
    """0.05 x 30 = 1.5 units, of 8 units 0.4, of 0 none."""
    shrink = known(make_simulator(tiny, shrinkage=0.05).find(Shrink))
    uniform = np.broadcast_to(
        ((np.arange(1000) + 0.5) / 1000)[:, None, None, None], (1000, 2, 2, 2)
    )
    on_hand = np.broadcast_to(np.array([[30, 8], [0, 20]]), (1000, 2, 2))
    shrunk = shrink.shrink(on_hand, uniform)
    np.testing.assert_allclose(shrunk.mean(axis=0), np.array([[1.5, 0.4], [0, 1]]))


def test_update_error__theft_goes_unnoticed(tiny: Scenario) -> None:
    simulator = make_simulator(tiny, counting_cycle=100)
    state = make_state(simulator, np.array([[9, 9], [9, 9]]), np.array([[0, 1], [-1, 0]]))
    found = update(simulator, state, [[5, 5], [5, 5]], count=0.5, shrunk=2)
    assert found == [[2, 3], [1, 2]]


def test_update_error__a_record_never_falls_below_zero(tiny: Scenario) -> None:
    """Five units less than there are: with 3 left on the shelf the record is 0, with none right."""
    simulator = make_simulator(tiny, counting_cycle=100)
    state = make_state(simulator, np.array([[9, 9], [9, 9]]), np.full((2, 2), -5))
    found = update(simulator, state, [[9, 5], [3, 0]], count=0.5)
    assert found == [[-5, -5], [-3, 0]]


def test_update_error__counts_each_cell_on_its_own_day(tiny: Scenario) -> None:
    """Cells 0 to 3 are right again after periods 3, 2, 1 and 0 of a cycle of four."""
    simulator = make_simulator(tiny, counting_cycle=4, miscount=0.0)
    wrong = np.full((2, 2), 7)
    for period, expected in enumerate(([[7, 7], [7, 0]], [[7, 7], [0, 7]], [[7, 0], [7, 7]])):
        state = make_state(simulator, wrong, wrong, period)
        found = update(simulator, state, wrong.tolist(), count=0.5)
        assert found == expected


# A tenth of the counts is wrong; the draw says which way, and how far of 1 to 1 + 0.5 x 10 units.
@pytest.mark.parametrize(
    ("draw", "error"), [(0.001, -1), (0.049, -6), (0.051, 1), (0.099, 6), (0.101, 0), (0.9, 0)]
)
def test_update_error__a_count_may_be_wrong(tiny: Scenario, draw: float, error: int) -> None:
    simulator = make_simulator(tiny, counting_cycle=1, miscount=0.1, error_size=0.5)
    tens = np.full((2, 2), 10)
    state = make_state(simulator, tens, np.zeros((2, 2), np.int64))
    assert update(simulator, state, tens.tolist(), draw) == [[error] * 2] * 2


def test_update_error__a_count_never_finds_less_than_nothing(tiny: Scenario) -> None:
    simulator = make_simulator(tiny, counting_cycle=1, miscount=1.0, error_size=5.0)
    state = make_state(simulator, np.ones((2, 2), np.int64), np.zeros((2, 2), np.int64))
    found = update(simulator, state, [[0, 1], [2, 3]], count=0.499)
    assert found == [[0, -1], [-2, -3]]


def test_make_error__starts_with_the_accuracy(tiny: Scenario) -> None:
    state = make_simulator(tiny, accuracy=0.7).make_state(make_seeds("test", 0, 4000))
    share = (known(state.record_error) == 0).mean()
    assert share == pytest.approx(0.7, abs=4 * np.sqrt(0.21 / 16000))
    assert (state.on_hand[:, 1:] + known(state.record_error) >= 0).all()


def test_simulate_period__goes_by_the_shelf(tiny: Scenario) -> None:
    """Records of 50 units that are not there serve nobody; half of the rest vanishes at night."""
    simulator = make_simulator(tiny, shrinkage=0.5, counting_cycle=100)
    state = make_state(simulator, np.array([[0, 0], [40, 40]]), np.array([[50, 50], [0, 0]]))
    env = BatchedEnv(simulator.scenario, 1)
    env.reset(state.seed)
    env.state, env.view = state, env.make_view(state, env.view.signals)
    assert (env.view.on_hand[0, 1] == 50).all()
    flows = env.apply(make_policy("before", simulator.scenario).compute_targets(env.view)).flows
    assert not flows.sold_store[0, 0].any()
    assert (flows.demand[0, 0, :, 0] > 0).all()
    left = 40 - flows.sold_store[0, 1] - flows.online_from_store[0, 1]
    assert (np.abs(flows.shrunk[0, 1] - left / 2) <= 0.5).all()
    assert (flows.on_hand[0, 2] == left - flows.shrunk[0, 1]).all()
    # What vanished is still in the record that the view of the next day shows.
    gone = env.view.on_hand - env.state.on_hand
    assert gone[0].tolist() == [[0, 0], [50, 50], flows.shrunk[0, 1].tolist()]


def test_waste__is_paid_for_what_vanishes() -> None:
    env = BatchedEnv(load_scenario("miscounted"), 1)
    cells = np.zeros((1, 4, 3), np.int64)
    cells[0, 2, 1] = 3
    env.reset(make_seeds("test", 0, 1))
    flows = env.apply(make_policy("before", env.scenario).compute_targets(env.view)).flows
    waste = env.cost_model.compute_costs(replace(flows, shrunk=cells))["waste"]
    assert waste[0, 3, 1] == waste.sum() == 3 * 0.5


def test_miscounted__has_91_percent_of_the_records_right() -> None:
    scenario = load_scenario("miscounted")
    policy = make_policy("order_up_to", scenario)
    found = EpisodeRunner(scenario, make_seeds("test", 0, 256), "evaluate").run(policy)
    accuracy = found["record_accuracy"]
    assert abs(accuracy.mean() - 0.91) < 0.01
    assert accuracy.std() / np.sqrt(256) < 0.003
