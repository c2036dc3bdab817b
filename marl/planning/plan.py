"""A plan: the decisions of a rule for today, and what comes of them in simulated futures.

The futures draw demand and returns from the stock count on; they are the same for every rule.
Demand that is recorded has no future: its days are drawn from the very forecast that rules and
agents order by. A node's stock must last until what is decided tomorrow can arrive: no later
decision can help a store before that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from envs.compiler import compiled
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.branches.futures import pass_day
from envs.omnichannel.flows import Decisions, Flows
from envs.omnichannel.forecast.distribution import Outlook
from envs.omnichannel.forecast.learner import Rates
from envs.omnichannel.scenario.demand import Trace
from envs.omnichannel.types import (
    ONLINE,
    BoolArray,
    Demand,
    FloatArray,
    IntArray,
    Network,
    Signals,
    State,
)
from marl.planning.decision_maker import Rule

_SEED = 0  # of the paths: the same request gets the same answer


@dataclass(frozen=True, kw_only=True)
class Day:
    """What a day brings in each of F futures, whatever is decided."""

    signals: Signals  # (F, ...) known when it begins
    demand: Demand  # (F, ...)


@dataclass(frozen=True, kw_only=True)
class ComingDays:
    """F futures from today on, until what is decided tomorrow has arrived everywhere."""

    begin: State  # (F, ...)
    days: Sequence[Day]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The decisions of a rule for today, and what comes of them."""

    decisions: Decisions  # of one copy
    carried_out: Flows  # of one copy: within what suppliers and DCs can do
    today: Flows  # of all futures, (F, ...)
    shortage: FloatArray  # (N, K) share of futures with one in the node's protection days


def count_days(network: Network) -> int:
    """Returns for how many days futures are simulated."""
    return int(network.lead_time.max()) + 1


def draw_days(env: BatchedEnv, state: State, signals: Signals) -> list[Day]:
    """Returns today and the coming days in every future, whatever the stock is.

    Args:
        env: of the scenario; it is not touched.
        state: where the futures begin, (F, ...).
        signals: what is known then, (F, ...).
    """
    days, number = [], count_days(env.network)
    paths = _draw_paths(env, signals, number) if _is_recorded(env) else None
    for ahead in range(number):
        demand = env.simulator.sample_demand(state)
        if paths is not None:
            demand = replace(demand, units=paths[:, ahead])
        days.append(Day(signals=signals, demand=demand))
        known = env.forecast.update(signals, demand.units, state)
        state = pass_day(state, demand.next_log_drift)
        signals = env.make_signals(state, known, demand.units)
    return days


def _is_recorded(env: BatchedEnv) -> bool:
    return isinstance(env.scenario.demand, Trace)


def _draw_paths(env: BatchedEnv, signals: Signals, days: int) -> IntArray:
    """Units of the coming days in every future, (F, days, S, K, C), all from the same forecast."""
    factor = np.diff(signals.ahead[0], axis=0, prepend=0)[:days]  # (days, S or 1, K)
    outlook = Outlook.predict(
        signals.smoothed[0],
        signals.variance[0],
        signals.weight[0],
        factor,
        level_rate=Rates.from_settings(env.scenario.forecast).level_rate,
    )
    return outlook.draw_paths(np.random.default_rng(_SEED), len(signals.smoothed))


def simulate_plan(today: BatchedEnv, futures: ComingDays, rule: Rule) -> Plan:
    """Returns what the rule decides today, and what comes of it.

    Args:
        today: an environment of one copy, restored; it is not touched.
        futures: from the same stock on; the first one is that of the copy.
        rule: decides today and on later days.
    """
    decisions = today.decide(rule(today.view), today.view)
    demand = futures.days[0].demand.select(slice(0, 1))
    _, carried_out = today.simulator.simulate_period(today.state, decisions, demand)
    first, shortage = _simulate_futures(today, futures, rule)
    return Plan(decisions=decisions, carried_out=carried_out, today=first, shortage=shortage)


def _simulate_futures(env: BatchedEnv, futures: ComingDays, rule: Rule) -> tuple[Flows, FloatArray]:
    """Returns every future's flows of today, and the share of futures with a shortage, (N, K).

    A store is short of a SKU on a day when walk-ins or pickups go without. A DC is short when that
    happens to a store to which it could not ship all that was requested before, or when an online
    order of its regions is not served at once: a DC that passes on all that it has is not.
    """
    net, state = env.network, futures.begin
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
            net.lead_time >= ahead,
            net.parent,
        )
    assert first is not None
    return first, np.count_nonzero(short, axis=0) / len(short)


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
        within: whether a node's protection days are not over, (N,).
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
                if unserved and within[first + s]:
                    short[f, first + s, k] = True
                late = demand[f, s, k, ONLINE] > on_time[f, s, k, ONLINE]
                if within[parent[s]] and (late or (unserved and cut[f, s, k])):
                    short[f, parent[s], k] = True
                # What is cut today is missed from tomorrow on.
                if requested[f, s, k] > shipped[f, s, k]:
                    cut[f, s, k] = True
