"""Demand (event 4): processes that draw a period's units for all copies at once."""

from __future__ import annotations

from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.demand import Trace
from envs.omnichannel.world.demand.parametric import ParametricDemand
from envs.omnichannel.world.demand.process import DemandProcess, Split

__all__ = ["DemandProcess", "ParametricDemand", "Split", "make_demand"]


def make_demand(scenario: Scenario) -> DemandProcess:
    """Builds the scenario's demand process."""
    if isinstance(scenario.demand, Trace):
        from envs.omnichannel.world.demand.traces import TraceDemand

        return TraceDemand(scenario, scenario.demand)
    return ParametricDemand(scenario, scenario.demand)
