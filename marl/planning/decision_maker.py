"""Decision makers: how the policy of a file decides today, and what it does on the days after."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import ClassVar, Protocol

import numpy as np

from envs.omnichannel.agents.roster import PROPOSERS
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.flows import Targets
from envs.omnichannel.forecast.strategies import Forecast
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import FloatArray, IntArray, View
from marl.planning.policy_file import OnnxPolicy
from marl.planning.rule_file import RulePolicy
from marl.policies.base import Setting
from marl.policies.order_groups import make_groups
from marl.policies.order_rule import OrderRule
from marl.policies.residual import ResidualRule, Valuer, make_reference

Rule = Callable[[View], Targets]
# Decision -> proposer -> its proposal: gaps in units (W or S, K), shares (S, K), (S, K, 3).
Proposed = Mapping[str, Mapping[str, FloatArray]]


@dataclass(frozen=True)
class Today:
    """What is decided today."""

    follow: Rule  # decides today and all later days
    proposed: Proposed
    options: Mapping[str, IntArray] = field(default_factory=dict)  # by module, (1, A_m, K)


class DecisionMaker(Protocol):
    """Decides for a planner."""

    has_goals: ClassVar[bool]  # whether a high level decides once in a review period
    observes_later: ClassVar[bool]  # whether what it follows looks at observations on later days

    def decide(self, env: BatchedEnv, held: Mapping[str, IntArray]) -> Today:
        """Decides in the state of an environment of one copy.

        Args:
            env: today's state.
            held: options that the high level has held, (1, 1, K).
        """


class AgentsDecisionMaker:
    """Agents on two levels, whose proposals the coordinator averages."""

    has_goals: ClassVar[bool] = True
    observes_later: ClassVar[bool] = False

    def __init__(self, policy: OnnxPolicy) -> None:
        self.policy = policy

    def decide(self, env: BatchedEnv, held: Mapping[str, IntArray]) -> Today:
        """Takes the best options; later days repeat them, which is a base-stock policy."""
        options = {**held, **self.policy.select_greedy(env, env.observe())}
        proposals, _ = env.coordinator.coordinate(options, env.view)

        @cache  # the futures ask every day, and the loops behind it want arrays without gaps
        def spread(copies: int) -> Mapping[str, IntArray]:
            return {m: np.repeat(v, copies, axis=0) for m, v in options.items()}

        def follow(view: View) -> Targets:
            return env.coordinator.compute_targets(spread(len(view.period)), view)

        proposed = {
            decision: {m: proposals[decision][p, 0] for p, m in enumerate(modules)}
            for decision, modules in PROPOSERS.items()
        }
        return Today(follow, proposed, options)


class ResidualDecisionMaker:
    """Choices around a tuned rule, which decide on every day anew."""

    has_goals: ClassVar[bool] = False
    observes_later: ClassVar[bool] = True

    def __init__(self, policy: OnnxPolicy, scenario: Scenario, forecast: Forecast) -> None:
        residual = policy.metadata.residual
        assert residual is not None, "a policy file without residual agents"
        rule = make_reference(scenario, residual.rule, residual.choices, forecast)
        valuers: dict[str, Valuer] = {c: policy.make_valuer(c) for c in residual.choices}
        self.policy = ResidualRule(scenario, rule, valuers, residual.margin, policy.name)

    def decide(self, env: BatchedEnv, held: Mapping[str, IntArray]) -> Today:
        """Follows the policy; its reference rule is named as the proposer."""
        del held
        rule = self.policy.rule
        targets = rule.compute_targets(env.view)
        return Today(self.policy.compute_targets, _name_proposer(rule.name, targets))


class OrdersDecisionMaker:
    """Agents that choose order quantities, on every day anew."""

    has_goals: ClassVar[bool] = False
    observes_later: ClassVar[bool] = False

    def __init__(self, policy: OnnxPolicy, scenario: Scenario) -> None:
        orders = policy.metadata.orders
        assert orders is not None, "a policy file without ordering agents"
        groups = make_groups(scenario, orders.largest_order)
        valuers = {group: policy.make_order_valuer(group) for group in groups}
        self.policy = OrderRule(groups, valuers, policy.name)

    def decide(self, env: BatchedEnv, held: Mapping[str, IntArray]) -> Today:
        """Follows the policy, whose agents are the only proposers."""
        del held
        targets = self.policy.compute_targets(env.view)
        return Today(self.policy.compute_targets, _name_proposer("orders", targets))


class RuleDecisionMaker:
    """A classical rule, which decides on every day anew."""

    has_goals: ClassVar[bool] = False
    observes_later: ClassVar[bool] = False

    def __init__(self, policy: RulePolicy, setting: Setting) -> None:
        self.rule = policy.metadata.rule.make_in(setting)

    def decide(self, env: BatchedEnv, held: Mapping[str, IntArray]) -> Today:
        """Follows the rule, which is the only proposer."""
        del held
        targets = self.rule.compute_targets(env.view)
        return Today(self.rule.compute_targets, _name_proposer(self.rule.name, targets))


def _name_proposer(name: str, targets: Targets) -> Proposed:
    """The targets of one copy as the proposals of one proposer."""
    found = {target: getattr(targets, target) for target in PROPOSERS}
    return {target: {name: values[0]} for target, values in found.items() if values is not None}


def make_decision_maker(
    policy: OnnxPolicy | RulePolicy, scenario: Scenario, setting: Setting
) -> DecisionMaker:
    """Returns the decision maker of a policy file.

    Args:
        policy: of the file.
        scenario: that it was adapted to.
        setting: of the scenario, with the forecast that the views are made by.
    """
    if isinstance(policy, RulePolicy):
        return RuleDecisionMaker(policy, setting)
    if policy.metadata.residual is not None:
        return ResidualDecisionMaker(policy, scenario, setting.forecast)
    if policy.metadata.orders is not None:
        return OrdersDecisionMaker(policy, scenario)
    return AgentsDecisionMaker(policy)
