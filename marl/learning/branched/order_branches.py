"""Experience of the ordering agents: recorded states, branched over every order."""

from __future__ import annotations

import math

import numpy as np

from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.branches.branching import Recording, play_branches
from envs.omnichannel.flows import Targets
from envs.omnichannel.types import IntArray, View
from envs.omnichannel.world.account.rates import list_holding, list_late, list_lost_sale
from marl.learning.branched.order_policy import OrderPolicy
from marl.learning.pool.recorded import Labels
from marl.policies.order_groups import has_dc_orders, make_targets

_CHUNK = 400  # states branched at once, so that the branches stay in the caches


class BranchMaker:
    """Branches states of a recording over all orders of one agent.

    In a branch the agent places one order, the others and all later orders are the greedy
    policy's, and the world brings what it brought. The return of n periods is the team's; the
    network's value of what the agent then sees takes its place beyond (in the learner).

    A store that stands alone sees the effect of an order only when it arrives. There the costs
    of the periods from the arrival on are counted instead: they are those that the order is the
    first to change, so that n = 1 suffices, as it does without a lead time. What the agent sees
    after n periods depends on these alone; the days from then to the arrival have demand drawn
    from all recorded days, and the costs are the mean over `futures` such draws. This takes out
    most of the noise of rare, dear losses: all recorded days are as likely, since the method asks
    for demand that is the same every day.

    Args:
        env: of the recorded scenario.
        policy: greedy.
        n_step: n.
        gamma: discount a period.
        futures: draws of the days between, of a store that stands alone.
    """

    def __init__(
        self, env: BatchedEnv, policy: OrderPolicy, n_step: int, gamma: float, futures: int = 1
    ) -> None:
        self.env, self.policy, self.n_step, self.gamma = env, policy, n_step, gamma
        setting = next(iter(policy.groups.values())).setting
        alone = setting.network.num_stores == 1 and not has_dc_orders(setting)
        self.delay = int(setting.network.lane_lead_time[0]) if alone else 0
        self.futures = futures if self.delay else 1
        # The unit of returns: a day's demand at the price of a unit too many; of a store alone,
        # between that and the price of one too few, so that one setting fits all penalties.
        lost = max(list_lost_sale(env.scenario).max(), list_late(env.scenario).max())
        holding = float(list_holding(env.scenario)[0].mean())
        short = float(lost) if self.delay else holding
        price = max(math.sqrt(holding * short), 1e-6)
        self.unit = price * float(setting.mean_demand.sum())

    def make(self, recording: Recording, name: str, count: int, rng: np.random.Generator) -> Labels:
        """Returns the experience of random states.

        Args:
            recording: episodes of the policy, explored.
            name: of the group.
            count: M, states.
            rng: picks states and agents.

        Returns:
            `features` (M, 1 + A, D): units seen now and, after each order, n periods later;
            `savings` (M, A): the n-step return of each order, less cost.
        """
        entries = rng.choice(recording.list_entries(self.n_step + self.delay + 1), size=count)
        chunk = max(_CHUNK // self.futures, 1)
        parts = [
            self._branch(recording, name, entries[first : first + chunk], rng)
            for first in range(0, count, chunk)
        ]
        return Labels(
            np.concatenate([part.features for part in parts]),
            np.concatenate([part.savings for part in parts]),
        )

    def _branch(
        self, recording: Recording, name: str, entries: IntArray, rng: np.random.Generator
    ) -> Labels:
        """The experience of these states, (M,), for agents drawn at random."""
        group = self.policy.groups[name]
        count, options = len(entries), group.num_options
        agents = rng.integers(group.num_agents, size=count)
        state = recording.states.select(entries)
        now = group.observe(state)[np.arange(count), agents]  # (M, D)
        # By future, state and order; futures are alike until n periods have passed.
        row = np.tile(np.repeat(np.arange(count), options), self.futures)
        orders = {other: best[row] for other, best in self.policy.choose(state).items()}
        ordered = np.tile(np.arange(options), count * self.futures)
        orders[name][np.arange(len(row)), agents[row]] = ordered
        returns = np.zeros(len(row))
        branches = play_branches(
            self.env,
            recording,
            entries[row],
            make_targets(orders),
            self.n_step + self.delay,
            _Continuation(self.policy, self.n_step),
            self._draw_worlds(recording, entries, options, rng),
        )
        for period, branch in enumerate(branches, start=1):
            if period > self.delay:
                returns -= self.gamma ** (period - self.delay - 1) * branch.loss / self.unit
            if period == self.n_step:
                seen = group.observe(branch.state)[np.arange(len(row)), agents[row]]
        seen = seen.reshape(self.futures, count, options, -1)[0]
        features = np.concatenate([now[:, None], seen], axis=1)
        savings = returns.reshape(self.futures, count, options).mean(axis=0)
        return Labels(features.astype(np.float32), savings.astype(np.float32))

    def _draw_worlds(
        self, recording: Recording, entries: IntArray, options: int, rng: np.random.Generator
    ) -> list[IntArray] | None:
        """Whose demand each period of each branch has; all orders of a future share it."""
        if self.futures == 1:
            return None
        shape = (self.futures, len(entries))
        recorded = [entries + ahead * recording.num_copies for ahead in range(self.n_step)]
        worlds = [np.broadcast_to(entry, shape) for entry in recorded]
        worlds += [rng.integers(recording.num_entries, size=shape) for _ in range(self.delay)]
        return [np.repeat(world, options) for world in worlds]


class _Continuation:
    """The greedy policy for the periods that are looked ahead; nothing is ordered afterwards.

    What is ordered after the n periods arrives when no cost is counted any more.
    """

    def __init__(self, policy: OrderPolicy, n_step: int) -> None:
        self.policy, self.left = policy, n_step - 1

    def compute_targets(self, view: View) -> Targets:
        """Returns the orders as gaps, units."""
        self.left -= 1
        if self.left >= 0:
            return self.policy.compute_targets(view)
        copies = len(view.period)
        return make_targets(
            {n: np.zeros((copies, g.num_agents), np.int64) for n, g in self.policy.groups.items()}
        )
