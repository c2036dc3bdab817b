from dataclasses import replace

import numpy as np

from envs.omnichannel.agents.positions import count_positions
from envs.omnichannel.flows import Flows
from envs.omnichannel.types import State
from envs.omnichannel.world.simulator import Simulator
from tests.conftest import known
from tests.test_simulator import (
    RESTOCK,
    decide,
    demand_of,
    make_worked_scenario,
    make_worked_state,
)


def make_return_state(simulator: Simulator, name: str, units: tuple[int, int]) -> State:
    """Empty shelves and `units` that come back at, or are mailed from the regions of, A and B."""
    state = make_worked_state(simulator)
    due = getattr(state, name).copy()
    due[0, 0, :, 0] = units
    return replace(state, on_hand=np.zeros((1, 3, 1), np.int64), **{name: due})


def run_idle_days(simulator: Simulator, state: State, days: int) -> tuple[list[State], list[Flows]]:
    """Nobody orders or buys anything; returns the states and ledgers of each day."""
    decisions = decide(0, (0, 0), (0, 0), (RESTOCK, RESTOCK))
    states, ledgers = [], []
    for _ in range(days):
        state, flows = simulator.simulate_period(state, decisions, demand_of((0, 0), (0, 0)))
        states.append(state)
        ledgers.append(flows)
    return states, ledgers


def test_simulate_period__mail_goes_to_the_dc_and_is_inspected_there() -> None:
    """8 and 4 units: floor(8/4 + 1/2) = 2 and floor(4/4 + 1/2) = 1 are unfit; two nights."""
    simulator = Simulator(make_worked_scenario(by_mail=1.0, inspection_days=2))
    state = make_return_state(simulator, "mail_due", (8, 4))
    states, (today, tomorrow) = run_idle_days(simulator, state, 2)
    assert today.returned.ravel().tolist() == [8, 4]
    assert today.scrapped.ravel().tolist() == [2, 1]
    assert today.mailed.ravel().tolist() == [6, 3]
    assert not today.restocked.any()
    assert not tomorrow.returned.any()
    assert [after.on_hand.ravel().tolist() for after in states] == [[0, 0, 0], [9, 0, 0]]


def test_simulate_period__inspection_above_the_capacity_queues() -> None:
    """A gets 5 units, B 2; each begins 2 inspections a day, which last a night."""
    simulator = Simulator(make_worked_scenario(inspection_capacity=2, resaleable=1.0))
    states, ledgers = run_idle_days(
        simulator, make_return_state(simulator, "returns_due", (5, 2)), 3
    )
    assert ledgers[0].restocked.ravel().tolist() == [5, 2]
    assert [known(f.queued).ravel().tolist() for f in ledgers] == [[0, 3, 0], [0, 1, 0], [0, 0, 0]]
    assert [after.on_hand.ravel().tolist() for after in states] == [[0, 2, 2], [0, 4, 2], [0, 5, 2]]


def test_positions__count_what_waits_for_inspection() -> None:
    simulator = Simulator(make_worked_scenario(inspection_capacity=1, by_mail=0.5))
    state = replace(
        make_worked_state(simulator), inspection_queue=np.array([7, 5, 3]).reshape(1, 3, 1)
    )
    positions = count_positions(state, simulator.network)
    assert positions.store.ravel().tolist() == [6 + 5, 4 + 3]
    assert positions.echelon.ravel().tolist() == [10 + 7 + 11 + 7]
