"""Local credit: one branch of a state teaches many agents, each by what changes at its own place.

A store's load changes what that store costs, and hardly anything else; a supplier's order changes
its SKU's column. So every branch gives each of the agents whose places are apart an option of its
own, and reads the saving of each where it lies: ten stores learn from the branches that one learns
from where the whole network's cost is read.
"""

from __future__ import annotations

import numpy as np

from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.branches.branching import Branch, Recording, play_branches
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
    """Labels many agents of a state at once; args as of `LabelMaker`.

    Stock that a store takes is no longer in its DC, so what it costs there is taken off the store's
    cost. What else one store's options change for another (a short DC) is noise of the labels, as
    the others' options are drawn apart.
    """

    def __init__(self, env: BatchedEnv, policy: ResidualRule, continuation: str = "rule") -> None:
        super().__init__(env, policy, continuation)
        beta = env.scenario.reward.beta
        store, dc = list_holding(env.scenario)
        self._dc_rent = beta * dc  # (K,) money a unit and period
        self._store_rent = beta * np.maximum(store - dc, 0)  # (K,) more than in the DC
        self._waste_price = beta * list_waste(env.scenario)  # (K,) money a unit

    def _label(
        self,
        recording: Recording,
        name: str,
        entries: IntArray,
        horizon: int,
        rng: np.random.Generator,
    ) -> Labels:
        """Labels of these states, (M,), for all agents of each whose places are apart."""
        choice, count = self.policy.choices[name], len(entries)
        reference = self.policy.rule.make_plan(recording.see(self.env, entries))
        acted = self.policy.act(reference, self.policy.choose(reference))
        agents = choice.pick_apart(reference, rng)  # (M, P)
        each, number = np.arange(count)[:, None], choice.num_options
        options = choice.list_options(reference)[each, agents]  # (M, P, A)
        # Branch j gives an agent option (j + its own start) mod A, so that each meets all others'.
        start = rng.integers(number, size=agents.shape)
        taken = (start[:, None] + np.arange(number)[:, None]) % number  # (M, A, P)
        branched = acted.select(np.repeat(np.arange(count), number))
        values = choice.get_values(branched).reshape(count, number, -1).copy()
        picked = np.take_along_axis(options, taken.swapaxes(1, 2), axis=-1).swapaxes(1, 2)
        np.put_along_axis(values, np.broadcast_to(agents[:, None], taken.shape), picked, axis=2)
        choice.take(branched, values.reshape(count * number, -1))
        cost = np.zeros(values.shape).reshape(count * number, -1)
        rows = np.repeat(entries, number)
        follower = self._get_follower(name)
        played = play_branches(
            self.env, recording, rows, branched.make_targets(), horizon, follower
        )
        for branch in played:
            cost += self._price(choice, branch)
        last = rows + (horizon - 1) * recording.num_copies
        end = recording.see(self.env, np.minimum(last, recording.num_entries - 1), branch.state)
        cost -= self._value(choice, end)
        by_agent = cost.reshape(count, number, -1)[
            each[:, None], np.arange(number)[:, None], agents[:, None]
        ]  # (M, A, P)
        by_option = np.empty_like(by_agent)
        np.put_along_axis(by_option, taken, by_agent, axis=1)
        savings = (by_option[:, :1] - by_option).swapaxes(1, 2) / self.local_unit
        features = choice.list_by_agent(self.policy.compute_features(reference, [name])[name])
        flat = (-1, number)
        seen = features[each, agents].reshape(-1, *features.shape[2:])
        return Labels(seen, savings.reshape(flat).astype(np.float32))

    @property
    def local_unit(self) -> float:
        """Of labels: that of the network, for a store of mean size."""
        return self.unit / self.env.network.num_stores

    def _price(self, choice: Choice, branch: Branch) -> FloatArray:
        """What a period cost by agent, money, (R, G)."""
        env, first = self.env, self.env.network.num_dcs
        assert branch.costs is not None
        losses = env.reward_model.compute_loss(branch.costs, env.service_weight)
        by_cell = losses[:, first:]
        if choice.lies == "store":
            return self._gather(choice, by_cell - self._count(branch.state) * self._dc_rent)
        assert branch.flows is not None
        # A truck is shared: a SKU's share of it says little of what a further unit costs.
        weight = env.scenario.reward.delta
        paid = weight * branch.costs["transport"][:, first:]
        price = weight * self.stock_value.by_store[:, None]
        by_cell = by_cell - paid + price * branch.flows.shipped
        if choice.lies == "sku":
            return self._gather(choice, by_cell, losses[:, :first])
        return self._gather(choice, by_cell - self._count(branch.state) * self._dc_rent)

    def _value(self, choice: Choice, end: View) -> FloatArray:
        """What the stock at the end is worth by agent, money, (R, G).

        A unit spares what it costs to bring another. Of what perishes, units are wasted that the
        days of a shelf life are not expected to sell; and what lies above the rule's target costs
        its place until it is sold. Without both a branch must outlast the shelf lives, or large
        loads look too well.
        """
        units = self._count(end)
        worth = units * self.stock_value.by_store[:, None]
        if choice.lies != "sku":
            rate = np.maximum(sum_channels(end.smoothed), LOWEST_RATE)
            worth = worth - self._expect_waste(end, units, rate) - self._expect_rent(end, rate)
        return self._gather(choice, worth)

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
        plan = self.policy.rule.make_plan(end)
        excess = np.maximum(-plan.shipment_gap, 0)
        return excess * excess / (2 * rate) * self._store_rent

    def _count(self, state: Stocks) -> IntArray:
        """Units in the stores and on their way there, (R, S, K)."""
        first = self.env.network.num_dcs
        return state.on_hand[:, first:] + sum_axis(state.in_transit[:, :, first:], 1)

    def _gather(
        self, choice: Choice, by_cell: FloatArray, by_dc: FloatArray | float = 0.0
    ) -> FloatArray:
        """Money of stores, (R, S, K), and of DCs, (R, W, K), by agent, (R, G)."""
        if choice.lies == "store":
            return sum_axis(by_cell, 2)
        found = by_cell if choice.lies == "cell" else self.env.network.sum_by_dc(by_cell) + by_dc
        return found.reshape(len(found), -1)
