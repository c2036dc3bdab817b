"""Proof that additions to the world are as small as docs/extend.md says.

A cost term, a rationing rule and an event are added to a copy of `envs`, the files that each takes
are counted, and an interpreter of its own runs a period and an episode with all three.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.world.draws import make_seeds
from marl.policies import make_policy

ROOT = Path(__file__).resolve().parents[1]
WORLD, SCENARIO = "envs/omnichannel/world", "envs/omnichannel/scenario"

TERM = '''
class Handling(Term):
    """A fee per unit that is shipped to a store."""

    name, weight = "handling", "delta"

    @classmethod
    def is_on(cls, scenario: Scenario) -> bool:
        return scenario.costs.handling > 0

    def price(self, flows: Flows, money: FloatArray) -> None:
        money[:, self.first_store :] = self.rates.handling * flows.shipped


'''
RULE = '''
from envs.omnichannel.types import FloatArray, IntArray
from envs.omnichannel.world.allocation.ration import RationingRule


class Rule(RationingRule):
    """Stores in the scenario's order, each in full while stock lasts."""

    def split(
        self, requests: IntArray, total: IntArray, shares_by: FloatArray | None = None
    ) -> IntArray:
        before = requests.cumsum(axis=-1) - requests
        return (total[..., None] - before).clip(0, requests)
'''
EVENT = '''
import numpy as np

from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import Network
from envs.omnichannel.world.period import Event, Period


class Steal(Event):
    """So many units of every SKU vanish from every store."""

    def __init__(self, scenario: Scenario, network: Network) -> None:
        super().__init__(scenario, network)
        self._units = scenario.theft

    @classmethod
    def is_on(cls, scenario: Scenario) -> bool:
        return scenario.theft is not None

    def apply(self, period: Period) -> None:
        stores = period.on_hand[:, self.network.num_dcs :]
        stolen = np.minimum(stores, self._units)
        stores -= stolen
        period.flows["shrunk"] = period.flows["shrunk"] + stolen
