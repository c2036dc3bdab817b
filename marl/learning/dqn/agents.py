"""The method `agents`: 34 agents on two levels, double DQN from the shared experience pool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from envs.omnichannel.agents.roster import MODULES
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.layout import Layout
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import LOWEST_RATE, FloatArray, Network, SeedArray, sum_channels
from envs.omnichannel.world.demand import make_demand
from marl.config import TrainConfig
from marl.learning.documents import AgentsDocument, Document
from marl.learning.dqn.network import QNetwork, make_network
from marl.learning.dqn.policy import LearnedPolicy, make_network_arguments, make_untrained
from marl.learning.dqn.sampling import sample_episodes, spread_epsilon
from marl.learning.dqn.update import compute_losses, make_trainee
from marl.learning.policy_arrays import Weights
from marl.learning.pool.base import make_shard_seed
from marl.learning.pool.driver import DriverPool
from marl.learning.pool.experience_pool import Batch, Fragment
from marl.learning.pool.size import PoolShape, PoolSize
from marl.learning.trainee import Losses, Trainee

_TOGETHER = "modules"  # all networks learn in one product


class AgentsMethod:
    """34 agents on two levels: double DQN from the shared experience pool."""

    name: ClassVar[str] = "agents"
    document_type: ClassVar[type[Document]] = AgentsDocument

    def __init__(self, scenario: Scenario, config: TrainConfig) -> None:
        self.scenario, self.config = scenario, config
        self.layout = Layout.from_scenario(scenario)
        self.module_ids: tuple[str, ...] = MODULES
        self.arguments = make_network_arguments(scenario, config.learner)

    @property
    def batch_size(self) -> int:
        """Transitions by network and update; as many in all, whoever shares parameters."""
        learner, modules = self.config.learner, self.layout.modules.values()
        if learner.share_parameters:
            return learner.batch_size
        agents = sum(module.num_agents for module in modules)
        return max(1, learner.batch_size * len(modules) // agents)

    def make_network(self, name: str) -> QNetwork:
        """Returns the network of a module; without shared parameters, those of its agents."""
        return make_network(self.arguments[name])

    def make_pool(self, num_shards: int = 1, shard: int = 0) -> DriverPool:
        """Returns an empty pool, or one of several parts of it."""
        rules, learner = self.config.pool, self.config.learner
        return DriverPool(
            PoolShape(self.layout, prioritized=rules.prioritized is not None),
            PoolSize.from_rules(rules).divide(num_shards),
            n_step=learner.n_step,
            gamma=learner.gamma,
            seed=make_shard_seed(self.config.seed, shard),
            prioritized=rules.prioritized,
            separate=not learner.share_parameters,
            odds=self._weigh_cells(rules.demand_exponent) if rules.demand_exponent else None,
        )

    def _weigh_cells(self, exponent: float) -> dict[str, FloatArray]:
        """Mean demand of the agents' rows and SKUs to a power, by module, (A, K)."""
        network = Network.from_scenario(self.scenario)
        stores = sum_channels(make_demand(self.scenario).mean)
        dcs = network.sum_by_dc(stores[None])[0]
        rows = np.concatenate([dcs, stores, dcs.sum(axis=0, keepdims=True)])
        odds = np.maximum(rows, LOWEST_RATE) ** exponent
        return {name: odds[module.rows] for name, module in self.layout.modules.items()}

    def spread_epsilon(self, epsilon: float, first: int, copies: int) -> FloatArray:
        """Returns each copy's exploration, (B,), from hardly any to much."""
        runners = self.config.env_runners
        initial = self.config.exploration.epsilon
        return spread_epsilon(epsilon, initial, first, copies, runners.num_episodes)

    def sample(
        self,
        env: BatchedEnv,
        networks: Mapping[str, QNetwork],
        seeds: SeedArray,
        epsilon: FloatArray,
        rng: np.random.Generator,
    ) -> Fragment:
        """Runs the episodes of the seeds, (B,), each copy exploring with its epsilon, (B,)."""
        env.reset(seeds)
        return sample_episodes(env, networks, epsilon, rng)

    def make_trainees(self, networks: Mapping[str, QNetwork]) -> dict[str, Trainee]:
        """Returns the networks as they learn: all of them in one product."""
        return {_TOGETHER: make_trainee(networks, self.config.learner)}

    def compute_losses(
        self, name: str, trainee: Trainee, batch: Batch, update: int, number: int
    ) -> Losses:
        """Returns the losses of one of the batch's updates."""
        del name, number
        assert trainee.slow is not None
        return compute_losses(trainee.online, trainee.slow, batch, update, self.config.learner)

    def make_policy(self, weights: Weights, name: str) -> LearnedPolicy:
        """Returns the greedy policy of the weights."""
        return LearnedPolicy.from_weights(self.arguments, weights, name)

    def make_untrained(self) -> LearnedPolicy:
        """Returns the policy in which every agent takes its initial action."""
        return make_untrained(self.arguments)

    def describe(self) -> dict[str, Any]:
        """Returns what a policy file says beside the weights."""
        return {"networks": self.arguments}

    @classmethod
    def load_policy(
        cls, document: AgentsDocument, weights: Weights, scenario: Scenario, name: str
    ) -> LearnedPolicy:
        """Builds a policy from its file.

        Raises:
            InputError: if it does not fit the scenario.
        """
        policy = LearnedPolicy.from_weights(document.arguments, weights, name)
        policy.check_fits(scenario, name)
        return policy
