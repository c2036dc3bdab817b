"""The method `orders`: agents that choose order quantities, taught by branches over all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from envs.errors import InputError
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.branches.branching import record_episodes
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import FloatArray, SeedArray
from marl.config import Learner, TrainConfig
from marl.learning.branched.order_branches import BranchMaker
from marl.learning.branched.order_network import OrderNetwork
from marl.learning.branched.order_policy import ExploringOrders, OrderPolicy
from marl.learning.branched.update import compute_order_losses, make_trainee
from marl.learning.documents import Document, OrdersDocument
from marl.learning.networks import fill_networks
from marl.learning.policy_arrays import NetworkArguments, Weights
from marl.learning.pool.recorded import LabelBatch, LabelFragment, LabelPool, LabelShape
from marl.learning.trainee import Losses, Trainee
from marl.policies.order_groups import Group, make_groups


class OrdersMethod:
    """Agents that choose order quantities, taught by branches over every one of them."""

    name: ClassVar[str] = "orders"
    document_type: ClassVar[type[Document]] = OrdersDocument

    def __init__(self, scenario: Scenario, config: TrainConfig) -> None:
        self.scenario, self.config = scenario, config
        self.groups = make_groups(scenario, config.orders.largest_order)
        self.module_ids: tuple[str, ...] = tuple(self.groups)
        self.batch_size = config.learner.batch_size
        self.arguments = make_network_arguments(self.groups, config.learner)

    def make_network(self, name: str) -> OrderNetwork:
        """Returns the network of a group."""
        return OrderNetwork(**self.arguments[name])

    def make_pool(self, num_shards: int = 1, shard: int = 0) -> LabelPool:
        """Returns an empty pool; it has no parts."""
        del num_shards, shard
        shapes = {
            name: LabelShape(
                features=(1 + group.num_options, len(group.most)), num_options=group.num_options
            )
            for name, group in self.groups.items()
        }
        return LabelPool(self.config.orders.pool_states, shapes, self.config.seed)

    def spread_epsilon(self, epsilon: float, first: int, copies: int) -> FloatArray:
        """Returns the same for all copies, (B,): branches explore by themselves."""
        del first
        return np.full(copies, epsilon)

    def sample(
        self,
        env: BatchedEnv,
        networks: Mapping[str, OrderNetwork],
        seeds: SeedArray,
        epsilon: FloatArray,
        rng: np.random.Generator,
    ) -> LabelFragment:
        """Records the episodes of the seeds, (B,), then branches recorded states of all groups."""
        settings, learner = self.config.orders, self.config.learner
        policy = OrderPolicy(self.groups, networks)
        recording = record_episodes(env, ExploringOrders(policy, epsilon, rng), seeds)
        maker = BranchMaker(env, policy, learner.n_step, learner.gamma, settings.futures)
        labels = {n: maker.make(recording, n, settings.states, rng) for n in self.groups}
        return LabelFragment.of_episodes(env, labels)

    def make_trainees(self, networks: Mapping[str, OrderNetwork]) -> dict[str, Trainee]:
        """Returns the networks as they learn: each by itself, with a slow copy."""
        learner = self.config.learner
        return {n: make_trainee(n, x, learner, bootstraps=True) for n, x in networks.items()}

    def compute_losses(
        self, name: str, trainee: Trainee, batch: LabelBatch, update: int, number: int
    ) -> Losses:
        """Returns the losses of one of the batch's updates."""
        assert trainee.slow is not None
        features, returns = batch.pick(name, update)
        return compute_order_losses(
            trainee.online,
            trainee.slow,
            features,
            returns,
            settings=self.config.learner,
            focus=self.config.orders.focus,
            baseline=trainee.baseline,
            number=number,
        )

    def make_policy(self, weights: Weights, name: str) -> OrderPolicy:
        """Returns the greedy policy of the weights."""
        networks = {group: self.make_network(group) for group in self.groups}
        fill_networks(networks, weights)
        return OrderPolicy(self.groups, networks, name)

    def make_untrained(self) -> OrderPolicy:
        """Returns the policy in which every agent orders the mean demand."""
        networks = {group: self.make_network(group) for group in self.groups}
        return OrderPolicy(self.groups, networks, "untrained")

    def describe(self) -> dict[str, Any]:
        """Returns what a policy file says beside the weights."""
        return {"orders": self.config.orders.model_dump(), "networks": self.arguments}

    @classmethod
    def load_policy(
        cls, document: OrdersDocument, weights: Weights, scenario: Scenario, name: str
    ) -> OrderPolicy:
        """Builds a policy from its file.

        Raises:
            InputError: if it is of a network with other agents, orders or lead times.
        """
        groups = make_groups(scenario, document.orders.largest_order)
        arguments = document.arguments
        expected = make_network_arguments(groups, Learner())
        for group in {**arguments, **expected}:
            found, needed = arguments.get(group), expected.get(group)
            if found is None or needed is None or found["most"] != needed["most"]:
                raise InputError(
                    f"policy: {name!r} has {found and found['most']} units to see in {group}; "
                    f"scenario {scenario.name} needs {needed and needed['most']}"
                )
        networks = {group: OrderNetwork(**values) for group, values in arguments.items()}
        fill_networks(networks, weights)
        return OrderPolicy(groups, networks, name)


def make_network_arguments(groups: Mapping[str, Group], learner: Learner) -> NetworkArguments:
    """Keyword arguments of each group's `OrderNetwork`."""
    return {
        name: {
            "most": group.most,
            "num_options": group.num_options,
            "hidden": list(learner.hidden),
            "dueling": learner.dueling,
            "initial_option": group.initial_option,
            "initial_bias": learner.initial_bias,
        }
        for name, group in groups.items()
    }
