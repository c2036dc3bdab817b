"""A plan: the decisions of a rule for today, and what comes of them in simulated futures.

The futures draw demand and returns from the stock count on; they are the same for every rule.
Demand that is recorded has no future: its days are drawn from the very forecast that rules and
agents order by. A node's stock must last until what is decided tomorrow can arrive: no later
decision can help a store before that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from envs.compiler import compiled
from envs.omnichannel.agents.decisions import DECISIONS
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.flows import Decisions, Flows
from envs.omnichannel.types import (
    ONLINE,
    BoolArray,
    FloatArray,
    IntArray,
    sum_axis,
)
from marl.planning.coming_days import ComingDays, count_protection
from marl.planning.decision_maker import Rule

# Flows that today's shares become: what is expected of them is a mean over the futures.
_EXPECTED = [line.units for kind in DECISIONS if kind.is_share for line in kind.lines if line.units]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The decisions of a rule for today, and what comes of them."""

    decisions: Decisions  # of one copy
    carried_out: Flows  # of one copy: within what suppliers and DCs can do
    expected: Mapping[str, FloatArray]  # mean over futures of what shares become today, by flow
    shortage: FloatArray  # (N, K) share of futures with one in the node's protection days


def simulate_plans(
    today: BatchedEnv, blocks: Iterable[ComingDays], rules: Sequence[Rule]
) -> list[Plan]:
    """Returns what each rule decides today, and what comes of it.

    Args:
        today: an environment of one copy, restored; it is not touched.
        blocks: of futures, all from the same stock on; the very first one is that of the copy.
        rules: decide today and on later days.
    """
    made = [today.decide(rule(today.view), today.view) for rule in rules]
    carried_out: list[Flows] = []
    counts = [_Counts() for _ in rules]
    for block in blocks:
        if not carried_out:
            demand = block.days[0].demand.select(slice(0, 1))
            carried_out = [
                today.simulator.simulate_period(today.state, decisions, demand)[1]
                for decisions in made
            ]
        for rule, count in zip(rules, counts, strict=True):
            count.add(*_simulate_futures(today, block, rule))
    return [
        Plan(decisions=decisions, carried_out=flows, expected=count.expect(), shortage=count.risk())
        for decisions, flows, count in zip(made, carried_out, counts, strict=True)
    ]


class _Counts:
    """What the futures of all blocks add up to."""

    def __init__(self) -> None:
        self.futures = 0
        self.short: IntArray | int = 0  # (N, K) futures with a shortage
        self.units: dict[str, IntArray | int] = dict.fromkeys(_EXPECTED, 0)

    def add(self, first: Flows, short: BoolArray) -> None:
        """Adds a block.

        Args:
            first: the flows of today, (F, ...).
            short: where there was a shortage, (F, N, K).
        """
        self.futures += len(short)
        self.short = self.short + np.count_nonzero(short, axis=0)
        for name in self.units:
            self.units[name] = self.units[name] + sum_axis(getattr(first, name), 0)

    def expect(self) -> dict[str, FloatArray]:
        """Returns the means of today's flows."""
        return {name: np.asarray(units) / self.futures for name, units in self.units.items()}

    def risk(self) -> FloatArray:
        """Returns the share of futures with a shortage, (N, K)."""
        return np.asarray(self.short) / self.futures


def _simulate_futures(env: BatchedEnv, futures: ComingDays, rule: Rule) -> tuple[Flows, BoolArray]:
    """Returns every future's flows of today, and where it has a shortage, (F, N, K).

    A store is short of a SKU on a day when walk-ins or pickups go without. A DC is short when that
    happens to a store to which it could not ship all that was requested before, or when an online
    order of its regions is not served at once: a DC that passes on all that it has is not.
    """
    net, state = env.network, futures.begin
    protection = count_protection(net, int(state.day[0]))
    short = np.zeros(state.on_hand.shape, bool)
    cut = np.zeros(short[:, net.num_dcs :].shape, bool)
    first: Flows | None = None
    for ahead, day in enumerate(futures.days):
        view = env.make_view(state, day.signals)
        decisions = env.decide(rule(view), view)
        if first is None or day is not futures.days[-1]:
            state, flows = env.simulator.simulate_period(state, decisions, day.demand)
            first = first or flows
        else:  # nothing follows that its returns and arrivals matter to
            flows = env.simulator.serve_demand(state, decisions, day.demand)
        _note_shortage(
            short,
            cut,
            flows.demand,
            flows.on_time,
            np.ascontiguousarray(flows.requested),
            np.ascontiguousarray(flows.shipped),
            protection > ahead,
            net.parent,
        )
    assert first is not None
    return first, short


@compiled
def _note_shortage(
    short: BoolArray,
    cut: BoolArray,
    demand: IntArray,
    on_time: IntArray,
    requested: IntArray,
    shipped: IntArray,
    within: BoolArray,
    parent: IntArray,
) -> None:
    """Notes who is short of what, in place.

    Args:
        short: nodes and SKUs that have been short so far, (F, N, K).
        cut: stores and SKUs to which less was shipped than requested so far, (F, S, K).
        demand: units, (F, S, K, C).
        on_time: of them served, (F, S, K, C).
        requested: of the DC, units, (F, S, K).
        shipped: of them, (F, S, K).
        within: whether protection days are not over, (N, K).
        parent: of each store, its DC, (S,).
    """
    futures, stores, skus, channels = demand.shape
    first = len(within) - stores
    for f in range(futures):
        for s in range(stores):
            for k in range(skus):
                unserved = False
                for c in range(channels):
                    if c != ONLINE and demand[f, s, k, c] > on_time[f, s, k, c]:
                        unserved = True
                if unserved and within[first + s, k]:
                    short[f, first + s, k] = True
                late = demand[f, s, k, ONLINE] > on_time[f, s, k, ONLINE]
                if within[parent[s], k] and (late or (unserved and cut[f, s, k])):
                    short[f, parent[s], k] = True
                # What is cut today is missed from tomorrow on.
                if requested[f, s, k] > shipped[f, s, k]:
                    cut[f, s, k] = True
