"""RLlib's configuration of `MethodAlgorithm`."""

from __future__ import annotations

from typing import Any

from marl.learning.rllib.algorithm import MethodAlgorithm
from marl.learning.rllib.base_config import BaseConfig


class MethodConfig(BaseConfig):
    """A `BaseConfig` that builds `MethodAlgorithm` unless it is told otherwise."""

    def __init__(self, algo_class: Any = None) -> None:
        super().__init__(algo_class=algo_class or MethodAlgorithm)
