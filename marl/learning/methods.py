"""The ways to learn, behind one interface: DQN agents, choices around a tuned rule, orders.

A method brings all parts of learning but the machinery that runs them: networks, pool, sampling,
the formulas of an update, and the policy. `marl.learning.rllib` runs any of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from torch import nn

from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import FloatArray, SeedArray
from marl.config import TrainConfig
from marl.learning.branched.orders import OrdersMethod
from marl.learning.branched.residual import ResidualMethod
from marl.learning.documents import Document, read_document
from marl.learning.dqn.agents import AgentsMethod
from marl.learning.policy_arrays import Weights, load_arrays, make_damage_error, save_policy
from marl.learning.trainee import Losses, Trainee
from marl.policies.base import Policy


class Method(Protocol):
    """The parts of a way to learn, made from a scenario and a configuration."""

    scenario: Scenario
    config: TrainConfig
    module_ids: tuple[str, ...]  # names of the networks
    document_type: ClassVar[type[Document]]  # the schema of what `describe` returns

    @property
    def batch_size(self) -> int:
        """Transitions by network and update."""

    def make_network(self, name: str) -> nn.Module:
        """Returns an untrained network."""

    def make_pool(self, num_shards: int = 1, shard: int = 0) -> Any:
        """Returns an empty pool (`pool.base.InDriver`), or one of several parts of it."""

    def spread_epsilon(self, epsilon: float, first: int, copies: int) -> FloatArray:
        """Returns each copy's exploration, (B,).

        Args:
            epsilon: of the round.
            first: number of the first of these copies among those of all runners.
            copies: B.
        """

    def sample(
        self,
        env: BatchedEnv,
        networks: Mapping[str, Any],
        seeds: SeedArray,
        epsilon: FloatArray,
        rng: np.random.Generator,
    ) -> Any:
        """Returns what the pool takes from the episodes of the seeds, (B,).

        It has `metrics`, by name (B,), `num_episodes` and `env_steps()`.
        """

    def make_trainees(self, networks: Mapping[str, Any]) -> dict[str, Trainee]:
        """Returns the networks as they learn: together, or each by itself."""

    def compute_losses(
        self, name: str, trainee: Trainee, batch: Any, update: int, number: int
    ) -> Losses:
        """Returns the losses of an update; nothing is changed.

        Args:
            name: of the trainee.
            trainee: that learns.
            batch: what the pool drew.
            update: which of the batch's.
            number: of this update in the run, from 1.
        """

    def make_policy(self, weights: Weights, name: str) -> Policy:
        """Returns the greedy policy of the weights."""

    def make_untrained(self) -> Policy:
        """Returns the policy before the first update."""

    def describe(self) -> dict[str, Any]:
        """Returns what a policy file says beside the weights, as JSON."""

    @classmethod
    def load_policy(cls, document: Any, weights: Weights, scenario: Scenario, name: str) -> Policy:
        """Builds a policy from its file, whose `document` is a `document_type`.

        Raises:
            InputError: if it does not fit the scenario.
        """


METHODS: dict[str, Any] = {
    method.name: method for method in (AgentsMethod, ResidualMethod, OrdersMethod)
}


def make_method(scenario: Scenario, config: TrainConfig) -> Method:
    """Returns the configuration's way to learn."""
    method: Method = METHODS[config.method](scenario, config)
    return method


def write_policy(path: Path, method: Method, weights: Weights) -> None:
    """Writes what `load_policy` reads; no pickle is involved."""
    save_policy(path, {"method": method.config.method, **method.describe()}, weights)


def load_policy(path: Path, scenario: Scenario, name: str = "learned") -> Policy:
    """Reads a policy file of any method.

    Raises:
        InputError: if it is missing, damaged or does not fit the scenario.
    """
    data, weights = load_arrays(path)
    method = METHODS.get(str(data.get("method")))
    if method is None:
        raise make_damage_error(path)
    document = read_document(method.document_type, data, weights, path)
    policy: Policy = method.load_policy(document, weights, scenario, name)
    return policy
