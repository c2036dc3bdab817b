"""Proof by addition: a further decision, a share with agents on two levels, costs little.

The two new files and the edits of three files below are made in a copy of the package, in which an
episode then runs. `docs/extend.md` names the same files.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import envs

PACKAGE = Path(envs.__file__).parent

NEW = {
    "omnichannel/scenario/pricing.py": '''
"""The markdowns that pricing agents choose from."""

from __future__ import annotations

MARKDOWNS = (0.0, 0.1, 0.25, 0.5)
''',
    "omnichannel/agents/decisions/markdown.py": '''
"""The share by which each store lowers its price."""

from __future__ import annotations

from typing import Any, ClassVar

from envs.omnichannel.agents.decisions.base import PLACE, Goal, Line, Share
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.pricing import MARKDOWNS
from envs.omnichannel.types import FloatArray


class Markdown(Share):
    """A share of the price; nothing in the simulator depends on it yet."""

    name: ClassVar[str] = "markdown"
    target: ClassVar[str] = "markdown"
    proposers: ClassVar[tuple[str, ...]] = ("pricing_high", "pricing_low")
    goals: ClassVar[tuple[Goal, ...]] = (Goal("goal_markdown", "pricing"),)
    lines: ClassVar[tuple[Line, ...]] = (Line("markdown", PLACE, "customers"),)

    def list_grids(self, scenario: Scenario) -> list[Any]:
        """Returns markdowns."""
        return [MARKDOWNS] * 2

    def list_goals(self) -> list[FloatArray]:
        """Returns the markdowns of the high level."""
        return [self.grids[0][:, 0]]
''',
}

EDITS = {
    "omnichannel/agents/decisions/__init__.py": [
        (
            "from envs.omnichannel.agents.decisions.online_share",
            "from envs.omnichannel.agents.decisions.markdown import Markdown\n"
            "from envs.omnichannel.agents.decisions.online_share",
        ),
        ("OnlineShare, Disposition)", "OnlineShare, Disposition, Markdown)"),
    ],
    "omnichannel/flows.py": [
        (
            "    disposition: FloatArray  # (B, S, K, 3) shares of returns, sum 1\n",
            "    disposition: FloatArray  # (B, S, K, 3) shares of returns, sum 1\n"
            "    markdown: FloatArray | None = None  # (B, S, K) off the price; None: nothing\n",
        ),
        (
            "    surplus: IntArray | None = None",
            "    markdown: FloatArray | None = None  # (B, S, K) in [0, 1]\n"
            "    surplus: IntArray | None = None",
        ),
    ],
    "omnichannel/scenario/agents.py": [
        (
            "from envs.validation import",
            "from envs.omnichannel.scenario.pricing import MARKDOWNS\nfrom envs.validation import",
        ),
        (
            "for role, n in numbers.items()}",
            'for role, n in numbers.items()} | {"pricing": Options(len(MARKDOWNS), 0)}',
        ),
    ],
}

EPISODE = """
from pathlib import Path
import numpy as np
from envs.omnichannel import BatchedEnv, load_scenario, parallel_env
from envs.omnichannel.world.draws import make_seeds
from marl.planning.order_tables import make_tables
from marl.planning.planner import Planner
from marl.planning.policy_file import OnnxPolicy
from marl.planning.stock_count_file import read_stock_count
from marl.policies import make_policy
from tests.conftest import write_constant_policy
from tests.test_recommend import STATE

env = parallel_env("tiny")
observations, _ = env.reset(seed=0)
own = {name for name in env.agents if name.startswith("pricing")}
assert own == {"pricing_high", "pricing_store_0", "pricing_store_1"}, own
column = env.batched_env.observation.features.index("goal_markdown")
rng, periods = np.random.default_rng(0), 0
while env.agents:
    actions = {name: rng.integers(env.action_space(name).nvec) for name in env.agents}
    assert all(env.action_space(name).nvec.tolist() == [4, 4] for name in own)
    observations, rewards, _, _, _ = env.step(actions)
    assert own <= set(rewards)
    if periods == 0:
        goal = np.array([0, 0.1, 0.25, 0.5], np.float32)[actions["pricing_high"]]
        for name in observations:
            np.testing.assert_array_equal(observations[name][:, column], goal)
    periods += 1
assert periods == 14

batched = BatchedEnv(load_scenario("tiny"), 3)
batched.reset(make_seeds("test", 0, 3))
grid = np.array([0, 0.1, 0.25, 0.5])
done = False
while not done:
    options = {
        m: rng.integers(module.num_options, size=(3, module.num_agents, 2))
        for m, module in batched.layout.modules.items()
    }
    view, held = batched.view, options["pricing_high"] if batched.is_review else held
    step = batched.step(options)
    proposals = batched.proposals["markdown"]
    high, low = grid[held], grid[options["pricing_low"]]
    np.testing.assert_array_equal(proposals, [np.broadcast_to(high, low.shape), low])
    targets = batched.coordinator.compute_targets({**options, **batched.goals}, view)
    np.testing.assert_array_equal(targets.markdown, 0.5 * high + 0.5 * low)  # eq. 6
    np.testing.assert_array_equal(batched.decide(targets, batched.view).markdown, targets.markdown)
    done = step.done

batched.reset(make_seeds("test", 0, 3))
make_policy("order_up_to", batched.scenario).run_period(batched)  # rules need not know of it


# `recommend` tells it without an edit: the policy's shares, and that the classical rule has none.
path = write_constant_policy(Path("policy.onnx"), batched.scenario, {"pricing_low": 3})
planner = Planner(OnnxPolicy.load(path), batched.scenario)
Path("state.csv").write_text(STATE)
found = planner.recommend(read_stock_count(Path("state.csv"), planner.schema))
rows = [d for d in found.decisions if d.decision == "markdown"]
assert [(d.node, d.sku) for d in rows] == [
    (node, sku) for node in ("store_0", "store_1") for sku in planner.schema.skus
]
for d in rows:
    assert (d.source, d.destination, d.units, d.share) == (d.node, "customers", 0, 0.25)
    assert d.proposals == {"pricing_high": 0.0, "pricing_low": 0.5}
    assert d.classical is None
assert "markdown   25% store_0 to customers" in found.explain("store_0", planner.schema.skus[0])
table = make_tables(found)[-1]
assert (table.name, table.rows[0][1:8]) == (
    "markdown", ["store_0", "shirt", "markdown", "store_0", "customers", 0.25, 0]
)
print("ok")
"""


@pytest.fixture
def extended(tmp_path: Path) -> Path:
    """A copy of the package with the new decision."""
    shutil.copytree(PACKAGE, tmp_path / "envs")
    for name, text in NEW.items():
        path = tmp_path / "envs" / name
        assert not path.exists()
        path.write_text(text.lstrip(), encoding="utf-8")
    for name, edits in EDITS.items():
        path = tmp_path / "envs" / name
        text = path.read_text(encoding="utf-8")
        for old, new in edits:
            assert text.count(old) == 1, (name, old)
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def test_a_share_with_two_agents__costs_two_files_and_three_edits(extended: Path) -> None:
    assert (len(NEW), len(EDITS)) == (2, 3)
    path = os.pathsep.join([str(extended), str(PACKAGE.parent)])
    run = subprocess.run(
        [sys.executable, "-c", EPISODE],
        env={**os.environ, "PYTHONPATH": path},
        cwd=extended,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "ok"
