"""The scalars of a round, as TensorBoard and metrics.jsonl have them."""

from __future__ import annotations

import numpy as np

from envs.omnichannel.world.account.costs import TERMS
from marl.learning.rllib.algorithm import MethodAlgorithm

Record = dict[str, float]

REPORTED = ("reward", "served", "on_time", "cost/total", *(f"cost/{term}" for term in TERMS))


def describe_round(
    algorithm: MethodAlgorithm, new_env_steps: int, updates_before: int, seconds: float
) -> Record:
    """Returns a round's scalars by tag.

    Args:
        algorithm: after the round.
        new_env_steps: sampled in it.
        updates_before: of the networks, before it.
        seconds: that it took.
    """
    method = algorithm.method
    transitions = (algorithm.updates - updates_before) * len(method.module_ids)
    transitions *= method.config.learner.batch_size
    record: Record = {
        f"train/{name}": float(np.mean(algorithm.sample_metrics[name]))
        for name in REPORTED
        if algorithm.sample_metrics
    }
    if record:
        record["train/service_level"] = record["train/served"]
    record["speed/env_steps_per_second"] = new_env_steps / seconds
    record["speed/transitions_learnt_per_second"] = transitions / seconds
    record["faults/healthy_runners"] = float(algorithm.crew.num_healthy)
    for node, env_steps in algorithm.env_steps_by_node.items():
        record[f"nodes/{node}/env_steps"] = float(env_steps)
    record["pool/env_steps_per_update"] = algorithm.env_steps_per_update
    if search := algorithm.weight_search:
        record |= search.describe()
    for module_id in method.module_ids:
        record[f"pool/{module_id}/size"] = float(algorithm.pool.num_transitions(module_id))
        if module_id in algorithm.learn_metrics:
            td_error = algorithm.learn_metrics[module_id]["td_error"]
            record[f"train/td_error/{module_id}"] = td_error
    return record
