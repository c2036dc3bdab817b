"""The ways to learn, behind one interface: DQN agents, choices around a tuned rule, orders."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch

from envs.errors import InputError
from envs.omnichannel.agents.roster import MODULES
from envs.omnichannel.scenario import Scenario
from marl.config import Learner, Orders, Residual, TrainConfig
from marl.learning.algorithm import SharedPoolDQN, build_algorithm
from marl.learning.counterfactual.algorithm import CounterfactualDQNConfig
from marl.learning.counterfactual.network import ChoiceNetwork
from marl.learning.counterfactual.policy import ResidualPolicy, make_network_arguments
from marl.learning.learned_policy import LearnedPolicy, make_untrained
from marl.learning.learned_policy import make_network_arguments as make_agent_arguments
from marl.learning.orders.agents import make_groups
from marl.learning.orders.agents import make_network_arguments as make_order_arguments
from marl.learning.orders.algorithm import OrdersDQNConfig
from marl.learning.orders.network import OrderNetwork
from marl.learning.orders.policy import OrderPolicy
from marl.learning.policy_arrays import NetworkArguments, Weights, load_arrays, save_policy
from marl.policies.base import Policy
from marl.policies.residual import make_reference

NetworkT = TypeVar("NetworkT", bound=torch.nn.Module)

_RESIDUAL = "residual"
_ORDERS = "orders"


class Method(Protocol):
    """What training needs of a way to learn."""

    module_ids: tuple[str, ...]

    def build_algorithm(self) -> SharedPoolDQN:
        """Starts runners and learner, without waiting for the runners."""

    def make_policy(self, weights: Weights, name: str) -> Policy:
        """Returns the greedy policy of the weights."""

    def make_untrained(self) -> Policy:
        """Returns the policy before the first update."""

    def save_policy(self, path: Path, weights: Weights) -> None:
        """Writes what `load_policy` reads; no pickle is involved."""


class AgentsMethod:
    """34 agents on two levels: double DQN from the shared experience pool."""

    module_ids = MODULES

    def __init__(self, scenario: Scenario, config: TrainConfig) -> None:
        self.scenario, self.config = scenario, config
        self.arguments = make_agent_arguments(scenario, config.learner)

    def build_algorithm(self) -> SharedPoolDQN:
        """Starts runners and learner, without waiting for the runners."""
        return build_algorithm(self.scenario, self.config, wait=False)

    def make_policy(self, weights: Weights, name: str) -> LearnedPolicy:
        """Returns the greedy policy of the weights."""
        return LearnedPolicy.from_weights(self.arguments, weights, name)

    def make_untrained(self) -> LearnedPolicy:
        """Returns the policy in which every agent takes its initial action."""
        return make_untrained(self.arguments)

    def save_policy(self, path: Path, weights: Weights) -> None:
        """Writes what `load_policy` reads."""
        save_policy(path, self.arguments, weights)


class ResidualMethod:
    """Choices around a tuned rule, taught by counterfactual experience."""

    def __init__(self, scenario: Scenario, config: TrainConfig) -> None:
        self.scenario, self.config = scenario, config
        self.module_ids: tuple[str, ...] = config.residual.choices
        self.arguments = make_network_arguments(scenario, config.residual, config.learner.hidden)

    def build_algorithm(self) -> SharedPoolDQN:
        """Starts runners and learner, without waiting for the runners."""
        return build_algorithm(self.scenario, self.config, CounterfactualDQNConfig, wait=False)

    def make_policy(self, weights: Weights, name: str) -> ResidualPolicy:
        """Returns the greedy policy of the weights."""
        residual = self.config.residual
        return make_residual_policy(self.scenario, residual, self.arguments, weights, name)

    def make_untrained(self) -> ResidualPolicy:
        """Returns the rule itself."""
        rule = make_reference(self.scenario, self.config.residual)
        return ResidualPolicy(self.scenario, rule, {}, name="untrained")

    def save_policy(self, path: Path, weights: Weights) -> None:
        """Writes what `load_policy` reads."""
        document = {_RESIDUAL: self.config.residual.model_dump(), "networks": self.arguments}
        save_policy(path, document, weights)


class OrdersMethod:
    """Agents that choose order quantities, taught by branches over every one of them."""

    def __init__(self, scenario: Scenario, config: TrainConfig) -> None:
        self.scenario, self.config = scenario, config
        self.groups = make_groups(scenario, config.orders)
        self.module_ids = tuple(self.groups)
        self.arguments = make_order_arguments(self.groups, config.learner)

    def build_algorithm(self) -> SharedPoolDQN:
        """Starts runners and learner, without waiting for the runners."""
        return build_algorithm(self.scenario, self.config, OrdersDQNConfig, wait=False)

    def make_policy(self, weights: Weights, name: str) -> OrderPolicy:
        """Returns the greedy policy of the weights."""
        networks = {g: OrderNetwork(**values) for g, values in self.arguments.items()}
        return OrderPolicy(self.groups, _fill(networks, weights), name)

    def make_untrained(self) -> OrderPolicy:
        """Returns the policy in which every agent orders the mean demand."""
        networks = {g: OrderNetwork(**values) for g, values in self.arguments.items()}
        return OrderPolicy(self.groups, networks, "untrained")

    def save_policy(self, path: Path, weights: Weights) -> None:
        """Writes what `load_policy` reads."""
        document = {_ORDERS: self.config.orders.model_dump(), "networks": self.arguments}
        save_policy(path, document, weights)


def make_method(scenario: Scenario, config: TrainConfig) -> Method:
    """Returns the configuration's way to learn."""
    if config.method == "residual":
        return ResidualMethod(scenario, config)
    if config.method == "orders":
        return OrdersMethod(scenario, config)
    return AgentsMethod(scenario, config)


