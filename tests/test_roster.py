from envs.omnichannel.agents.roster import MODULES, PROPOSERS, make_roster
from envs.omnichannel.scenario import load_scenario
from envs.omnichannel.types import Network


def test_make_roster__paper_has_34_agents_in_6_modules() -> None:
    roster = make_roster(Network.from_scenario(load_scenario("paper")))
    stores = range(10)
    assert roster.names == [
        "ordering_high",
        "ordering_dc_0",
        *(f"ordering_store_{s}" for s in stores),
        "shipping_high",
        *(f"shipping_store_{s}" for s in stores),
        "return_high",
        *(f"return_store_{s}" for s in stores),
    ]
    assert len(roster.names) == 34
    assert list(roster.module_rows) == list(MODULES)
    assert [roster.num_agents(m) for m in MODULES] == [1, 11, 1, 10, 1, 10]


def test_make_roster__rows_agree_with_the_slices_of_the_modules() -> None:
    roster = make_roster(Network.from_scenario(load_scenario("tiny")))
    for module_id in MODULES:
        members = [agent for agent in roster.agents if agent.module_id == module_id]
        rows = roster.module_rows[module_id]
        assert [agent.row for agent in members] == list(range(rows.start, rows.stop))
        assert [agent.index for agent in members] == list(range(len(members)))
    # Rows: the DC, two stores, the network.
    assert {agent.name: agent.row for agent in roster.agents}["return_store_1"] == 2
    assert {agent.name: agent.row for agent in roster.agents}["return_high"] == 3


def test_proposers__are_modules() -> None:
    assert {module for proposers in PROPOSERS.values() for module in proposers} == set(MODULES)
