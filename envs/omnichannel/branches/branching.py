"""Branches: the outcome of other decisions in the very same world.

The world does not depend on the decisions. So a period that happened can be played
again with every other decision, against the demand, returns and lead times that really came, and
the difference in cost is the decision's effect, free of the world's noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Protocol, TypeVar

import numpy as np

from envs.omnichannel.batched_env import BatchedEnv, Step
from envs.omnichannel.flows import Flows, Targets
from envs.omnichannel.types import (
    ArrayRecord,
    Demand,
    FloatArray,
    IntArray,
    SeedArray,
    Signals,
    State,
    View,
)
from envs.omnichannel.world.account.costs import Costs

RecordT = TypeVar("RecordT", bound=ArrayRecord)


class Runner(Protocol):
    """Whatever can run a period of an environment."""

    def run_period(self, env: BatchedEnv) -> Step:
        """Decides for all copies and runs one period."""


class TargetPolicy(Protocol):
    """A policy that states what each decision aims at, given what may be known."""

    def compute_targets(self, view: View) -> Targets:
        """Returns signed gaps in units and fractions."""


@dataclass(frozen=True)
class Recording:
    """B episodes of T periods that ran, to branch from.

    Entries run over periods, then copies: entry t B + b is copy b before the decisions of period
    t, and an entry's next period is B entries further on.
    """

    signals: Signals  # (T B, ...) what was known beside the stocks
    states: State  # (T B, ...) the truth; of imagined futures that of the first period alone
    demand: Demand  # (T B, ...) what the period then brought
    num_copies: int  # B

    def see(self, env: BatchedEnv, entries: IntArray, state: State | None = None) -> View:
        """Returns what is known at some entries, (R, ...).

        Args:
            env: of the recorded scenario.
            entries: (R,).
            state: that a branch has led to by then; null: the recorded one.
        """
        state = self.states.select(entries) if state is None else state
        return env.make_view(state, self.signals.select(entries))

    @property
    def num_entries(self) -> int:
        """T B."""
        return len(self.demand.units)

    def list_entries(self, periods: int) -> IntArray:
        """Returns the entries that are followed by at least so many recorded periods."""
        return np.arange(self.num_entries - (periods - 1) * self.num_copies)


@dataclass(frozen=True)
class Branch:
    """What became of R branches."""

    loss: FloatArray  # (R,) weighted cost of eq. 8, money
    state: State  # (R, ...) at the end
    costs: Costs | None = None  # of the last period alone
    flows: Flows | None = None  # the same


def record_episodes(env: BatchedEnv, runner: Runner, seeds: SeedArray) -> Recording:
    """Runs one episode in every copy and keeps what branches need.

    Args:
        env: B copies.
        runner: decides.
        seeds: of the exogenous draws, (B,).
    """
    env.reset(seeds)
    signals, states, demand = [], [], []
    done = False
    while not done:
        signals.append(env.view.signals)
        states.append(env.state)
        step = runner.run_period(env)
        demand.append(step.demand)
        done = step.done
    return Recording(
        signals=join_records(signals),
        states=join_records(states),
        demand=join_records(demand),
        num_copies=env.num_copies,
    )


def simulate_branches(
    env: BatchedEnv,
    recording: Recording,
    entries: IntArray,
    targets: Targets,
    periods: int,
    policy: TargetPolicy,
) -> Branch:
    """Plays recorded periods again under other decisions; returns the loss of all of them.

    Args as of `play_branches`.
    """
    loss = np.zeros(len(entries))
    for branch in play_branches(env, recording, entries, targets, periods, policy):
        loss += branch.loss
    return Branch(loss, branch.state)


def play_branches(
    env: BatchedEnv,
    recording: Recording,
    entries: IntArray,
    targets: Targets,
    periods: int,
    policy: TargetPolicy,
    worlds: Sequence[IntArray] | None = None,
) -> Iterator[Branch]:
    """Plays recorded periods again under other decisions, one by one.

    Args:
        env: of the scenario that was recorded; its own copies are not touched.
        recording: where branches start, and what the world brings.
        entries: where each branch starts, (R,); one may occur many times.
        targets: of each branch's first period, (R, ...).
        periods: of every branch, >= 1.
        policy: decides in all periods but the first.
        worlds: entries that each period takes its demand from, (R,) by period; null: what really
            followed. Others are as likely only where demand is the same every day.

    Yields:
        After each period its loss and the state that it leaves.

    Raises:
        ValueError: if a branch leaves the recording.
    """
    last = int(entries.max()) + (periods - 1) * recording.num_copies
    if last >= recording.num_entries:
        raise ValueError(f"entries up to {entries.max()} are not followed by {periods} periods")
    state = recording.states.select(entries)
    for ahead in range(periods):
        now = entries + ahead * recording.num_copies
        view = recording.see(env, now, state) if ahead or env.decides_by_view else None
        if ahead and view is not None:
            targets = policy.compute_targets(view)
        demand = recording.demand.select(now if worlds is None else worlds[ahead])
        state, flows = env.simulator.simulate_period(state, env.decide(targets, view), demand)
        costs = env.cost_model.compute_costs(flows)
        loss = env.reward_model.compute_loss(costs, env.service_weight).sum(axis=(1, 2))
        yield Branch(loss, state, costs, flows)


def join_records(records: Sequence[RecordT]) -> RecordT:
    """Concatenates records along their first axis."""
    first = records[0]
    values = {f.name: [getattr(r, f.name) for r in records] for f in fields(first)}  # type: ignore[arg-type]
    joined = {
        name: None if columns[0] is None else np.concatenate(columns)
        for name, columns in values.items()
    }
    return type(first)(**joined)
