"""Metrics of episodes, all from flows and costs; each formula stands here once.

With demand and units summed over the episode, stores and SKUs:

- `served` = units served in the end / units demanded. The paper's "service level" (order
  fulfilment rate), a fill rate over all channels. What still waits at the end counts as unserved.
- `on_time` = units served in the period of their demand / units demanded: 5-20 points lower than
  `served` where online orders wait. Both also by channel, as `served/store` and so on.
- `cost/<term>` and `cost/total`: money a period.
- `reward`: eq. 8, mean over periods.
- `stock`: mean units on hand in the network; `turnover` = units served a period x 365 / `stock`.
- `returned`: units a period; `waiting`: mean orders open at the end of a period, units.
"""

from __future__ import annotations

import numpy as np

from envs.omnichannel.scenario import CHANNELS
from envs.omnichannel.types import FloatArray, Flows, IntArray
from envs.omnichannel.world.costs import TERMS, Costs

EpisodeMetrics = dict[str, FloatArray]  # metric -> (B,)


class MetricsAccumulator:
    """Sums what the metrics need over the periods of B episodes."""

    def __init__(self, num_copies: int, channels: tuple[str, ...] = CHANNELS) -> None:
        self.periods = 0
        self.channels = channels
        by_channel = (num_copies, len(channels))
        self.demand, self.served, self.on_time = (np.zeros(by_channel) for _ in range(3))
        self.costs = {term: np.zeros(num_copies) for term in TERMS}
        self.reward, self.stock, self.returned, self.waiting = (
            np.zeros(num_copies) for _ in range(4)
        )

    def add(self, flows: Flows, costs: Costs, team_reward: FloatArray) -> None:
        """Adds a period."""
        self.periods += 1
        self.demand += _sum_cells(flows.demand)
        self.served += _sum_cells(flows.served)
        self.on_time += _sum_cells(flows.on_time)
        for term in TERMS:
            self.costs[term] += costs[term].sum(axis=(1, 2))
        self.reward += team_reward
        self.stock += flows.on_hand.sum(axis=(1, 2))
        self.returned += flows.returned.sum(axis=(1, 2))
        self.waiting += flows.waiting.sum(axis=(1, 2))

    def compute(self) -> EpisodeMetrics:
        """Returns each metric by episode, (B,)."""
        periods = max(self.periods, 1)
        stock = self.stock / periods
        metrics = {
            "served": _ratio(self.served.sum(axis=1), self.demand.sum(axis=1)),
            "on_time": _ratio(self.on_time.sum(axis=1), self.demand.sum(axis=1)),
            "reward": self.reward / periods,
            "cost/total": sum(self.costs.values(), np.zeros(len(stock))) / periods,
            "stock": stock,
            "turnover": 365 * self.served.sum(axis=1) / periods / np.maximum(stock, 1e-9),
            "returned": self.returned / periods,
            "waiting": self.waiting / periods,
        }
        for c, channel in enumerate(self.channels):
            metrics[f"served/{channel}"] = _ratio(self.served[:, c], self.demand[:, c])
            metrics[f"on_time/{channel}"] = _ratio(self.on_time[:, c], self.demand[:, c])
        return metrics | {f"cost/{term}": self.costs[term] / periods for term in TERMS}


def _sum_cells(by_channel: IntArray) -> IntArray:
    """(B, S, K, C) to (B, C)."""
    return np.einsum("bskc->bc", by_channel)


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    """Part of the whole; 1 where nothing was demanded."""
    return np.where(whole > 0, part / np.maximum(whole, 1e-9), 1.0)
