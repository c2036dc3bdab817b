"""The method `residual`: choices around a tuned rule, taught by counterfactual experience."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from envs.errors import InputError
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.branches.branching import record_episodes
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import FloatArray, SeedArray
from marl.config import Residual, TrainConfig
from marl.learning.branched.choice_network import ChoiceNetwork
from marl.learning.branched.labels import Exploring, LabelMaker
from marl.learning.branched.local_labels import LocalLabelMaker
from marl.learning.branched.residual_policy import ResidualPolicy, make_network_arguments
from marl.learning.branched.update import compute_saving_losses, make_trainee
from marl.learning.documents import Document, ResidualDocument
from marl.learning.networks import fill_networks
from marl.learning.policy_arrays import NetworkArguments, Weights
from marl.learning.pool.recorded import LabelBatch, LabelFragment, LabelPool, Labels, LabelShape
from marl.learning.trainee import Losses, Trainee
from marl.policies.residual import get_rule, make_reference


class ResidualMethod:
    """Choices around a tuned rule, taught by counterfactual experience."""

    name: ClassVar[str] = "residual"
    document_type: ClassVar[type[Document]] = ResidualDocument

    def __init__(self, scenario: Scenario, config: TrainConfig) -> None:
        self.scenario, self.config = scenario, config
        self.module_ids: tuple[str, ...] = config.residual.choices
        self.batch_size = config.learner.batch_size
        self.arguments = make_network_arguments(scenario, config.residual, config.learner.hidden)

    def make_network(self, name: str) -> ChoiceNetwork:
        """Returns the network of a choice."""
        return ChoiceNetwork(**self.arguments[name])

    def make_pool(self, num_shards: int = 1, shard: int = 0) -> LabelPool:
        """Returns an empty pool; it has no parts."""
        del num_shards, shard
        shapes = {
            name: LabelShape(
                features=(len(self.scenario.skus),) * values["is_joint"]
                + (values["num_features"],),
                num_options=values["num_options"],
            )
            for name, values in self.arguments.items()
        }
        return LabelPool(self.config.residual.pool_states, shapes, self.config.seed)

    def spread_epsilon(self, epsilon: float, first: int, copies: int) -> FloatArray:
        """Returns the same for all copies, (B,): branches explore by themselves."""
        del first
        return np.full(copies, epsilon)

    def sample(
        self,
        env: BatchedEnv,
        networks: Mapping[str, ChoiceNetwork],
        seeds: SeedArray,
        epsilon: FloatArray,
        rng: np.random.Generator,
    ) -> LabelFragment:
        """Records the episodes of the seeds, (B,), then labels recorded states of all choices."""
        settings = self.config.residual
        rule = make_reference(self.scenario, get_rule(settings), settings.choices)
        policy = ResidualPolicy(self.scenario, rule, networks, settings.margin)
        recording = record_episodes(env, Exploring(policy, epsilon, rng), seeds)
        make = LocalLabelMaker if settings.credit == "local" else LabelMaker
        maker = make(env, policy, settings.continuation)
        labels: dict[str, Labels] = {
            name: maker.make_labels(
                recording, name, settings.states, settings.get_horizon(name), rng
            )
            for name in settings.choices
        }
        return LabelFragment.of_episodes(env, labels)

    def make_trainees(self, networks: Mapping[str, ChoiceNetwork]) -> dict[str, Trainee]:
        """Returns the networks as they learn: each by itself."""
        learner = self.config.learner
        return {n: make_trainee(n, x, learner, bootstraps=False) for n, x in networks.items()}

    def compute_losses(
        self, name: str, trainee: Trainee, batch: LabelBatch, update: int, number: int
    ) -> Losses:
        """Returns the losses of one of the batch's updates."""
        del number
        features, savings = batch.pick(name, update)
        return compute_saving_losses(trainee.online, features, savings, self.config.learner)

    def make_policy(self, weights: Weights, name: str) -> ResidualPolicy:
        """Returns the greedy policy of the weights."""
        settings = self.config.residual
        return _make_policy(self.scenario, settings, self.arguments, weights, name)

    def make_untrained(self) -> ResidualPolicy:
        """Returns the rule itself."""
        settings = self.config.residual
        rule = make_reference(self.scenario, get_rule(settings), settings.choices)
        return ResidualPolicy(self.scenario, rule, {}, name="untrained")

    def describe(self) -> dict[str, Any]:
        """Returns what a policy file says beside the weights."""
        return {"residual": self.config.residual.model_dump(), "networks": self.arguments}

    @classmethod
    def load_policy(
        cls, document: ResidualDocument, weights: Weights, scenario: Scenario, name: str
    ) -> ResidualPolicy:
        """Builds a policy from its file.

        Raises:
            InputError: if it does not fit the scenario.
        """
        settings, networks = document.residual, document.arguments
        expected = make_network_arguments(scenario, settings, hidden=())
        for choice, arguments in networks.items():
            for field in ("num_features", "num_options", "is_joint"):
                found, needed = arguments[field], expected[choice][field]
                if found != needed:
                    raise InputError(
                        f"policy: {name!r} has {field} {found} in {choice}; "
                        f"scenario {scenario.name} needs {needed}"
                    )
        return _make_policy(scenario, settings, networks, weights, name)


def _make_policy(
    scenario: Scenario, settings: Residual, arguments: NetworkArguments, weights: Weights, name: str
) -> ResidualPolicy:
    networks = {choice: ChoiceNetwork(**values) for choice, values in arguments.items()}
    rule = make_reference(scenario, get_rule(settings), settings.choices)
    fill_networks(networks, weights)
    return ResidualPolicy(scenario, rule, networks, settings.margin, name)
