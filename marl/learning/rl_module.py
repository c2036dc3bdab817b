"""The RLModule around a Q-network: what RLlib builds, synchronises and stores."""

from __future__ import annotations

import copy
from typing import Any

from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI, QNetAPI, TargetNetworkAPI
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModule, RLModuleSpec
from ray.rllib.core.rl_module.torch import TorchRLModule

from envs.omnichannel.layout import Layout
from envs.omnichannel.scenario import Scenario
from marl.config import TrainConfig
from marl.learning.env_runner import Spaces, make_spaces
from marl.learning.learned_policy import make_network_arguments
from marl.learning.network import QNetwork, make_network
from marl.learning.policy_arrays import NetworkArguments

Q_VALUES = "qf_preds"  # RLlib's own key for action values


class SkuQModule(TorchRLModule, InferenceOnlyAPI, TargetNetworkAPI, QNetAPI):
    """One module's Q-network and, on the learner, its target network.

    `model_config["network"]` holds the arguments of `make_network`; RLlib adds its own keys.
    """

    def setup(self) -> None:
        """Builds the network."""
        self.network = make_network(self.model_config["network"])

    def get_non_inference_attributes(self) -> list[str]:
        """Runners need no target network."""
        return ["target_network"]

    def make_target_networks(self) -> None:
        """Starts the target as a copy."""
        self.target_network = copy.deepcopy(self.network).requires_grad_(False)

    def get_target_network_pairs(self) -> list[tuple[QNetwork, QNetwork]]:
        """The online network and its target."""
        return [(self.network, self.target_network)]

    def compute_q_values(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Action values (..., A) of observations (..., F)."""
        return {Q_VALUES: self.network(batch[Columns.OBS])}

    def forward_target(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Action values of the target network."""
        return {Q_VALUES: self.target_network(batch[Columns.OBS])}

    def _forward(self, batch: dict[str, Any], **_: Any) -> dict[str, Any]:
        values = self.compute_q_values(batch)
        return values | {Columns.ACTIONS: values[Q_VALUES].argmax(dim=-1)}

    def _forward_train(self, batch: dict[str, Any], **_: Any) -> dict[str, Any]:
        return self.compute_q_values(batch)


def make_module_spec(scenario: Scenario, config: TrainConfig) -> MultiRLModuleSpec:
    """The six modules' specifications, in the roster's order."""
    spaces = make_spaces(Layout.from_scenario(scenario))
    return specify_modules(SkuQModule, spaces, make_network_arguments(scenario, config.learner))


def specify_modules(
    module_class: type[RLModule], spaces: Spaces, arguments: NetworkArguments
) -> MultiRLModuleSpec:
    """Modules of one class, in the order of their networks' arguments.

    Args:
        module_class: that builds the network of `model_config["network"]`.
        spaces: observation and action space of one row, by module.
        arguments: of the networks, by module.
    """
    return MultiRLModuleSpec(
        rl_module_specs={
            name: RLModuleSpec(
                module_class=module_class,
                observation_space=spaces[name][0],
                action_space=spaces[name][1],
                model_config={"network": network},
            )
            for name, network in arguments.items()
        }
    )
