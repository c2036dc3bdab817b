"""The RLModule around an ordering network: what RLlib builds, synchronises and stores."""

from __future__ import annotations

from typing import Any

from ray.rllib.utils.annotations import override

from marl.learning.counterfactual.module import ChoiceModule
from marl.learning.orders.network import OrderNetwork


class OrderModule(ChoiceModule):
    """One group's network; `model_config["network"]` holds the arguments of `OrderNetwork`."""

    @override(ChoiceModule)
    def setup(self) -> None:
        self.network: Any = OrderNetwork(**self.model_config["network"])
