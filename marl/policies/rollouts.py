"""Decision-time rollouts: a rule whose choices are tried on imagined futures before they are made.

Source: Bertsekas 2021, Multiagent reinforcement learning: rollout and policy iteration, IEEE/CAA
Journal of Automatica Sinica 8(2): agents improve one after the other, each knowing what those
before it chose, so that the joint decision is no worse than the rule's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from envs.errors import InputError
from envs.omnichannel.batched_env import BatchedEnv, Step
from envs.omnichannel.branches.branching import Recording, simulate_branches
from envs.omnichannel.branches.futures import Futures, FutureSampler
from envs.omnichannel.flows import Targets
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import FloatArray, IntArray
from envs.omnichannel.world.draws import make_seeds
from marl.policies.choice import Choice
from marl.policies.choices import CHOICES, find_distinct
from marl.policies.families import ComposedRule
from marl.policies.plan import Plan
from marl.policies.stock_value import StockValue

HORIZONS: dict[str, int] = {"dispatch": 6, "supplier_order": 16}  # as those of residual agents


class Rollouts:
    """Follows a rule, but where an option is cheaper in imagined futures.

    Every period it draws F futures from what is known (`FutureSampler`), the same for all options.
    Agent by agent, each option is taken once and the rule decides in the rest of the horizon. The
    one with the lowest mean cost is chosen, if it saves more than a margin. Nothing is learnt, and
    a decision costs thousands of simulated periods.

    Args:
        scenario: what it runs in; drawn demand without promotions.
        rule: what it improves, tuned.
        horizons: by choice, the periods that its options are tried for; a choice without one stays
            the rule's.
        futures: F, >= 2.
        margin: what an option must save, in standard errors of the mean over futures.
        seed: of the futures, which are the same in all episodes.

    Raises:
        InputError: if futures cannot be drawn, or a setting does not fit the scenario.
    """

    name = "rollouts"

    def __init__(
        self,
        scenario: Scenario,
        rule: ComposedRule,
        *,
        horizons: Mapping[str, int] = HORIZONS,
        futures: int = 32,
        margin: float = 2.0,
        seed: int = 0,
    ) -> None:
        _check(scenario, horizons, futures)
        self.rule, self.horizons, self.futures = rule, dict(horizons), futures
        self.margin, self.seed = margin, seed
        self.choices: dict[str, Choice] = {c: CHOICES[c](rule.setting) for c in horizons}
        self._env = BatchedEnv(scenario, num_copies=1)  # only its models are used
        self.sampler = FutureSampler(self._env)
        self._stock_value = StockValue(self._env)

    def run_period(self, env: BatchedEnv) -> Step:
        """Runs one period of all copies."""
        return env.apply(self.improve(self.sampler.look(env)))

    def improve(self, futures: Futures) -> Targets:
        """Returns signed gaps in units and fractions; all copies are at the same period."""
        plan = self.rule.make_plan(futures.view)
        options = {name: choice.list_options(plan) for name, choice in self.choices.items()}
        if not options:
            return plan.make_targets()
        skip = int(futures.view.period[0]) * self.futures
        seeds = make_seeds(self.name, self.seed, self.futures, skip=skip)
        recording = futures.sample(seeds, max(self.horizons.values()))
        plan = replace(plan)
        for name, offered in options.items():
            # One agent after the other: each tries its options beside what was chosen before.
            for agent in range(offered.shape[1]):
                self._improve(plan, name, agent, offered[:, agent], recording)
        return plan.make_targets()

    def _improve(
        self, plan: Plan, name: str, agent: int, options: FloatArray, recording: Recording
    ) -> None:
        """Writes an agent's best option, of (B, A), into the plan."""
        choice = self.choices[name]
        distinct, place = find_distinct(options)
        row = distinct // options.shape[1]
        branched = plan.select(row)
        values = choice.get_values(branched).copy()
        values[:, agent] = options.ravel()[distinct]
        choice.take(branched, values)
        cost = self._simulate(branched.make_targets(), row, self.horizons[name], recording)
        best = choose_cheapest(cost[place], self.margin)
        values = choice.get_values(plan).copy()
        values[:, agent] = np.take_along_axis(options, best[:, None], axis=1)[:, 0]
        choice.take(plan, values)

    def _simulate(
        self, targets: Targets, copies: IntArray, horizon: int, recording: Recording
    ) -> FloatArray:
        """Costs of R first decisions in all futures of their copies, money, (R, F)."""
        first = np.repeat(np.arange(len(copies)), self.futures)
        entries = (copies[:, None] * self.futures + np.arange(self.futures)).ravel()
        branch = simulate_branches(
            self._env, recording, entries, targets.select(first), horizon, self.rule
        )
        cost: FloatArray = branch.loss - self._stock_value.compute(branch.state)
        return cost.reshape(len(copies), self.futures)


def choose_cheapest(cost: FloatArray, margin: float) -> IntArray:
    """Returns the option with the lowest mean cost, (B,); the first unless another saves enough.

    Args:
        cost: of every option in every future, (B, A, F), F >= 2.
        margin: standard errors of the mean saving that are to be saved beside the first option.
    """
    savings = cost[:, :1] - cost
    error = savings.std(axis=-1, ddof=1) / np.sqrt(cost.shape[-1])
    best: IntArray = (savings.mean(axis=-1) - margin * error).argmax(axis=-1)
    return best


def _check(scenario: Scenario, horizons: Mapping[str, int], futures: int) -> None:
    if futures < 2:
        raise InputError(f"futures: {futures} is not allowed; at least 2")
    for name, periods in horizons.items():
        if name not in CHOICES:
            raise InputError(f"horizons: {name!r} is not known; allowed: {', '.join(CHOICES)}")
        if periods < 1:
            raise InputError(f"horizons.{name}: {periods} is not allowed; at least 1")
    if "dispatch" in horizons and scenario.costs.truck_capacity is None:
        raise InputError(
            f"horizons: dispatch needs costs.truck_capacity, which scenario {scenario.name} does "
            "not set"
        )