'''

# One DC with 10 of each SKU, two stores with 3; nobody buys anything.
RUN = """
import json
from dataclasses import replace

import numpy as np

from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.flows import Decisions
from envs.omnichannel.world.account.costs import CostModel
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.simulator import Simulator
from marl.evaluation.tables import _TERM_ROWS
from marl.policies import make_policy

tiny = load_scenario("tiny")
added = {"theft": 1, "fulfillment": {"rationing": "first_come"}, "costs": {"handling": 0.5}}
scenario = Scenario.model_validate(tiny.model_dump() | added)

simulator = Simulator(scenario)
state = simulator.make_state(make_seeds("test", 0, 1))
state = replace(state, on_hand=np.array([[[10, 10], [3, 3], [3, 0]]]))
decisions = Decisions(
    supplier_order=np.zeros((1, 1, 2), np.int64),
    shipment=np.array([[[8, 4], [6, 3]]]),
    online_share=np.zeros((1, 2, 2)),
    disposition=np.full((1, 2, 2, 3), 1 / 3),
)
demand = simulator.sample_demand(state)
demand = replace(demand, units=np.zeros_like(demand.units))
_, flows = simulator.simulate_period(state, decisions, demand)
costs = CostModel(scenario, simulator.network).compute_costs(flows)


def run(scenario):
    env, policy = BatchedEnv(scenario, 2), make_policy("before", scenario)
    env.reset(make_seeds("test", 0, 2))
    steps = [policy.run_period(env) for _ in range(scenario.horizon)]
    shipped = sum(step.flows.shipped for step in steps).sum(axis=(1, 2))
    found = {name: values.tolist() for name, values in env.compute_metrics().items()}
    weights = dict(zip(steps[0].costs, env.reward_model.term_weights.tolist(), strict=True))
    return {"metrics": found, "shipped": shipped.tolist(), "weight": weights["handling"]}


print(json.dumps({
    "shipped": flows.shipped[0].tolist(),
    "shrunk": flows.shrunk[0].tolist(),
    "on_hand": flows.on_hand[0].tolist(),
    "handling": costs["handling"][0].tolist(),
    "rows": [row[0] for row in _TERM_ROWS],
    "with": run(scenario),
    "without": run(tiny),
}))
"""


@dataclass(frozen=True)
class Extended:
    """The copy: what each addition took, and what the run gave."""

    new: dict[str, list[str]]
    edited: dict[str, dict[str, int]]  # file -> lines that came to it
    found: dict[str, Any]


def edit(folder: Path, file: str, *changes: tuple[str, str]) -> None:
    """Puts a text before a place that occurs once, for each change."""
    path = folder / file
    text = path.read_text("utf-8")
    for place, addition in changes:
        assert text.count(place) == 1, place
        text = text.replace(place, addition + place)
    path.write_text(text, "utf-8")


def add_term(folder: Path) -> None:
    edit(
        folder,
        f"{SCENARIO}/costs.py",
        ("    @model_validator", "    handling: NonNegative = 0.0\n\n"),
    )
    file = f"{WORLD}/account/costs.py"
    edit(
        folder,
        file,
        ("COST_TERMS: tuple", TERM.lstrip()),
        (")  # fmt: skip\nTERMS", "    Handling,\n"),
    )


def add_rule(folder: Path) -> None:
    (folder / WORLD / "allocation" / "rules" / "first_come.py").write_text(RULE, "utf-8")


def add_event(folder: Path) -> None:
    (folder / WORLD / "events" / "theft.py").write_text(EVENT, "utf-8")
    line = "from envs.omnichannel.world.events.theft import Steal\n"
    place = "from envs.omnichannel.world.events.transshipment"
    edit(folder, f"{WORLD}/events/__init__.py", (place, line), ("    Spoil,\n", "    Steal,\n"))
    field = "    theft: int | None = None\n"
    edit(folder, f"{SCENARIO}/scenario.py", ("    fulfillment: Fulfillment", field))


ADDITIONS: dict[str, Callable[[Path], None]] = {
    "term": add_term,
    "rule": add_rule,
    "event": add_event,
}


def list_sources(folder: Path) -> dict[str, list[str]]:
    """Each source file's lines."""
    files = sorted((folder / "envs").rglob("*.py"))
    return {str(f.relative_to(folder)): f.read_text("utf-8").splitlines() for f in files}


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Extended:
    folder = tmp_path_factory.mktemp("extended")
    shutil.copytree(ROOT / "envs", folder / "envs")  # with the loops' machine code
    new, edited = {}, {}
    for name, add in ADDITIONS.items():
        before = list_sources(folder)
        add(folder)
        after = list_sources(folder)
        new[name] = [file for file in after if file not in before]
        edited[name] = {
            file: len(after[file]) - len(lines)
            for file, lines in before.items()
            if after[file] != lines
        }
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Extended(new, edited, json.loads(done.stdout))


def test_cost_term__takes_two_files(extended: Extended) -> None:
    assert extended.new["term"] == []
    assert set(extended.edited["term"]) == {f"{SCENARIO}/costs.py", f"{WORLD}/account/costs.py"}


def test_rationing_rule__takes_one_new_file(extended: Extended) -> None:
    assert extended.new["rule"] == [f"{WORLD}/allocation/rules/first_come.py"]
    assert extended.edited["rule"] == {}


def test_event__takes_a_new_file_its_place_in_the_list_and_a_setting(extended: Extended) -> None:
    assert extended.new["event"] == [f"{WORLD}/events/theft.py"]
    assert extended.edited["event"] == {
        f"{WORLD}/events/__init__.py": 2,  # the import and the entry
        f"{SCENARIO}/scenario.py": 1,
    }


def test_rationing_rule__is_followed(extended: Extended) -> None:
    """10 units for 8 + 6: 8 and 2; 10 for 4 + 3."""
    assert extended.found["shipped"] == [[8, 4], [2, 3]]


def test_event__happens(extended: Extended) -> None:
    """One unit of each SKU vanishes from every store that has one."""
    assert extended.found["shrunk"] == [[1, 1], [1, 0]]
    assert extended.found["on_hand"] == [[0, 3], [2, 2], [2, 0]]


def test_cost_term__is_paid_weighed_and_reported(extended: Extended) -> None:
    """Half a coin for each of 8, 4, 2 and 3 units."""
    assert extended.found["handling"] == [[0, 0], [4, 2], [1, 1.5]]
    assert extended.found["rows"][-1] == "cost/handling"
    run = extended.found["with"]
    assert run["weight"] == 1.0
    paid = [0.5 * units / 14 for units in run["shipped"]]
    assert run["metrics"]["cost/handling"] == pytest.approx(paid)
    terms = [values for name, values in run["metrics"].items() if name.startswith("cost/")]
    total = run["metrics"]["cost/total"]
    assert [sum(copy) for copy in zip(*terms, strict=True)] == pytest.approx([2 * t for t in total])
    assert all(units > 0 for units in run["metrics"]["shrunk"])


def test_additions__change_nothing_where_they_are_off(extended: Extended, tiny: Scenario) -> None:
    env, policy = BatchedEnv(tiny, 2), make_policy("before", tiny)
    env.reset(make_seeds("test", 0, 2))
    for _ in range(tiny.horizon):
        policy.run_period(env)
    expected = {name: values.tolist() for name, values in env.compute_metrics().items()}
    assert extended.found["without"]["weight"] == 0
    assert extended.found["without"]["metrics"] == expected | {"cost/handling": [0.0, 0.0]}
