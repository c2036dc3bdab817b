"""The two ways to learn, behind one interface: DQN agents, or choices around a tuned rule."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from envs.errors import InputError
from envs.omnichannel.agents.roster import MODULES
from envs.omnichannel.scenario import Scenario
from marl.config import Residual, TrainConfig
from marl.learning.algorithm import SharedPoolDQN, build_algorithm
from marl.learning.counterfactual.algorithm import CounterfactualDQNConfig
from marl.learning.counterfactual.network import ChoiceNetwork
from marl.learning.counterfactual.policy import (
    ResidualPolicy,
    make_network_arguments,
    make_reference,
)
from marl.learning.learned_policy import LearnedPolicy, make_untrained
from marl.learning.learned_policy import make_network_arguments as make_agent_arguments
from marl.learning.policy_arrays import NetworkArguments, Weights, load_arrays, save_policy
from marl.policies.base import Policy

_RESIDUAL = "residual"


class Method(Protocol):
    """What training needs of a way to learn."""

    module_ids: tuple[str, ...]

    def build_algorithm(self) -> SharedPoolDQN:
        """Starts runners and learner."""

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
        """Starts runners and learner."""
        return build_algorithm(self.scenario, self.config)

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
        """Starts runners and learner."""
        return build_algorithm(self.scenario, self.config, CounterfactualDQNConfig)

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


def make_method(scenario: Scenario, config: TrainConfig) -> Method:
    """Returns the configuration's way to learn."""
    if config.method == "residual":
        return ResidualMethod(scenario, config)
    return AgentsMethod(scenario, config)


def load_policy(path: Path, scenario: Scenario, name: str = "learned") -> Policy:
    """Reads a policy file of either kind.

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
    for choice, network in networks.items():
        values = {k: torch.from_numpy(np.array(v)) for k, v in weights[choice].items()}
        network.load_state_dict(values)
    rule = make_reference(scenario, residual)
    return ResidualPolicy(scenario, rule, networks, residual.margin, name)
