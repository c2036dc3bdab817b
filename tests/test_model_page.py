"""The worked example of docs/model.md: its table is read and run, so the page cannot drift."""

import inspect
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from envs.omnichannel.flows import Decisions, Flows
from envs.omnichannel.scenario import DISPOSITIONS
from envs.omnichannel.types import Demand, State
from envs.omnichannel.world.account.costs import TERMS, Costs
from envs.omnichannel.world.account.metrics import MetricsAccumulator
from envs.omnichannel.world.events import EVENTS
from envs.omnichannel.world.simulator import Simulator
from tests.test_simulator import make_worked_scenario

PAGE = Path(__file__).parents[1] / "docs" / "model.md"

# The row's label on the page, and where its numbers come from.
START = {"on hand, DC": slice(0, 1), "on hand, A and B": slice(1, 3)}
END = {"left at the end, DC": slice(0, 1), "left at the end, A and B": slice(1, 3)}
LEDGER = {
    "shipped": "shipped",
    "sold to walk-ins": "sold_store",
    "online, from the store": "online_from_store",
    "online, from the DC": "online_from_dc",
    "waiting": "waiting",
    "came back": "returned",
    "scrapped": "scrapped",
    "restocked": "restocked",
    "consolidated": "consolidated",
    "liquidated": "liquidated",
}
LOST = ("walk-ins lost", "online lost")


def read_table() -> dict[str, list[list[str]]]:
    """Returns label -> the entries of each day; A and B are parted by a comma."""
    page = PAGE.read_text(encoding="utf-8")
    lines = page[page.index("## Six days by hand") :].splitlines()
    rows = [re.split(r"\s*\|\s*", line)[2:-1] for line in lines if re.match(r"\| *\d? *\|", line)]
    return {label: [cell.split(", ") for cell in cells] for label, *cells in rows}


def read_inputs(table: dict[str, list[list[str]]], day: int) -> tuple[Decisions, Demand]:
    def numbers(label: str) -> np.ndarray:
        return np.array([float(text) for text in table[label][day]])

    shares = np.eye(3)[[DISPOSITIONS.index(word) for word in table["disposition"][day]]]
    units = np.stack([numbers("walk-ins"), numbers("online orders")], axis=-1).astype(np.int64)
    half = np.full((1, 2, 1), 0.5)
    return Decisions(
        supplier_order=numbers("ordered from the supplier").astype(np.int64).reshape(1, 1, 1),
        shipment=numbers("requested").astype(np.int64).reshape(1, 2, 1),
        online_share=numbers("online share of the store").reshape(1, 2, 1),
        disposition=shares.reshape(1, 2, 1, 3),
    ), Demand(
        units=units.reshape(1, 2, 1, 2),
        return_rate=np.full((1, 2, 1), 0.25),
        return_rounding=half,
        scrap_rounding=half,
    )


def run_example() -> list[tuple[State, Flows]]:
    """Returns each day's state and ledger, under the decisions and the demand of the page."""
    simulator, table = Simulator(make_worked_scenario()), read_table()
    state = simulator.make_state(np.array([0], np.uint64))
    state = replace(state, on_hand=np.array([10, 6, 4]).reshape(1, 3, 1))
    history = []
    for day in range(6):
        before = state
        state, flows = simulator.simulate_period(state, *read_inputs(table, day))
        history.append((before, flows))
    return history


@pytest.mark.parametrize("day", range(6))
def test_worked_example__the_page_says_what_the_simulator_does(day: int) -> None:
    table = read_table()
    before, flows = run_example()[day]
    found = {label: before.on_hand[0, nodes, 0] for label, nodes in START.items()}
    found |= {label: flows.on_hand[0, nodes, 0] for label, nodes in END.items()}
    found |= {label: getattr(flows, name)[0, :, 0] for label, name in LEDGER.items()}
    found |= {label: flows.lost[0, :, 0, channel] for channel, label in enumerate(LOST)}
    for label, value in found.items():
        assert [int(text) for text in table[label][day]] == value.tolist(), label


def test_worked_example__every_row_is_checked() -> None:
    inputs = {
        "ordered from the supplier", "requested", "walk-ins", "online orders",
        "online share of the store", "disposition",
    }  # fmt: skip
    table = read_table()
    assert set(table) == inputs | {*START, *END, *LEDGER, *LOST}
    assert {len(cells) for cells in table.values()} == {6}


def test_worked_example__shows_every_disposition() -> None:
    for label in ("restocked", "consolidated", "liquidated", "scrapped"):
        assert any(text != "0" for cells in read_table()[label] for text in cells), label


def test_worked_example__metrics_of_the_page() -> None:
    scenario = make_worked_scenario()
    metrics = MetricsAccumulator(scenario, Simulator(scenario).network, 1)
    for _, flows in run_example():
        metrics.add(flows, Costs(np.zeros((len(TERMS), 1, 3, 1))), np.zeros(1))
    computed = metrics.compute()
    lines = re.findall(r"^- `(\S+)` = .* = ([\d.]+)\.?$", PAGE.read_text(encoding="utf-8"), re.M)
    assert len(lines) == 6
    for name, value in lines:
        assert round(float(computed[name][0]), 3) == float(value.rstrip(".")), name


def test_events__the_page_names_each_with_its_file_in_order() -> None:
    rows = re.findall(
        r"^\| \d \| `(\w+)` \| `(\w+\.py)` \|", PAGE.read_text(encoding="utf-8"), re.M
    )
    files = [f"{event.__module__.rpartition('.')[2]}.py" for event in EVENTS]
    assert rows == list(zip([event.__name__ for event in EVENTS], files, strict=True))
    folder = Path(inspect.getfile(EVENTS[0])).parent
    assert {file.name for file in folder.glob("*.py")} == {"__init__.py", *files}


def test_period__the_readme_and_the_simulator_say_the_same() -> None:
    readme = (PAGE.parents[1] / "README.md").read_text(encoding="utf-8")
    steps = re.search(r"\n(1\. .*?)\n\n", readme[readme.index("[start:period]") :], re.S)
    specification = re.search(r"\n +(1\. .*?)\n\n", Simulator.__doc__ or "", re.S)
    assert steps is not None
    assert specification is not None
    assert steps[1].split() == specification[1].split()
    assert '--8<-- "README.md:period"' in PAGE.with_name("period.md").read_text(encoding="utf-8")
