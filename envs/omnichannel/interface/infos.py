"""The infos of the views: eq. 8 by term, units, and masks of the options that count."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.compiler import compiled
from envs.omnichannel.agents.roster import HIGH_MODULES
from envs.omnichannel.batched_env import BatchedEnv, Step
from envs.omnichannel.types import Float32Array, FloatArray, IntArray
from envs.omnichannel.world.account.costs import TERMS

Info = dict[str, Any]
Mask = NDArray[np.int8]

# The terms of eq. 8 -> what they cost.
REWARD_TERMS = {
    "service": ("lost_sales", "late"),
    "inventory": ("holding", "overflow", "waste", "back_room"),
    "returns": ("returns",),
    "transport": ("transport", "ordering"),
}
UNITS = ("demand", "on_time", "served")


class Account:
    """Splits a period's reward into the terms of eq. 8 and counts its units.

    Args:
        env: whose periods are told.
    """

    def __init__(self, env: BatchedEnv) -> None:
        self._reward = env.reward_model
        self._network = env.network
        is_in = [[term in group for term in TERMS] for group in REWARD_TERMS.values()]
        self._weights = np.where(is_in, self._reward.term_weights, 0.0)  # (4, 8)

    def tell(self, step: Step | None, *, by_sku: bool) -> tuple[FloatArray, IntArray]:
        """Returns what a period brought every part of one copy.

        Args:
            step: that period; None: zeros, as none has passed yet.
            by_sku: whether a part is a row's SKU, P = (N + 1) K, or a whole row, P = N + 1.

        Returns:
            The terms, which sum to the part's reward, (P, 4); units, (P, 3).
        """
        net = self._network
        count = (net.num_nodes + 1) * (net.num_skus if by_sku else 1)
        terms, units = np.zeros((count, len(REWARD_TERMS))), np.zeros((count, len(UNITS)), np.int64)
        if step is None:
            return terms, units
        flows = step.flows
        shares = self._reward.split_credit(step.costs, self._weights)
        units_of = flows.ledger.demand, flows.ledger.on_time, flows.served
        tell_parts(shares, *units_of, net.parent, by_sku, terms, units)
        return terms, units

    def tell_team(self, step: Step) -> dict[str, FloatArray | IntArray]:
        """Returns the terms, which sum to eq. 8, and the units of every copy, (B,) each."""
        terms = -self._split_loss(step).sum(axis=(2, 3)) / self._reward.team_scale
        terms[0] += self._reward.weights.alpha
        flows = step.flows
        units = [a.sum(axis=(1, 2, 3)) for a in (flows.demand, flows.on_time, flows.served)]
        return dict(zip((*REWARD_TERMS, *UNITS), (*terms, *units), strict=True))

    def _split_loss(self, step: Step) -> FloatArray:
        """Weighted cost by term of eq. 8, money, (4, B, N, K)."""
        by_term = step.costs.by_term
        return (self._weights @ by_term.reshape(len(TERMS), -1)).reshape(-1, *by_term.shape[1:])


class Masks:
    """Says which options count in the coming period: 1 for each that does.

    Between reviews the high level's options have no effect, and it holds the one that it chose:
    its masks leave that one alone, so that a learner neither explores nor values the others.

    Args:
        env: whose agents are masked.
    """

    def __init__(self, env: BatchedEnv) -> None:
        self._env = env
        self._skus = env.layout.num_skus
        modules = env.layout.modules.values()
        self._only: dict[str, Mask] = {
            m.name: np.eye(m.num_options, dtype=np.int8) for m in modules
        }
        self._all: dict[str, Mask] = {
            m.name: np.ones((self._skus, m.num_options), np.int8) for m in modules
        }
        ends = np.cumsum([m.num_agents * self._skus * m.num_options for m in modules])
        self._ends = dict(zip(env.layout.modules, map(int, ends), strict=True))

    def by_module(self) -> dict[str, Mask]:
        """Returns the masks of one copy's agents, (K, options) each."""
        env = self._env
        if env.is_review:
            return self._all
        return {**self._all, **{m: self._only[m][env.goals[m][0, 0]] for m in HIGH_MODULES}}

    def flat(self) -> Mask:
        """Returns the masks of all agents side by side, in the order of the joint action.

        Returns:
            (B, sum of all agents' and SKUs' options).
        """
        env = self._env
        masks = np.ones((env.num_copies, max(self._ends.values())), np.int8)
        if not env.is_review:
            for m in HIGH_MODULES:
                held = self._only[m][env.goals[m][:, 0]].reshape(env.num_copies, -1)
                masks[:, self._ends[m] - held.shape[1] : self._ends[m]] = held
        return masks


@compiled
def tell_parts(
    shares: Float32Array,
    demand: IntArray,
    on_time: IntArray,
    served: IntArray,
    parent: IntArray,
    by_sku: bool,
    terms: FloatArray,
    units: IntArray,
) -> None:
    """Adds what the first copy's parts got to zeros, as `Account.tell` returns it.

    Args:
        shares: of the reward by term, (4, N + 1, K).
        demand: units, (B, S, K, C).
        on_time: units, (B, S, K, C).
        served: units, (B, S, K, C).
        parent: (S,).
        by_sku: whether parts are SKUs of rows, or rows, whose reward is the mean over SKUs.
        terms: written in place, (P, 4).
        units: written in place, (P, 3).
    """
    _, stores, skus, channels = demand.shape
    groups, rows, _ = shares.shape
    for i in range(rows):
        for k in range(skus):
            for g in range(groups):
                if by_sku:
                    terms[i * skus + k, g] = shares[g, i, k]
                else:
                    terms[i, g] += shares[g, i, k] / skus
    for s in range(stores):
        for row in (parent[s], rows - 1 - stores + s, rows - 1):
            for k in range(skus):
                part = row * skus + k if by_sku else row
                for c in range(channels):
                    units[part, 0] += demand[0, s, k, c]
                    units[part, 1] += on_time[0, s, k, c]
                    units[part, 2] += served[0, s, k, c]
