"""The RLModule around a Q-network: what RLlib builds, synchronises and stores."""

from __future__ import annotations

import copy
from typing import Any

from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI, QNetAPI, TargetNetworkAPI
from ray.rllib.core.rl_module.torch import TorchRLModule

from marl.learning.network import QNetwork

Q_VALUES = "qf_preds"  # RLlib's own key for action values


class SkuQModule(TorchRLModule, InferenceOnlyAPI, TargetNetworkAPI, QNetAPI):
    """One module's Q-network and, on the learner, its target network.

    `model_config["network"]` holds the keyword arguments of `QNetwork`; RLlib adds its own keys.
    """

    def setup(self) -> None:
        """Builds the network."""
        self.network = QNetwork(**self.model_config["network"])

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
