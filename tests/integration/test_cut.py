"""Rounds that are cut, by a signal or a limit: what was learnt is kept, and nothing else shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from envs.omnichannel.scenario import load_scenario
from marl.config import TrainConfig, load_config
from marl.errors import CutError
from marl.evaluation.evaluate import EpisodeRunner
from marl.learning.methods import make_method
from marl.learning.rllib import algorithm as module
from marl.learning.rllib.algorithm import MethodAlgorithm, build_algorithm
from marl.policies import make_policy
from marl.runs.checkpoints import Part

pytestmark = pytest.mark.usefixtures("ray_session")

COMMON = ["env_runners.num_envs_per_env_runner=4", "learner.batch_size=32", "learner.hidden=[16]"]
AGENTS = [*COMMON, "pool.min_env_steps=50", "learner.env_steps_per_update=8"]
RESIDUAL = [
    *COMMON,
    "residual.reference=order_up_to",
    "residual.choices=[supplier_order]",
    "residual.states=32",
    "residual.supplier_order_horizon=6",
    "learner.env_steps_per_update=8",
]


def make_config(method: str, runners: int, *overrides: str) -> TrainConfig:
    settings = RESIDUAL if method == "residual" else AGENTS
    name = "residual" if method == "residual" else "default"
    return load_config(name, [*settings, f"env_runners.num_env_runners={runners}", *overrides])


@contextmanager
def build(config: TrainConfig) -> Iterator[MethodAlgorithm]:
    algorithm = build_algorithm(make_method(load_scenario("tiny"), config))
    try:
        yield algorithm
    finally:
        algorithm.stop()


def stop_at_look(algorithm: MethodAlgorithm, number: int) -> None:
    """Stops when the algorithm looks for the number-th time whether it is to."""
    looks = count()
    algorithm.crew.stop_when(lambda: next(looks) >= number)


def assert_same(found: dict[str, Part], expected: dict[str, Part]) -> None:
    assert found.keys() == expected.keys()
    for name, part in expected.items():
        assert found[name].document == part.document
        for path, values in part.arrays.items():
            np.testing.assert_array_equal(found[name].arrays[path], values, err_msg=path)


@pytest.mark.parametrize(
    ("method", "runners", "overrides"),
    [
        ("agents", 0, []),
        ("agents", 1, ["pool.prioritized={}"]),
        ("residual", 0, []),
    ],
)
def test_cut__is_not_seen_in_what_follows(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    runners: int,
    overrides: list[str],
) -> None:
    monkeypatch.setattr(module, "UPDATES_PER_STRETCH", 2)
    monkeypatch.setattr(module, "UPDATES_PER_CALL", 1)
    config = make_config(method, runners, *overrides)
    with build(config) as algorithm:
        for _ in range(4):
            algorithm.train()
        expected = algorithm.make_snapshot()
    assert expected["counters"].document["updates"] == 3 * 4 * 14 // 8

    # In the learning, before and after two updates; in the sampling, at once and, in this process,
    # in the middle of an episode.
    updates = []
    with build(config) as algorithm:
        for _ in range(2):
            algorithm.train()
        for look in (0, 1, 3, 9):
            stop_at_look(algorithm, look)
            algorithm.train()
            updates.append(algorithm.updates)
            assert algorithm.is_cut == (runners == 0 or look < 4)
        algorithm.crew.stop_when(lambda: False)
        while algorithm.rounds < 4:
            algorithm.train()
        assert_same(algorithm.make_snapshot(), expected)

    folder = tmp_path / "checkpoint"
    with build(config) as algorithm:
        for _ in range(2):
            algorithm.train()
        stop_at_look(algorithm, 1)
        algorithm.train()
        assert algorithm.is_cut
        algorithm.save_to_path(folder)
    with build(config) as algorithm:
        algorithm.restore_from_path(folder)
        for _ in range(2):
            algorithm.train()
        assert_same(algorithm.make_snapshot(), expected)


def test_validation__is_cut_between_periods() -> None:
    scenario = load_scenario("tiny")
    runner = EpisodeRunner(scenario, np.arange(4, dtype=np.uint64), "train")
    looks = count()
    runner.should_stop = lambda: next(looks) == 3
    with pytest.raises(CutError):
        runner.run(make_policy("before", scenario))
    assert next(looks) == 4
