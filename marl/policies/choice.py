"""A choice around a reference plan: what a kind of residual agent decides, and what it sees."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal, TypeVar

import numpy as np

from envs.omnichannel.types import Float32Array, FloatArray, IntArray
from marl.policies.base import Setting
from marl.policies.plan import Plan

Lies = Literal["store", "sku"]
RowsT = TypeVar("RowsT", IntArray, Float32Array)

_CLIP = 5.0


class Choice(ABC):
    """One kind of decision, taken by every agent of a group of G, with A options each."""

    name: ClassVar[str]
    is_joint: ClassVar[bool]  # one decision for all SKUs of a location, or one for each
    num_options: ClassVar[int]
    features: ClassVar[tuple[str, ...]]  # beside those of the observation
    # Where nearly all is that an agent's option changes: at its store, or in its SKU's column.
    lies: ClassVar[Lies]

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.network = setting.network

    @abstractmethod
    def list_options(self, plan: Plan) -> FloatArray:
        """Returns the value of every option, units, (B, G, A)."""

    @abstractmethod
    def take(self, plan: Plan, values: FloatArray) -> None:
        """Writes the agents' values (B, G) into the plan."""

    @abstractmethod
    def get_values(self, plan: Plan) -> FloatArray:
        """Returns the values that the plan holds, (B, G)."""

    def weigh(self, plan: Plan) -> FloatArray:
        """Returns how often agents are worth a look, relative to each other, (B, G)."""
        return np.ones(self.get_values(plan).shape)

    @property
    @abstractmethod
    def rows(self) -> slice:
        """The rows of the observation that its agents read."""

    @abstractmethod
    def compute_own(self, plan: Plan) -> list[FloatArray]:
        """Returns `features` of a rule's plan; each broadcasts to (B, R, K)."""

    def fill_in(self, plan: Plan, features: Float32Array) -> None:
        """Writes the own features, in [-5, 5], into the columns after those of the observation.

        Args:
            plan: the reference rule's.
            features: of the rows, (R, B, K, F), in place.
        """
        first = features.shape[-1] - len(self.features)
        for column, own in enumerate(self.compute_own(plan), start=first):
            features[..., column] = np.clip(own, -_CLIP, _CLIP).swapaxes(0, 1)

    def list_by_agent(self, values: RowsT) -> RowsT:
        """Arranges what is known by row (and SKU, unless joint) by copy and agent.

        Args:
            values: (R, B, ...) if joint, else (R, B, K, ...).

        Returns:
            (B, G, ...).
        """
        by_copy = values.swapaxes(0, 1)
        return by_copy if self.is_joint else by_copy.reshape(len(by_copy), -1, *values.shape[3:])
