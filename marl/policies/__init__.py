"""Classical policies by name: the registry that tuning, evaluation and the command line share."""

from __future__ import annotations

from collections.abc import Mapping

from envs.errors import InputError
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.demand import Trace
from marl.policies.base import Parameter, ParameterSpace, Policy, Setting, TargetRule, TunableRule
from marl.policies.before import Before
from marl.policies.families import (
    FAMILIES,
    FreshSafetyStocks,
    SafetyStocksByStock,
    SafetyStocksFullTruck,
)
from marl.policies.naive import Naive

__all__ = [
    "BASELINES",
    "FAMILIES",
    "Parameter",
    "ParameterSpace",
    "Policy",
    "Setting",
    "TargetRule",
    "TunableRule",
    "check_baseline",
    "list_families",
    "list_running",
    "make_policy",
]

BASELINES = (Before.name, Naive.name, *FAMILIES)


def check_baseline(name: str) -> None:
    """Refuses names that are no classical policy.

    Raises:
        InputError: names the value and what is allowed.
    """
    if name not in BASELINES:
        raise InputError(f"policy: {name!r} is not known; allowed: {', '.join(BASELINES)}")


def list_families(scenario: Scenario) -> tuple[str, ...]:
    """Names of the families that are made for a scenario, simplest first."""
    setting = Setting.from_scenario(scenario)
    return tuple(name for name, family in FAMILIES.items() if family.suits(setting))


def list_running(scenario: Scenario) -> tuple[str, ...]:
    """Names the strongest family of safety stocks where demand is recorded, else none.

    It is tuned first: on real demand nothing else comes near.
    """
    if not isinstance(scenario.demand, Trace):
        return ()
    if scenario.has_perishables:
        return (FreshSafetyStocks.name,)
    trucks = scenario.costs.truck_capacity is not None
    return ((SafetyStocksFullTruck if trucks else SafetyStocksByStock).name,)


def make_policy(
    name: str, scenario: Scenario, parameters: Mapping[str, float] | None = None
) -> TargetRule:
    """Builds a classical policy.

    Args:
        name: one of `BASELINES`.
        scenario: the network and demand it is for.
        parameters: of a family, by name; its untuned initial values when left out.

    Raises:
        InputError: if the name or a parameter is not known, or a parameter is missing.
    """
    check_baseline(name)
    setting = Setting.from_scenario(scenario)
    if name == Before.name:
        ParameterSpace(()).check(parameters or {})
        return Before(setting, scenario.before)
    if name == Naive.name:
        ParameterSpace(()).check(parameters or {})
        return Naive(setting)
    family = FAMILIES[name]
    return family(setting, parameters or family.make_space(setting).initial)