def load_policy(path: Path, scenario: Scenario, name: str = "learned") -> Policy:
    """Reads a policy file of any kind.

    Raises:
        InputError: if it is missing, damaged or does not fit the scenario.
    """
    document, weights = load_arrays(path)
    if _RESIDUAL in document:
        residual = Residual.model_validate(document[_RESIDUAL])
        networks: NetworkArguments = document["networks"]
        expected = make_network_arguments(scenario, residual, hidden=())
        for choice, arguments in networks.items():
            features = expected[choice]["num_features"]
            if arguments["num_features"] != features:
                raise InputError(
                    f"policy: {name!r} has {arguments['num_features']} features in {choice}; "
                    f"scenario {scenario.name} needs {features}"
                )
        return make_residual_policy(scenario, residual, networks, weights, name)
    if _ORDERS in document:
        return _load_orders(document, scenario, weights, name)
    policy = LearnedPolicy.load(path, name)
    policy.check_fits(scenario, name)
    return policy


def make_residual_policy(
    scenario: Scenario,
    residual: Residual,
    arguments: NetworkArguments,
    weights: Weights,
    name: str,
) -> ResidualPolicy:
    """Builds the networks of the choices and fills them."""
    networks = {choice: ChoiceNetwork(**values) for choice, values in arguments.items()}
    rule = make_reference(scenario, residual)
    return ResidualPolicy(scenario, rule, _fill(networks, weights), residual.margin, name)


def _load_orders(
    document: dict[str, Any], scenario: Scenario, weights: Weights, name: str
) -> OrderPolicy:
    """Builds an ordering policy.

    Raises:
        InputError: if it is of a network with other agents, orders or lead times.
    """
    groups = make_groups(scenario, Orders.model_validate(document[_ORDERS]))
    arguments: NetworkArguments = document["networks"]
    expected = make_order_arguments(groups, Learner())
    for group in {**arguments, **expected}:
        found, needed = arguments.get(group), expected.get(group)
        if found is None or needed is None or found["most"] != needed["most"]:
            raise InputError(
                f"policy: {name!r} has {found and found['most']} units to see in {group}; "
                f"scenario {scenario.name} needs {needed and needed['most']}"
            )
    networks = {group: OrderNetwork(**values) for group, values in arguments.items()}
    return OrderPolicy(groups, _fill(networks, weights), name)


def _fill(networks: dict[str, NetworkT], weights: Weights) -> dict[str, NetworkT]:
    """Loads each network's weights; returns the networks."""
    for module_id, network in networks.items():
        values = {k: torch.from_numpy(np.array(v)) for k, v in weights[module_id].items()}
        network.load_state_dict(values)
    return networks
