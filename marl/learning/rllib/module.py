"""The RLModule around a network of any method, which RLlib builds, synchronises and stores."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch import TorchRLModule

from marl.learning.methods import Method

# RLlib asks for the spaces of observations and actions, and our runners read none.
SPACES: tuple[Any, Any] = Box(-np.inf, np.inf, (1,)), Discrete(1)


class MethodModule(TorchRLModule, InferenceOnlyAPI):
    """One network of a method, which `model_config["make_network"]` builds."""

    def setup(self) -> None:
        """Builds the network."""
        self.network: Any = self.model_config["make_network"]()

    def get_non_inference_attributes(self) -> list[str]:
        """Runners need all of it."""
        return []

    def _forward(self, batch: dict[str, Any], **_: Any) -> dict[str, Any]:
        values = self.network(batch[Columns.OBS])
        return {Columns.ACTION_DIST_INPUTS: values, Columns.ACTIONS: values.argmax(dim=-1)}


def make_module_spec(method: Method) -> MultiRLModuleSpec:
    """The networks' specifications, in the method's order."""
    return MultiRLModuleSpec(
        rl_module_specs={
            name: RLModuleSpec(
                module_class=MethodModule,
                observation_space=SPACES[0],
                action_space=SPACES[1],
                model_config={"make_network": partial(method.make_network, name)},
            )
            for name in method.module_ids
        }
    )
