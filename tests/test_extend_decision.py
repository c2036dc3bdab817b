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

from envs.omnichannel.agents.decisions.base import Goal, Share
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.pricing import MARKDOWNS
from envs.omnichannel.types import FloatArray


class Markdown(Share):
    """A share of the price; nothing in the simulator depends on it yet."""

    name: ClassVar[str] = "markdown"
    target: ClassVar[str] = "markdown"
    proposers: ClassVar[tuple[str, ...]] = ("pricing_high", "pricing_low")
    goals: ClassVar[tuple[Goal, ...]] = (Goal("goal_markdown", "pricing"),)

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
    "omnichannel/types.py": [
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
import numpy as np
from envs.omnichannel import BatchedEnv, load_scenario, parallel_env
from envs.omnichannel.world.draws import make_seeds
from marl.policies import make_policy

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
    np.testing.assert_array_equal(batched.decide(targets).markdown, targets.markdown)
    done = step.done

batched.reset(make_seeds("test", 0, 3))
make_policy("order_up_to", batched.scenario).run_period(batched)  # rules need not know of it
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
