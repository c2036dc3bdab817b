"""A network as YAML says it: pydantic models, one file a concern, and the built-in scenarios."""

from envs.omnichannel.scenario.load import list_scenarios, load_scenario
from envs.omnichannel.scenario.scenario import (
    CHANNELS,
    DISPOSITIONS,
    PERIOD_DAYS,
    PICKUP_CHANNEL,
    Scenario,
)

__all__ = [
    "CHANNELS",
    "DISPOSITIONS",
    "PERIOD_DAYS",
    "PICKUP_CHANNEL",
    "Scenario",
    "list_scenarios",
    "load_scenario",
]
