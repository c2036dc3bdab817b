"""Local credit: one branch of a state teaches many agents, each by what changes at its own place.

A store's load changes what that store costs, and hardly anything else; a supplier's order changes
its SKU's column. So every branch gives each agent of a choice an option of its own, and the saving
of each is read where it lies: ten stores learn from the branches that one learns from where the
cost of the whole network is read.
"""

from __future__ import annotations

import numpy as np

from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.branches.branching import Branch, Recording, play_branches
from envs.omnichannel.flows import Targets
from envs.omnichannel.types import (
    LOWEST_RATE,
    FloatArray,
    IntArray,
    Stocks,
    View,
    sum_axis,
    sum_channels,
)
from envs.omnichannel.world.account.rates import list_holding, list_waste
from marl.learning.branched.labels import LabelMaker
from marl.learning.pool.recorded import Labels
from marl.policies.choice import Choice
from marl.policies.residual import ResidualRule


class LocalLabelMaker(LabelMaker):
    """Labels all agents of a state at once; args as of `LabelMaker`.

    Stock that a store takes is no longer in its DC, so what it costs there is taken off the store's
    cost. What else one agent's options change for another (a short DC, a truck that SKUs share) is
    noise of the labels, as the others' options are drawn apart.
    """

    def __init__(self, env: BatchedEnv, policy: ResidualRule, continuation: str = "rule") -> None:
        super().__init__(env, policy, continuation)
        reward = env.scenario.reward
        store, dc = list_holding(env.scenario)
        self._dc_rent = reward.beta * dc  # (K,) money a unit and period
        self._store_rent = reward.beta * np.maximum(store - dc, 0)  # (K,) more than in the DC
        self._waste_price = reward.beta * list_waste(env.scenario)  # (K,) money a unit
        self._lane_price = reward.delta * self.stock_value.by_store[:, None]  # (S, 1) the same

    @property
    def local_unit(self) -> float:
        """Of labels: that of the network, for a store of mean size."""
        return self.unit / self.env.network.num_stores

    def _label(
        self,
        recording: Recording,
        name: str,
        entries: IntArray,
        horizon: int,
        rng: np.random.Generator,
    ) -> Labels:
        """Labels of these states, (M,), for all agents of each."""
        choice, count = self.policy.choices[name], len(entries)
        reference = self.policy.rule.make_plan(recording.see(self.env, entries))
        options = choice.list_options(reference)  # (M, G, A)
        agents, number = options.shape[1:]
        # Branch j gives an agent option (j + its own start) mod A, so that each meets all others'.
        start = rng.integers(number, size=(count, 1, agents))
        taken = (start + np.arange(number)[:, None]) % number  # (M, A, G)
        acted = self.policy.act(reference, self.policy.choose(reference))
        branched = acted.select(np.repeat(np.arange(count), number))
        values = np.take_along_axis(options.swapaxes(1, 2), taken, axis=1)
        choice.take(branched, values.reshape(-1, agents))
        rows, targets = np.repeat(entries, number), branched.make_targets()
        cost = self._play(recording, rows, targets, horizon, name).reshape(taken.shape)
        by_option = np.empty_like(cost)
        np.put_along_axis(by_option, taken, cost, axis=1)
        savings = (by_option[:, :1] - by_option).swapaxes(1, 2) / self.local_unit
        features = choice.list_by_agent(self.policy.compute_features(reference, [name])[name])
        return Labels(
            features.reshape(-1, *features.shape[2:]),
            savings.reshape(-1, number).astype(np.float32),
        )

    def _play(
        self, recording: Recording, rows: IntArray, targets: Targets, horizon: int, name: str
    ) -> FloatArray:
        """What branches cost by agent of a choice, less what they leave, money, (R, G)."""
        choice, follower = self.policy.choices[name], self._get_follower(name)
        cost: FloatArray = np.zeros(())
        for branch in play_branches(self.env, recording, rows, targets, horizon, follower):
            cost = cost + self._price(choice, branch)
        # What was known on the last day; nothing recorded needs to follow it.
        last = rows + (horizon - 1) * recording.num_copies
        end: FloatArray = self._value(choice, recording.see(self.env, last, branch.state))
        return cost - end

    def _price(self, choice: Choice, branch: Branch) -> FloatArray:
        """What a period cost by agent, money, (R, G)."""
        env, first = self.env, self.env.network.num_dcs
        assert branch.costs is not None
        assert branch.flows is not None
        losses = env.reward_model.compute_loss(branch.costs, env.service_weight)
        stores = losses[:, first:]
        if choice.lies == "store":
            return sum_axis(stores - self._count(branch.state) * self._dc_rent, 2)
        # A truck is shared: a SKU's share of it says little of what a further unit costs.
        paid = env.scenario.reward.delta * branch.costs["transport"][:, first:]
        stores = stores - paid + self._lane_price * branch.flows.shipped
        by_sku = losses[:, :first] + env.network.sum_by_dc(stores)
        return by_sku.reshape(len(by_sku), -1)

    def _value(self, choice: Choice, end: View) -> FloatArray:
        """What the stock at the end is worth by agent, money, (R, G).

        A unit spares what it costs to bring another. Of what perishes, units are wasted that the
        days of a shelf life are not expected to sell; and what lies above the rule's target costs
        its place until it is sold. Without both a branch must outlast the shelf lives, or large
        loads look too well.
        """
        units = self._count(end)
        worth = units * self._lane_price
        if choice.lies == "store":
            rate = np.maximum(sum_channels(end.smoothed), LOWEST_RATE)
            worth = worth - self._expect_waste(end, units, rate) - self._expect_rent(end, rate)
            return sum_axis(worth, 2)
        by_sku = self.env.network.sum_by_dc(worth)
        return by_sku.reshape(len(by_sku), -1)

    def _expect_waste(self, end: View, units: IntArray, rate: FloatArray) -> FloatArray:
        """Money for units that spoil before they are sold, (R, S, K).

        Of the units that have at most n days left, those beyond the demand of n days are wasted;
        the n that wastes most counts. Demand is taken as normal.
        """
        from scipy.special import ndtr

        money = np.zeros(units.shape)
        if end.shelf is None:
            return money
        fresh = np.flatnonzero(self.policy.rule.setting.shelf_life > 0)
        by_age = end.shelf[..., fresh].cumsum(axis=1)  # (R, A, S, K')
        by_age[:, -1] = units[..., fresh]  # with what is on its way
        days = np.arange(1, by_age.shape[1] + 1)[:, None, None]
        variance = np.maximum(end.variance, rate)[..., fresh]
        spread = np.sqrt(variance[:, None] * days)
        beyond = (by_age - rate[:, None][..., fresh] * days) / spread
        density = np.exp(-0.5 * beyond * beyond) / np.sqrt(2 * np.pi)
        wasted = (spread * (beyond * ndtr(beyond) + density)).max(axis=1)
        # Even an empty shelf has a little of a normal's tail.
        money[..., fresh] = np.minimum(wasted, units[..., fresh]) * self._waste_price[fresh]
        return money

    def _expect_rent(self, end: View, rate: FloatArray) -> FloatArray:
        """Money for the place of stock above the rule's targets until it is sold, (R, S, K)."""
        excess = np.maximum(-self.policy.rule.make_plan(end).shipment_gap, 0)
        return excess * excess / (2 * rate) * self._store_rent

    def _count(self, stocks: Stocks) -> IntArray:
        """Units in the stores and on their way there, (R, S, K)."""
        first = self.env.network.num_dcs
        return stocks.on_hand[:, first:] + sum_axis(stocks.in_transit[:, :, first:], 1)
