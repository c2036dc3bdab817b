"""A policy around a tuned classical one: it departs from the rule where that pays.

What the options are worth comes from outside (networks in torch while training, a policy file where
orders are placed), so that nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import numpy as np

from envs.errors import InputError
from envs.omnichannel.agents.roster import HIGH_MODULES
from envs.omnichannel.batched_env import BatchedEnv, Step
from envs.omnichannel.flows import Targets
from envs.omnichannel.forecast.strategies import Forecast
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import Float32Array, FloatArray, IntArray, View
from marl.policies.choice import Choice
from marl.policies.choices import CHOICES, Dispatch
from marl.policies.families import ComposedRule, get_family
from marl.policies.plan import Plan
from marl.policies.tuned import TunedRule

if TYPE_CHECKING:
    from marl.config import Residual

Taken = dict[str, IntArray]  # choice -> option by agent, (B, G)
# From features, (R, B, K, F), to what the options save: (R, B, L) of joint choices, else
# (R, B, K, L).
Valuer = Callable[[Float32Array], FloatArray | Float32Array]


class ResidualRule:
    """Follows a rule, but where an option is worth more than the rule's decision and a margin.

    Args:
        scenario: what it runs in.
        rule: the reference, tuned.
        valuers: by choice; a choice without one stays the rule's.
        margin: what an option must save beyond the rule's decision, in the valuers' unit.
        name: what tables call it.
    """

    def __init__(
        self,
        scenario: Scenario,
        rule: ComposedRule,
        valuers: Mapping[str, Valuer],
        margin: float = 0.0,
        name: str = "learned",
    ) -> None:
        self.rule, self.valuers, self.margin, self.name = rule, valuers, margin, name
        self.choices: dict[str, Choice] = {c: CHOICES[c](rule.setting) for c in valuers}
        # Only its models are used: what agents observe, given what is known.
        self._env = BatchedEnv(scenario, num_copies=1)

    def restrict(self, name: str) -> Self:
        """The same policy with one of its choices; the rule decides the others."""
        restricted = copy(self)
        restricted.choices = {name: self.choices[name]}
        return restricted

    def compute_targets(self, view: View) -> Targets:
        """Returns signed gaps in units and fractions."""
        plan = self.rule.make_plan(view)
        return self.act(plan, self.choose(plan)).make_targets()

    def run_period(self, env: BatchedEnv) -> Step:
        """Runs one period of all copies."""
        return env.apply(self.compute_targets(env.view))

    def compute_features(self, plan: Plan, names: Iterable[str]) -> dict[str, Float32Array]:
        """Returns what the agents of some choices see, by row of the observation, (R, B, K, F).

        Args:
            plan: the rule's.
            names: of the choices.
        """
        view = plan.view
        choices = {name: self.choices[name] for name in names}
        first = min(choice.rows.start for choice in choices.values())
        last = max(choice.rows.stop for choice in choices.values())
        num_own = max(len(choice.features) for choice in choices.values())
        layout, observation = self._env.layout, self._env.observation
        shape = (len(view.period), 1, layout.num_skus)
        # The high level of the 34 agents has no part here: its goals stay as they begin.
        goals = {m: np.full(shape, layout.modules[m].initial_option) for m in HIGH_MODULES}
        rows = observation.compute_rows(view, goals, slice(first, last), num_own)
        found = {}
        for name, choice in choices.items():
            own = slice(choice.rows.start - first, choice.rows.stop - first)
            width = len(observation.features) + len(choice.features)
            found[name] = rows[own, ..., :width]
            choice.fill_in(plan, found[name])
        return found

    def choose(self, plan: Plan) -> Taken:
        """Returns the best option of every agent, given the rule's plan."""
        if not self.choices:
            return {}
        return {
            name: self.choices[name].list_by_agent(self._pick(name, features))
            for name, features in self.compute_features(plan, self.choices).items()
        }

    def _pick(self, name: str, features: Float32Array) -> IntArray:
        """The best options, the first of equals; the rule's decision has a head start."""
        values = self.valuers[name](features)
        values[..., 0] += self.margin
        options: IntArray = values.argmax(axis=-1)
        return options

    def act(self, plan: Plan, taken: Taken) -> Plan:
        """Returns the plan with the taken options instead of the rule's decisions."""
        changed = replace(plan)
        for name, options in taken.items():
            choice = self.choices[name]
            values = np.take_along_axis(choice.list_options(plan), options[..., None], -1)
            choice.take(changed, values[..., 0])
        return changed


def get_rule(settings: Residual) -> TunedRule:
    """Returns the rule that the settings name."""
    return TunedRule(family=settings.reference, parameters=settings.parameters or {})


def make_reference(
    scenario: Scenario,
    rule: TunedRule,
    choices: Sequence[str],
    forecast: Forecast | None = None,
) -> ComposedRule:
    """Returns the rule that the agents depart from in some choices.

    Args:
        scenario: that they decide in.
        rule: the family and its parameters.
        choices: that they have.
        forecast: that the views are made by; None: the scenario's own.

    Raises:
        InputError: if the family is not known or a setting does not fit the scenario.
    """
    get_family(rule.family, "residual.reference")
    if "dispatch" in choices and scenario.costs.truck_capacity is None:
        raise InputError(
            f"residual.choices: dispatch needs costs.truck_capacity, which scenario "
            f"{scenario.name} does not set"
        )
    return rule.make(scenario, forecast)


def list_choices(scenario: Scenario) -> tuple[str, ...]:
    """Names of the choices that a scenario has: loads only where trucks cost."""
    has_trucks = scenario.costs.truck_capacity is not None
    return tuple(name for name in CHOICES if has_trucks or name != Dispatch.name)


def check_residual(scenario: Scenario, settings: Residual) -> None:
    """Refuses what residual agents cannot be trained with.

    Raises:
        InputError: if the rule cannot be made, or branches are longer than an episode.
    """
    make_reference(scenario, get_rule(settings), settings.choices)
    for choice in settings.choices:
        horizon = settings.get_horizon(choice)
        if horizon > scenario.horizon:
            raise InputError(
                f"residual.{choice}_horizon: {horizon} is not allowed; at most {scenario.horizon}, "
                f"the horizon of scenario {scenario.name}"
            )
