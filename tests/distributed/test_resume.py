"""Resume in a process of its own: bit for bit what the uninterrupted run does."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from envs.omnichannel.agents.roster import MODULES
from envs.omnichannel.scenario import load_scenario
from marl.config import load_config
from marl.learning.methods import make_method
from marl.learning.rllib.algorithm import MethodAlgorithm, build_algorithm
from marl.runs.checkpoints import Part, read_part

pytestmark = [pytest.mark.distributed, pytest.mark.usefixtures("ray_session")]

ROUNDS = 3
SETTINGS = [
    "env_runners.num_env_runners=1",
    "env_runners.num_envs_per_env_runner=2",
    "pool.min_env_steps=100",
    "pool.capacity_env_steps=800",
    "learner.batch_size=32",
    "learner.env_steps_per_update=16",
    "learner.hidden=[16,16]",
]

RESTORE_AND_TRAIN = """
import sys
from pathlib import Path

import ray

from marl.training.ray_start import start_ray
from tests.distributed.test_resume import build, train

scenario, folder = sys.argv[1:]
start_ray(None, 1)
with build(scenario) as algorithm:
    algorithm.restore_from_path(Path(folder) / "half")
    train(algorithm).write(Path(folder), "resumed")
ray.shutdown()
"""


@contextmanager
def build(scenario: str) -> Iterator[MethodAlgorithm]:
    algorithm = build_algorithm(
        make_method(load_scenario(scenario), load_config("default", SETTINGS))
    )
    try:
        yield algorithm
    finally:
        algorithm.stop()


def train(algorithm: MethodAlgorithm) -> Part:
    """Trains N rounds; returns the losses of each and the whole state at the end."""
    losses = []
    for _ in range(ROUNDS):
        algorithm.train()
        # The first round of a run has nothing to learn from.
        found = algorithm.learn_metrics
        losses.append([found[m]["td_error"] if found else 0.0 for m in MODULES])
    state = {
        f"{name}/{path}": leaf
        for name, part in algorithm.make_snapshot().items()
        for path, leaf in (part.arrays | {"document": json.dumps(part.document)}).items()
    }
    return Part.freeze({"losses": np.array(losses), **state})


@pytest.mark.parametrize("scenario", ["paper", pytest.param("retail", marks=pytest.mark.slow)])
def test_resume__in_a_new_process_is_the_run_that_went_on(tmp_path: Path, scenario: str) -> None:
    with build(scenario) as algorithm:
        train(algorithm)
        train(algorithm).write(tmp_path, "uninterrupted")
    with build(scenario) as algorithm:
        train(algorithm)
        algorithm.save_to_path(tmp_path / "half")

    done = subprocess.run(
        [sys.executable, "-c", RESTORE_AND_TRAIN, scenario, str(tmp_path)],
        capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    expected = read_part(tmp_path, "uninterrupted")
    resumed = read_part(tmp_path, "resumed")
    assert resumed.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(resumed[name], value, err_msg=name)
    assert expected["losses"].shape == (ROUNDS, len(MODULES))
    assert (expected["losses"] > 0).all()
    assert json.loads(expected["counters/document"])["rounds"] == 2 * ROUNDS
