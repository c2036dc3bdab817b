"""Counterfactual experience: recorded states played again under every option of an agent.

Demand, returns and lead times are kept with each state, and no decision changes them. So a branch
for each option shows the option's cost under common random numbers, and one state teaches all its
options at once. (Exogenous-input MDPs: Dietterich et al. 2018; Mao et
al. 2019; the same idea as hindsight learning, Sinclair et al. 2023.)
"""

from __future__ import annotations

import numpy as np

from envs.omnichannel.batched_env import BatchedEnv, Step
from envs.omnichannel.branches.branching import Recording, TargetPolicy, simulate_branches
from envs.omnichannel.types import FloatArray, IntArray
from marl.learning.pool.recorded import Labels
from marl.policies.choice import Choice
from marl.policies.choices import find_distinct
from marl.policies.residual import ResidualRule
from marl.policies.stock_value import StockValue

_CHUNK = 400  # states branched at once: some 2,000 branches, which leave the caches slowly
_UNIT_SHARE = 0.02  # of a day's expected demand at the cost scale: the unit of labels


class LabelMaker:
    """Branches states of a recording over the options of one kind of choice.

    Every branch changes one agent's decision of one period and leaves all others as the policy
    takes them; then `continuation` decides for the rest of the horizon. Its label is the team's
    cost (exact credit), less the value of the stock that is left at the stores at the end.

    Args:
        env: of the recorded scenario.
        policy: who decides in the branched period, but for the one agent.
        continuation: who decides afterwards: `rule`, `own` (the network of the branched choice,
            and the rule for all others) or `learned` (the policy).
    """

    def __init__(self, env: BatchedEnv, policy: ResidualRule, continuation: str = "rule") -> None:
        self.env, self.policy, self.continuation = env, policy, continuation
        self.unit = _UNIT_SHARE * env.reward_model.team_scale
        self.stock_value = StockValue(env)

    def make_labels(
        self,
        recording: Recording,
        name: str,
        count: int,
        horizon: int,
        rng: np.random.Generator,
    ) -> Labels:
        """Returns labels of random states.

        Args:
            recording: episodes of the policy.
            name: of the choice.
            count: M, states.
            horizon: periods of every branch.
            rng: picks states and agents.
        """
        entries = rng.choice(recording.list_entries(horizon), size=count)
        parts = [
            self._label(recording, name, entries[first : first + _CHUNK], horizon, rng)
            for first in range(0, count, _CHUNK)
        ]
        return Labels(
            np.concatenate([part.features for part in parts]),
            np.concatenate([part.savings for part in parts]),
        )

    def _label(
        self,
        recording: Recording,
        name: str,
        entries: IntArray,
        horizon: int,
        rng: np.random.Generator,
    ) -> Labels:
        """Labels of these states, (M,), for agents drawn by weight."""
        choice = self.policy.choices[name]
        reference = self.policy.rule.make_plan(recording.see(self.env, entries))
        agents = pick_agents(choice.weigh(reference), rng)
        rows = np.arange(len(entries))
        options = choice.list_options(reference)[rows, agents]  # (M, A)
        distinct, place = find_distinct(options)
        row = distinct // choice.num_options
        branched = self.policy.act(reference, self.policy.choose(reference)).select(row)
        values = choice.get_values(branched).copy()
        values[np.arange(len(row)), agents[row]] = options.ravel()[distinct]
        choice.take(branched, values)
        targets, follower = branched.make_targets(), self._get_follower(name)
        branch = simulate_branches(self.env, recording, entries[row], targets, horizon, follower)
        cost = (branch.loss - self.stock_value.compute(branch.state)) / self.unit
        savings = cost[place[:, :1]] - cost[place]
        features = choice.list_by_agent(self.policy.compute_features(reference, [name])[name])
        return Labels(features[rows, agents], savings.astype(np.float32))

    def _get_follower(self, name: str) -> TargetPolicy:
        """Who decides after the branched period of a choice."""
        if self.continuation == "rule":
            return self.policy.rule
        return self.policy.restrict(name) if self.continuation == "own" else self.policy


def pick_agents(weights: FloatArray, rng: np.random.Generator) -> IntArray:
    """Returns one agent for each row, drawn by weight.

    Args:
        weights: >= 0, (M, G), with a positive sum.
        rng: draws.
    """
    cumulative = np.cumsum(weights, axis=1)
    drawn = rng.random((len(weights), 1)) * cumulative[:, -1:]
    return np.minimum((cumulative <= drawn).sum(axis=1), weights.shape[1] - 1)


class Exploring:
    """A policy whose agents take a random option with each copy's probability epsilon, (B,)."""

    def __init__(self, policy: ResidualRule, epsilon: FloatArray, rng: np.random.Generator) -> None:
        self.policy, self.epsilon, self.rng = policy, epsilon, rng

    def run_period(self, env: BatchedEnv) -> Step:
        """Runs one period of all copies."""
        policy, rng = self.policy, self.rng
        plan = policy.rule.make_plan(env.view)
        taken = {
            name: _explore(options, policy.choices[name], self.epsilon, rng)
            for name, options in policy.choose(plan).items()
        }
        return env.apply(policy.act(plan, taken).make_targets())


def _explore(
    options: IntArray, choice: Choice, epsilon: FloatArray, rng: np.random.Generator
) -> IntArray:
    random = rng.random(options.shape) < epsilon[:, None]
    return np.where(random, rng.integers(choice.num_options, size=options.shape), options)
