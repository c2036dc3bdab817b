"""A plan: the decisions of a rule for today, and what comes of them in simulated futures.

The futures draw the scenario's demand and returns from the stock count on; they are the same for
every rule. A node's stock must last until what is decided tomorrow can arrive: no later decision
can help a store before that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.types import ONLINE, Decisions, FloatArray, Flows, sum_channels
from marl.planning.decision_maker import Rule


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The decisions of a rule for today, and what comes of them."""

    decisions: Decisions  # of one copy
    carried_out: Flows  # of one copy: within what suppliers and DCs can do
    today: Flows  # of all futures, (F, ...)
    shortage: FloatArray  # (N, K) share of futures with one in the node's protection days


def simulate_plan(today: BatchedEnv, futures: BatchedEnv, rule: Rule) -> Plan:
    """Returns what the rule decides today, and what comes of it.

    Args:
        today: an environment of one copy, restored.
        futures: the same scenario in F copies, restored too; both go on from there.
        rule: decides today and on later days.
    """
    targets = rule(today.view)
    decisions = today.decide(targets)
    _, carried_out = today.advance(targets)
    first, shortage = _simulate_futures(futures, rule)
    return Plan(decisions=decisions, carried_out=carried_out, today=first, shortage=shortage)


def _simulate_futures(env: BatchedEnv, rule: Rule) -> tuple[Flows, FloatArray]:
    """Returns every future's flows of today, and the share of futures with a shortage, (N, K).

    A store is short of a SKU on a day when walk-ins or pickups go without; a DC when it ships
    less than its stores request or an online order of its regions is not served at once.
    """
    net = env.network
    short = np.zeros((env.num_copies, net.num_nodes, net.num_skus), bool)
    first: Flows | None = None
    for day in range(int(net.lead_time.max()) + 1):
        _, flows = env.advance(rule(env.view))
        first = first or flows
        missing = flows.demand - flows.on_time
        online = missing[..., ONLINE]
        at_dcs = net.sum_by_dc(flows.requested - flows.shipped + online)
        at_stores = sum_channels(missing) - online
        within = (net.lead_time >= day)[:, None]
        short |= (np.concatenate([at_dcs, at_stores], axis=1) > 0) & within
    assert first is not None
    return first, short.mean(axis=0)
