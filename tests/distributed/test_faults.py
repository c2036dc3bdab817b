"""Runners that die or hang: the run goes on, and is the run that it would have been."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from envs.omnichannel.agents.roster import MODULES
from envs.omnichannel.scenario import Scenario
from marl.config import load_config
from marl.learning.methods import make_method
from marl.learning.rllib.algorithm import MethodAlgorithm, build_algorithm
from marl.runs.checkpoints import Part

pytestmark = [pytest.mark.distributed, pytest.mark.usefixtures("ray_session")]

SETTINGS = [
    "env_runners.num_env_runners=2",
    "env_runners.num_envs_per_env_runner=8",
    "pool.min_env_steps=100",
    "pool.capacity_env_steps=2000",
    "learner.batch_size=32",
    "learner.env_steps_per_update=16",
    "learner.hidden=[16,16]",
]


@contextmanager
def build(scenario: Scenario, *overrides: str, wait: bool = True) -> Iterator[MethodAlgorithm]:
    config = load_config("default", [*SETTINGS, *overrides])
    algorithm = build_algorithm(make_method(scenario, config), wait=wait)
    try:
        yield algorithm
    finally:
        algorithm.stop()


def find_pids(algorithm: MethodAlgorithm) -> dict[int, int]:
    """Process by worker, of the healthy ones."""
    group = algorithm.env_runner_group
    found = group.foreach_env_runner(
        lambda runner: (runner.worker_index, os.getpid()), local_env_runner=False
    )
    return dict(found)


def train_until_whole(algorithm: MethodAlgorithm, num_runners: int, timeout_s: float = 90) -> None:
    deadline = time.monotonic() + timeout_s
    while algorithm.crew.num_healthy < num_runners:
        assert time.monotonic() < deadline
        algorithm.train()
        time.sleep(0.2)  # few rounds, which the undisturbed run has to repeat


def assert_same(expected: dict[str, Part], found: dict[str, Part]) -> None:
    for name, part in expected.items():
        assert found[name].document == part.document
        for path, values in part.arrays.items():
            np.testing.assert_array_equal(found[name].arrays[path], values, err_msg=path)


def assert_runners_have_the_learners_weights(algorithm: MethodAlgorithm) -> None:
    def read(runner: Any) -> list[NDArray[Any]]:
        return [
            parameter.numpy().copy()
            for m in MODULES
            for parameter in runner.module[m].unwrapped().network.state_dict().values()
        ]

    learner = read(algorithm.learner_group._learner)
    for weights in algorithm.env_runner_group.foreach_env_runner(read, local_env_runner=False):
        for own, expected in zip(weights, learner, strict=True):
            np.testing.assert_array_equal(own, expected)


def test_runners__a_killed_one_changes_nothing_in_the_result(tiny: Scenario) -> None:
    with build(tiny) as algorithm:
        algorithm.train()
        os.kill(find_pids(algorithm)[1], signal.SIGKILL)
        for _ in range(3):
            algorithm.train()
        events = algorithm.crew.take_events()
        lost = "runner 1 is lost; 1 left, its episodes are sampled by others"
        assert [event for event in events if "is lost" in event] == [lost]
        disturbed = algorithm.make_snapshot()

    with build(tiny) as algorithm:
        for _ in range(4):
            algorithm.train()
        assert algorithm.crew.take_events() == []
        assert_same(algorithm.make_snapshot(), disturbed)


def test_runners__until_they_have_started_the_driver_samples_the_same(tiny: Scenario) -> None:
    with build(tiny, wait=False) as algorithm:
        algorithm.train()
        assert algorithm.crew.num_healthy == 0
        assert algorithm.env_steps == 2 * 8 * 14
        train_until_whole(algorithm, 2)
        algorithm.train()
        assert algorithm.crew.take_events() == []
        assert_runners_have_the_learners_weights(algorithm)
        rounds, early = algorithm.rounds, algorithm.make_snapshot()

    with build(tiny) as algorithm:
        while algorithm.rounds < rounds:
            algorithm.train()
        assert_same(algorithm.make_snapshot(), early)


def test_runners__asked_before_the_round_ends_sample_what_they_would_have_afterwards(
    tiny: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    restarts: list[int] = []
    restart = MethodAlgorithm._restart_round

    def note(self: MethodAlgorithm) -> None:
        restarts.append(self.rounds)
        restart(self)

    monkeypatch.setattr(MethodAlgorithm, "_restart_round", note)
    with build(tiny) as algorithm:
        for _ in range(4):
            algorithm.train()
        assert restarts == [0, 1]  # the first round, and the one after: none was known yet
        ahead = algorithm.make_snapshot()

    with build(tiny) as algorithm:
        for _ in range(4):
            algorithm._round_size = (1, 1)  # a guess that fails
            algorithm.train()
        assert restarts[2:] == [0, 1, 2, 3, 4]
        assert_same(algorithm.make_snapshot(), ahead)

    monkeypatch.setattr(MethodAlgorithm, "_ask_ahead", lambda self: None)
    with build(tiny) as algorithm:
        for _ in range(4):
            algorithm.train()
        assert_same(algorithm.make_snapshot(), ahead)


def test_runners__start_without_torchs_compiler(tiny: Scenario) -> None:
    with build(tiny) as algorithm:
        loaded = algorithm.env_runner_group.foreach_env_runner(
            lambda _: "torch._dynamo" in sys.modules, local_env_runner=False
        )
    assert loaded == [False, False]


@pytest.mark.slow
def test_runners__a_hung_one_is_replaced_and_synchronised(tiny: Scenario) -> None:
    with build(tiny, "env_runners.sample_timeout_s=15") as algorithm:
        algorithm.train()
        pids = find_pids(algorithm)
        algorithm.crew.drop_rounds()
        os.kill(pids[2], signal.SIGSTOP)
        started = time.monotonic()
        algorithm.train()

        assert 15 < time.monotonic() - started < 30
        assert algorithm.crew.take_events()[0] == (
            "runner 2 did not answer for 15 s and is replaced; 1 left, its episodes are sampled "
            "by others"
        )
        train_until_whole(algorithm, 2)
        algorithm.train()
        assert algorithm.crew.take_events()[-1] == "runner 2 is back"
        assert find_pids(algorithm)[1] == pids[1]
        assert find_pids(algorithm)[2] != pids[2]
        assert_runners_have_the_learners_weights(algorithm)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_runners__one_killed_every_few_seconds_changes_nothing_either(tiny: Scenario) -> None:
    rng = np.random.default_rng(0)
    kills, ends = 0, time.monotonic() + 120
    with build(tiny) as algorithm:
        next_kill = time.monotonic()
        # Only a living runner can be killed, and a busy machine restarts it slowly.
        while time.monotonic() < ends or kills < 5:
            if time.monotonic() > next_kill and algorithm.crew.num_healthy:
                pid = int(rng.choice([*find_pids(algorithm).values()]))
                threading.Timer(rng.uniform(0, 0.1), os.kill, (pid, signal.SIGKILL)).start()
                next_kill, kills = time.monotonic() + rng.uniform(2, 5), kills + 1
            algorithm.train()
            time.sleep(0.1)
        rounds, disturbed = algorithm.rounds, algorithm.make_snapshot()
        assert algorithm.env_steps == rounds * 2 * 8 * 14

    with build(tiny) as algorithm:
        while algorithm.rounds < rounds:
            algorithm.train()
        assert_same(algorithm.make_snapshot(), disturbed)


@pytest.mark.slow
def test_runners__all_lost_at_once_leave_the_driver_to_sample(tiny: Scenario) -> None:
    with build(tiny, "env_runners.num_env_runners=1") as algorithm:
        algorithm.train()
        algorithm.crew.drop_rounds()
        os.kill(find_pids(algorithm)[1], signal.SIGKILL)

        algorithm.train()

        assert algorithm.env_steps == 2 * 8 * 14
        assert algorithm.crew.num_healthy == 0
