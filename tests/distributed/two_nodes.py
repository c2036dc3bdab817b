"""Trains on a Ray cluster of two nodes, one of which leaves and is replaced; prints what it saw."""

import json
import sys
import time
from typing import Any

import ray
from ray.cluster_utils import Cluster

from envs.omnichannel.scenario import load_scenario
from marl.config import load_config
from marl.learning.algorithm import SharedPoolDQN, build_algorithm
from marl.training import start_ray
from tests.distributed.test_faults import SETTINGS


def find_nodes(algorithm: SharedPoolDQN) -> list[str]:
    found: list[str] = algorithm.env_runner_group.foreach_env_runner(
        lambda _: ray.get_runtime_context().get_node_id(), local_env_runner=False
    )
    return found


def train_until(algorithm: SharedPoolDQN, num_healthy: int, timeout_s: float = 90) -> None:
    deadline = time.monotonic() + timeout_s
    while algorithm.crew.num_healthy != num_healthy and time.monotonic() < deadline:
        algorithm.train()


def main() -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    node = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    start_ray(cluster.address, 2)
    algorithm = build_algorithm(load_scenario("tiny"), load_config("default", SETTINGS))
    algorithm.train()
    seen: dict[str, Any] = {"nodes_at_start": find_nodes(algorithm)}

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
    ray.shutdown()
    cluster.shutdown()
    sys.stdout.write(json.dumps(seen))


if __name__ == "__main__":
    main()
