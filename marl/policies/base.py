"""What a policy is, and the order-up-to rule that the classical ones share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol, Self

import numpy as np

from envs.errors import InputError
from envs.omnichannel.agents.inventory import (
    compute_echelon_position,
    compute_store_position,
    compute_store_rate,
    compute_system_rate,
)
from envs.omnichannel.batched_env import BatchedEnv, Step
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import FloatArray, Network, Targets, View
from envs.omnichannel.world.demand import make_demand


class Policy(Protocol):
    """Anything that can run an episode: classical, learnt or imported."""

    @property
    def name(self) -> str:
        """What the command line and the tables call it."""

    def run_period(self, env: BatchedEnv) -> Step:
        """Decides for all copies and runs one period.

        A policy decides from `env.view` or `env.observe()` and acts by `env.apply` or
        `env.step`, exactly once. It reads nothing else, least of all the coming draws.
        """


@dataclass(frozen=True)
class Setting:
    """What is known of a scenario before the first period."""

    network: Network
    mean_demand: FloatArray  # (S, K, C) units a period, season and noise left out

    @classmethod
    def from_scenario(cls, scenario: Scenario) -> Self:
        """Builds the setting of a validated scenario."""
        return cls(Network.from_scenario(scenario), make_demand(scenario).mean)


@dataclass(frozen=True)
class Parameter:
    """A number that a family leaves open, the range it is searched in and where that begins."""

    name: str
    low: float
    high: float
    initial: float


@dataclass(frozen=True)
class ParameterSpace:
    """All parameters of a family in a setting."""

    parameters: tuple[Parameter, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters' names, in order."""
        return tuple(parameter.name for parameter in self.parameters)

    @property
    def initial(self) -> dict[str, float]:
        """Sensible untuned values, by name."""
        return {parameter.name: parameter.initial for parameter in self.parameters}

    def check(self, values: Mapping[str, float | FloatArray]) -> None:
        """Refuses unknown and missing names and what is no finite number.

        Values outside the searched range are allowed: the range serves the tuner alone.

        Raises:
            InputError: names the first parameter at fault and what is allowed.
        """
        allowed = ", ".join(self.names) or "none"
        for name in values:
            if name not in self.names:
                raise InputError(f"parameters: {name!r} is not known; allowed: {allowed}")
        for name in self.names:
            if name not in values:
                raise InputError(f"parameters: {name!r} is missing; needed: {allowed}")
            if not np.isfinite(values[name]).all():
                raise InputError(f"parameters.{name}: {values[name]} must be a finite number")


class TargetRule(ABC):
    """A policy that states what every decision aims at; serves as the envs' `TargetPolicy`."""

    name: ClassVar[str]

    @abstractmethod
    def compute_targets(self, view: View) -> Targets:
        """Returns signed gaps in units and fractions."""

    def run_period(self, env: BatchedEnv) -> Step:
        """Runs one period of all copies under the rule's targets."""
        return env.apply(self.compute_targets(env.view))


class TunableRule(TargetRule):
    """A family of rules: the tuner searches `make_space` for the best member.

    A parameter is a number, or an array (B,) by which every copy follows its own member, so that
    many members are tried at once.
    """

    def __init__(self, setting: Setting, parameters: Mapping[str, float | FloatArray]) -> None:
        self.make_space(setting).check(parameters)
        self.setting = setting

    @classmethod
    @abstractmethod
    def make_space(cls, setting: Setting) -> ParameterSpace:
        """Returns the family's parameters; they may depend on the network."""


@dataclass(frozen=True)
class OrderUpToLevels:
    """The constants of an order-up-to rule, covers in days of demand.

    A leading axis B is optional: with it, every copy follows its own constants.
    """

    store_cover: FloatArray  # ([B,] S) beyond the lane's lead time
    dc_cover: FloatArray  # ([B,] W) of the echelon, lead time included
    online_share: FloatArray  # ([B]) of online orders that the stores serve, in [0, 1]
    disposition: FloatArray  # ([B,] 3) shares of returns, sum 1


def compute_order_up_to_targets(view: View, network: Network, levels: OrderUpToLevels) -> Targets:
    """Returns the gaps between order-up-to levels and inventory positions.

    Stores aim at (lead time + cover) x the rate that they are to serve, which includes their
    share of online orders. DCs follow an echelon base-stock policy (Snyder & Shen, Fundamentals
    of Supply Chain Theory, 2nd ed., section 6.2.2): cover x the demand of all regions below.

    Args:
        view: what may be known; its forecast is the demand rate.
        network: nodes and lanes.
        levels: the rule's constants.

    Returns:
        Gaps in units, (B, W, K) and (B, S, K), and fractions.
    """
    position = compute_store_position(view.state, network)
    echelon = compute_echelon_position(view.state, position, network)
    online_share = np.broadcast_to(levels.online_share[..., None, None], position.shape)
    days = (network.lane_lead_time + levels.store_cover)[..., None]
    disposition = levels.disposition[..., None, None, :]
    return Targets(
        supplier_gap=levels.dc_cover[..., None] * compute_system_rate(view, network) - echelon,
        shipment_gap=days * compute_store_rate(view, online_share) - position,
        online_share=online_share,
        disposition=np.broadcast_to(disposition, (*position.shape, 3)),
    )


def assume_mean_demand(view: View, mean_demand: FloatArray) -> View:
    """Returns the view of someone who expects the mean every day: neither season nor trend."""
    return replace(view, forecast=np.broadcast_to(mean_demand, view.forecast.shape))
