"""Nodes of a Ray cluster that leave, join and are missing from the start."""

import json
import subprocess
import sys
from functools import cache
from typing import Any

import pytest

from tests.distributed.commands import ENVIRONMENT, ROOT

pytestmark = [pytest.mark.distributed, pytest.mark.slow]

ROUND = 2 * 8 * 14  # env steps: runners x copies x periods


@cache
def play(story: str) -> dict[str, Any]:
    """Runs a story of `two_nodes` in a process of its own; returns what it saw."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.distributed.two_nodes", story],
        cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return seen


def test_nodes__one_that_leaves_and_one_that_joins() -> None:
    seen = play("leave_and_join")

    assert len(set(seen["nodes_at_start"])) == 2
    assert seen["healthy_without_the_node"] == 1
    assert len(set(seen["nodes_at_end"])) == 2
    assert seen["env_steps"] == seen["rounds"] * ROUND


def test_nodes__a_run_begins_with_the_runners_that_have_room() -> None:
    seen = play("begin_with_room_for_one")

    assert seen["healthy_at_start"] == 1
    assert seen["env_steps_of_a_round"] == ROUND
    assert seen["healthy_at_end"] == len(set(seen["nodes_at_end"])) == 2
    waiting, started = seen["events"]
    number = waiting.split()[1]
    assert waiting == f"runner {number} has no room yet; its episodes are sampled by others"
    assert started == f"runner {number} has started"


def test_nodes__a_run_without_room_for_any_runner_says_so() -> None:
    assert play("begin_with_room_for_one")["error"] == (
        "env_runners: none of 2 runners has started within 5 s; a runner needs a core, and 0 of "
        "the cluster's 1 are free; add a node, wait until others end, or sample in this process "
        "with --set env_runners.num_env_runners=0"
    )


def test_nodes__a_run_ends_while_a_runner_waits_for_room() -> None:
    assert play("end_with_a_runner_missing") == {}


def test_nodes__a_lost_one_with_a_shards_answers_ends_the_run_with_the_way_to_go_on() -> None:
    seen = play("lose_answers")

    assert "ObjectLostError" in seen["lost"]
    assert seen["error"] == (
        "a shard of the experience pool is lost, and its episodes with it; the last whole one is "
        f"000032; go on from it with: omnichannel resume {seen['run']} --checkpoint 000032"
    )
