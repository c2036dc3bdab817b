"""`OrdersDQN`: the algorithm's rounds, with branched situations in the place of transitions."""

from __future__ import annotations

from typing import Any

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.dqn import DQN, DQNConfig
from ray.rllib.policy.policy import PolicySpec
from ray.rllib.utils.annotations import override

from envs.omnichannel.scenario import Scenario
from marl.config import Orders, TrainConfig
from marl.learning.algorithm import SharedPoolDQN, SharedPoolDQNConfig
from marl.learning.counterfactual.algorithm import CounterfactualDQN
from marl.learning.counterfactual.pool import LabelPool, LabelShape
from marl.learning.orders.agents import make_groups, make_network_arguments
from marl.learning.orders.learner import OrdersLearner
from marl.learning.orders.module import OrderModule
from marl.learning.orders.runner import OrdersEnvRunner, make_order_spaces
from marl.learning.rl_module import specify_modules


class OrdersDQNConfig(SharedPoolDQNConfig):
    """The algorithm's configuration for ordering agents."""

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or OrdersDQN)

    @classmethod
    def from_config(cls, scenario: Scenario, config: TrainConfig) -> SharedPoolDQNConfig:
        """Translates ours into RLlib's groups of settings."""
        self = super().from_config(scenario, config)
        groups = make_groups(scenario, config.orders)
        self.environment(
            env=None,
            env_config={**self.env_config, "orders": config.orders.model_dump()},
        )
        self.env_runners(env_runner_cls=OrdersEnvRunner)
        self.learner_config_dict = {
            **self.learner_config_dict,
            "choices": tuple(groups),
            "focus": config.orders.focus,
        }
        self.policies = {}
        self.multi_agent(policies={name: PolicySpec() for name in groups})
        arguments = make_network_arguments(groups, config.learner)
        spaces = {n: make_order_spaces(g.most, g.num_options) for n, g in groups.items()}
        self.rl_module(rl_module_spec=specify_modules(OrderModule, spaces, arguments))
        return self

    @override(DQNConfig)
    def get_default_learner_class(self) -> type[OrdersLearner]:
        return OrdersLearner


class OrdersDQN(CounterfactualDQN):
    """Ordering agents, taught by branches over every order."""

    @classmethod
    @override(DQN)
    def get_default_config(cls) -> AlgorithmConfig:
        return OrdersDQNConfig()

    @override(SharedPoolDQN)
    def make_pool(self, scenario: Scenario) -> Any:
        orders = Orders.model_validate(self.config.env_config["orders"])
        shapes = {
            name: LabelShape(
                features=(1 + group.num_options, len(group.most)), num_options=group.num_options
            )
            for name, group in make_groups(scenario, orders).items()
        }
        return LabelPool(orders.pool_situations, shapes, self.config.run_seed)
