"""The RLModule around a choice's network: what RLlib builds, synchronises and stores."""

from __future__ import annotations

from typing import Any

from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI
from ray.rllib.core.rl_module.torch import TorchRLModule

from marl.learning.counterfactual.network import ChoiceNetwork


class ChoiceModule(TorchRLModule, InferenceOnlyAPI):
    """One choice's network; `model_config["network"]` holds the arguments of `ChoiceNetwork`."""

    def setup(self) -> None:
        """Builds the network."""
        self.network = ChoiceNetwork(**self.model_config["network"])

    def get_non_inference_attributes(self) -> list[str]:
        """Runners need all of it."""
        return []

    def _forward(self, batch: dict[str, Any], **_: Any) -> dict[str, Any]:
        values = self.network(batch[Columns.OBS])
        return {Columns.ACTION_DIST_INPUTS: values, Columns.ACTIONS: values.argmax(dim=-1)}
