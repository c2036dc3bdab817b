"""A member of a classical family: what tuning finds, policy files hold and agents depart from."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from envs.errors import InputError
from envs.omnichannel.forecast.strategies import Forecast
from envs.omnichannel.scenario import Scenario
from envs.validation import LARGEST, StrictModel
from marl.policies.base import Setting
from marl.policies.families import ComposedRule, get_family

Value = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]


class TunedRule(StrictModel):
    """A family and the parameters that make it one rule."""

    family: str
    parameters: dict[str, Value]  # by name; without any: the family's first guesses
    reward: float = 0.0  # eq. 8, mean over the tuning episodes: optimistic, for it was maximised
    trials: int = 0  # of the search; 0: none was made, and the reward is not known

    def make(self, scenario: Scenario, forecast: Forecast | None = None) -> ComposedRule:
        """Returns the rule in a scenario.

        Args:
            scenario: that it is to decide in.
            forecast: that the views are made by; None: the scenario's own.

        Raises:
            InputError: if the family or a parameter is not known, or a parameter is missing.
        """
        get_family(self.family)
        return self.make_in(Setting.from_scenario(scenario, forecast))

    def make_in(self, setting: Setting) -> ComposedRule:
        """Returns the rule in a setting; errors as of `make`."""
        family = get_family(self.family)
        space = family.make_space(setting)
        for parameter in space.parameters:
            value = self.parameters.get(parameter.name, parameter.initial)
            is_share = (parameter.low, parameter.high) == (0, 1)
            if is_share and not 0 <= value <= 1:
                raise InputError(
                    f"rule {self.family}: {parameter.name}: {value:g} is not allowed; a share from "
                    "0 to 1 is needed"
                )
        return family(setting, self.parameters or space.initial)
