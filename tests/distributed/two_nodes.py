"""Trains on a Ray cluster of two nodes on this machine; prints what it saw.

A process of its own for each story, because Ray's cluster belongs to a process.
"""

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster
from rich.console import Console

from envs.omnichannel.scenario import load_scenario
from marl.config import load_config
from marl.errors import RunError
from marl.learning.methods import make_method
from marl.learning.rllib.algorithm import MethodAlgorithm, build_algorithm
from marl.runs.folder import RunFolder
from marl.training.progress import TrainingProgress
from marl.training.ray_start import start_ray
from marl.training.trainer import Trainer
from tests.distributed.test_faults import SETTINGS
from tests.distributed.test_pool_actors import ACTORS

Seen = dict[str, Any]


def build(*overrides: str) -> MethodAlgorithm:
    config = load_config("default", [*SETTINGS, *overrides])
    return build_algorithm(make_method(load_scenario("tiny"), config))


def find_nodes(algorithm: MethodAlgorithm) -> list[str]:
    found: list[str] = algorithm.env_runner_group.foreach_env_runner(
        lambda _: ray.get_runtime_context().get_node_id(), local_env_runner=False
    )
    return found


def train_until(algorithm: MethodAlgorithm, num_healthy: int, timeout_s: float = 90) -> None:
    deadline = time.monotonic() + timeout_s
    while algorithm.crew.num_healthy != num_healthy and time.monotonic() < deadline:
        algorithm.train()


def leave_and_join(cluster: Cluster) -> Seen:
    """A node leaves in mid-run, then another one joins."""
    node = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    algorithm = build()
    algorithm.train()
    seen: Seen = {"nodes_at_start": find_nodes(algorithm)}

    cluster.remove_node(node)
    train_until(algorithm, 1)
    for _ in range(5):
        algorithm.train()
    seen["healthy_without_the_node"] = algorithm.crew.num_healthy

    cluster.add_node(num_cpus=1)
    train_until(algorithm, 2)
    seen["nodes_at_end"] = find_nodes(algorithm)
    seen |= {"env_steps": algorithm.env_steps, "rounds": algorithm.rounds}
    algorithm.stop()
    return seen


def begin_with_room_for_one(cluster: Cluster) -> Seen:
    """Two runners are asked for where one core is, and a run beside it finds none."""
    algorithm = build()
    algorithm.train()
    seen: Seen = {
        "healthy_at_start": algorithm.crew.num_healthy,
        "env_steps_of_a_round": algorithm.env_steps,
    }
    try:
        build("env_runners.start_timeout_s=5")
    except RunError as error:
        seen["error"] = str(error)

    cluster.add_node(num_cpus=1)
    train_until(algorithm, 2)
    seen |= {
        "healthy_at_end": algorithm.crew.num_healthy,
        "nodes_at_end": find_nodes(algorithm),
        "events": algorithm.crew.take_events(),
    }
    algorithm.stop()
    return seen


def end_with_a_runner_missing(_cluster: Cluster) -> Seen:
    """A run ends while one of its runners still waits for a core."""
    algorithm = build()
    algorithm.train()
    algorithm.stop()
    return {}


def lose_answers(cluster: Cluster) -> Seen:
    """A node takes a shard of the pool along, and the batches that lay there ready."""
    node = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    settings = [*SETTINGS, *ACTORS, "pool.num_shards=2", "evaluation.interval_episodes=32"]
    folder = Path(tempfile.mkdtemp()) / "run"
    run = RunFolder.create(folder, load_scenario("tiny"), load_config("default", settings))
    trainer = Trainer(run, TrainingProgress(Console(), quiet=True))
    pool = trainer.algorithm.pool
    get, draw = pool._get, pool.draw
    seen: Seen = {"run": str(run.path)}

    def draw_from_a_lost_node(*arguments: Any) -> Iterator[Any]:
        if trainer.algorithm.rounds == 3:
            pool._get = get_from_a_lost_node
        return draw(*arguments)

    def get_from_a_lost_node(calls: list[ray.ObjectRef]) -> list[Any]:
        if "lost" not in seen:
            ray.wait(calls, num_returns=len(calls), fetch_local=False)
            cluster.remove_node(node, allow_graceful=False)
            try:
                ray.get(calls)
            except ray.exceptions.RayError as error:
                seen["lost"] = [cls.__name__ for cls in type(error).__mro__]
        return get(calls)

    pool.draw = draw_from_a_lost_node
    try:
        trainer.train()
    except RunError as error:
        seen["error"] = str(error)
    trainer.close()
    return seen


STORIES = {
    story.__name__: story
    for story in (leave_and_join, begin_with_room_for_one, end_with_a_runner_missing, lose_answers)
}


def main() -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    start_ray(cluster.address, 2)
    seen = STORIES[sys.argv[1]](cluster)
    ray.shutdown()
    cluster.shutdown()
    sys.stdout.write(json.dumps(seen))


if __name__ == "__main__":
    main()
