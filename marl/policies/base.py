"""Protocols of policies, and the settings and parameters that tuning needs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

import numpy as np

from envs.errors import InputError
from envs.omnichannel.agents.listing import ListingRules
from envs.omnichannel.agents.shelf_rules import ShelfRules
from envs.omnichannel.batched_env import BatchedEnv, Step
from envs.omnichannel.flows import Targets
from envs.omnichannel.forecast.make import make_forecast
from envs.omnichannel.forecast.strategies import Forecast
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.demand import Trace
from envs.omnichannel.types import BoolArray, FloatArray, IntArray, Network, View
from envs.omnichannel.world.demand import DemandProcess, make_demand
from marl.policies.ratios import compute_ratios


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
    forecast: Forecast  # that the views are made by
    store_ratio: FloatArray  # (K,) see `compute_ratios`
    dc_ratio: FloatArray  # (K,) the same
    shelf_life: IntArray  # (K,) days in a store; 0: keeps forever
    oldest_first: BoolArray  # (2,) whether walk-ins take the oldest units, whether pickers do
    truck_capacity: int | None = None  # units; None: no trucks are paid
    has_packs: bool = False  # whether orders have rules
    has_cuts: bool = False  # whether suppliers announce cuts
    leaves_out_surplus: bool = False  # whether echelons do, see `count_surplus`
    is_stationary: bool = False  # whether every day's demand is drawn from the same distribution
    listing: ListingRules | None = None  # None: nothing comes or goes
    shelf_rules: ShelfRules | None = None  # None: stores need show nothing and hold everything

    @classmethod
    def from_scenario(
        cls,
        scenario: Scenario,
        forecast: Forecast | None = None,
        demand: DemandProcess | None = None,
    ) -> Self:
        """Builds the setting of a validated scenario.

        Args:
            scenario: what is to be decided in.
            forecast: that the views are made by; None: the scenario's own.
            demand: of the scenario; None: it is made, which takes time where the record is long.
        """
        network = Network.from_scenario(scenario)
        demand = make_demand(scenario) if demand is None else demand
        issue = scenario.fulfillment.store_issue, scenario.fulfillment.picking_issue
        store_ratio, dc_ratio = compute_ratios(scenario, demand.mean)
        return cls(
            network=network,
            mean_demand=demand.mean,
            forecast=forecast or make_forecast(demand, scenario.forecast, network),
            store_ratio=store_ratio,
            dc_ratio=dc_ratio,
            shelf_life=np.array([sku.shelf_life or 0 for sku in scenario.skus], dtype=np.int64),
            oldest_first=np.array([rule == "fifo" for rule in issue]),
            has_packs=scenario.order_rules is not None,
            truck_capacity=scenario.costs.truck_capacity,
            has_cuts=scenario.supply_cuts is not None,
            leaves_out_surplus=scenario.coordination.surplus is not None,
            is_stationary=_is_stationary(scenario),
            listing=ListingRules.from_scenario(scenario, network),
            shelf_rules=ShelfRules.from_scenario(scenario, network),
        )


def _is_stationary(scenario: Scenario) -> bool:
    demand = scenario.demand
    if isinstance(demand, Trace):
        return False
    changes = (demand.drift, demand.promotions, demand.calendar)
    return demand.season_amplitude == 0 and all(change is None for change in changes)


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

    @classmethod
    def get_simpler(cls, setting: Setting) -> str | None:
        """Returns the family whose optimum is a good place to search this one's from, if any."""
        return None

    @classmethod
    def suits(cls, setting: Setting) -> bool:
        """Whether the family is made for the setting; elsewhere a simpler one serves as well."""
        return True
