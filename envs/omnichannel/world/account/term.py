"""The protocol of a cost term."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from envs.omnichannel.flows import Flows
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import FloatArray, Network


class Term(ABC):
    """A reason to pay; what arises in a region is booked at its store.

    Attributes:
        name: in `Costs`, metrics (`cost/<name>`) and tables.
        weight: the weight of eq. 8 under which the reward subtracts it.
    """

    name: ClassVar[str]
    weight: ClassVar[Literal["alpha", "beta", "gamma", "delta"]]

    def __init__(self, scenario: Scenario, network: Network) -> None:
        self.rates = scenario.costs
        self.first_store = network.num_dcs  # along axis N

    @classmethod
    def is_on(cls, scenario: Scenario) -> bool:
        """Whether the term can cost anything in a scenario."""
        return True

    @abstractmethod
    def price(self, flows: Flows, money: FloatArray) -> None:
        """Writes the money of a period into (B, N, K) of zeros."""
