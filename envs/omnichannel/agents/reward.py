"""Eq. 8, for the team and as each agent's share of it."""

from __future__ import annotations

import numpy as np

from envs.omnichannel.agents.credit import Scales, share_credit, split_credit
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import Float32Array, FloatArray, Network
from envs.omnichannel.world.account.costs import COST_TERMS, Costs


class RewardModel:
    """R = alpha service - beta inventory - gamma returns - delta (transport + ordering), eq. 8.

    All money is divided by `cost_scale` x expected demand, so every term is per unit of expected
    demand. Service is 1 - (lost sales + waiting cost) in that unit: with a lost sale at the scale
    it is the expected fill rate, less the delay's penalty. Inventory is holding, overflow and
    waste.

    An agent's share (credit) replaces the network's cost by a mixture of its own cell's (store
    and SKU), its location's and the team's, each per unit of its own expected demand. DCs and the
    network as a whole are charged for a SKU everywhere below them.
    """

    def __init__(self, scenario: Scenario, network: Network, mean_demand: FloatArray) -> None:
        self.weights = scenario.reward
        self.network = network
        reward = scenario.reward
        self.term_weights = np.array(
            [getattr(reward, t.weight) if t.is_on(scenario) else 0.0 for t in COST_TERMS]
        )
        self._is_service = np.array([term.weight == "alpha" for term in COST_TERMS])
        cell = mean_demand.sum(axis=-1)  # (S, K)
        scale = reward.cost_scale
        # The floor keeps one unit of a slow seller from weighing as much as a whole store.
        self.cell_scale = scale * np.maximum(cell, 0.25)
        self.store_scale = scale * np.maximum(cell.sum(axis=-1, keepdims=True), 0.25)
        dc_cell = network.sum_by_dc(cell[None])[0]
        self.dc_scale = scale * np.maximum(dc_cell, 0.25)
        self.sku_scale = scale * np.maximum(cell.sum(axis=0), 0.25)
        self._scales = Scales(
            cell=self.cell_scale,
            store=self.store_scale,
            dc=self.dc_scale,
            sku=self.sku_scale,
            local_weight=reward.credit.local,
            store_weight=reward.credit.store,
        )
        self.team_scale = scale * max(float(cell.sum()), 0.25)

    def compute_loss(self, costs: Costs, service_weight: float = 1.0) -> FloatArray:
        """Returns the weighted cost that eq. 8 subtracts from alpha, money, (B, N, K).

        Args:
            costs: of the period.
            service_weight: multiplies alpha, for agents that are to serve more or less.
        """
        weights = self.term_weights
        if service_weight != 1:
            weights = np.where(self._is_service, service_weight, 1.0) * weights
        return costs.weigh(weights)

    def compute_team_reward(self, loss: FloatArray) -> FloatArray:
        """Returns eq. 8 of each copy, (B,)."""
        return self.weights.alpha - np.add.reduce(loss, axis=(1, 2)) / self.team_scale

    def compute_credit(self, loss: FloatArray) -> Float32Array:
        """Returns each row's share, (B, N + 1, K): DCs, stores, network.

        Alpha is left out: it is the same constant for every action.
        """
        net = self.network
        team = self.weights.credit.team * np.add.reduce(loss, axis=(1, 2)) / self.team_scale
        rewards = np.empty((len(loss), net.num_nodes + 1, net.num_skus), np.float32)
        share_credit(np.ascontiguousarray(loss), team, self._scales, net.parent, rewards)
        return rewards

    def split_credit(self, costs: Costs, weights: FloatArray) -> Float32Array:
        """Returns each row's share of groups of costs, of the first copy, (G, N + 1, K).

        Args:
            costs: of the period.
            weights: of the terms in each group, (G, 8); they sum to `term_weights`.
        """
        net, team_weight = self.network, self.weights.credit.team / self.team_scale
        shares = np.empty((len(weights), net.num_nodes + 1, net.num_skus), np.float32)
        split_credit(costs.by_term, weights, team_weight, self._scales, net.parent, shares)
        return shares
