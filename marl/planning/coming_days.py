"""Coming days: futures of demand and returns from a stock count on, a block of them at a time.

A future is the same in whichever block it is drawn, so blocks bound the memory and change nothing:
what couples SKUs, such as trucks and budgets, happens within a future.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.branches.futures import pass_day
from envs.omnichannel.forecast.distribution import Outlook
from envs.omnichannel.forecast.learner import Rates
from envs.omnichannel.scenario.demand import Trace
from envs.omnichannel.types import Demand, IntArray, Network, Signals, State
from marl.planning.restore import Start, begin, draw_start

_SEED = 0  # of the paths: the same request gets the same answer
# Nodes times SKUs times futures of a block. More of them take longer: they leave the caches.
_BLOCK_CELLS = 400_000


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


class Imagination:
    """Draws the futures of stock counts.

    Args:
        env: of the scenario; only a restored one is asked for futures.
        num_futures: in all.
        blocks: that they are drawn in; None: as many as the network's size asks for.
        soon: as of `restore.begin`.
    """

    def __init__(
        self, env: BatchedEnv, num_futures: int, blocks: int | None, soon: int | None
    ) -> None:
        self.env, self.soon = env, soon
        network = env.network
        if blocks is None:
            blocks = -(-num_futures * network.num_nodes * network.num_skus // _BLOCK_CELLS)
        ends = np.linspace(0, num_futures, min(blocks, num_futures) + 1).astype(int).tolist()
        self.blocks = [range(first, end) for first, end in pairwise(ends)]
        self._drawn = draw_start(env, self.blocks[0])
        self._days: tuple[bytes, list[Day]] = b"", []  # the latest, and the prospect they are for

    def imagine(self, start: Start) -> Iterator[ComingDays]:
        """Yields the futures, block by block.

        Where there is one block its days are remembered: requests of a day often differ in the
        stock alone.
        """
        for block in self.blocks:
            drawn = self._drawn if block.start == 0 else draw_start(self.env, block)
            state, signals = begin(self.env, start, drawn, self.soon)
            if len(self.blocks) > 1:
                days = draw_days(self.env, state, signals, block.start)
                yield ComingDays(begin=state, days=days)
                continue
            if self._days[0] != start.prospect:
                self._days = start.prospect, draw_days(self.env, state, signals)
            yield ComingDays(begin=state, days=self._days[1])


def count_days(network: Network) -> int:
    """Returns for how many days futures are simulated."""
    schedule = network.schedule
    longest = network.lead_time.max() + 1 if schedule is None else schedule.protection.max()
    return int(longest)


def count_protection(network: Network, day: int) -> IntArray:
    """Returns days until what is decided at the next chance can arrive, (N, K).

    Args:
        network: with the calendars of orders.
        day: today, of the scenario's calendar.
    """
    if network.schedule is None:
        return np.repeat(network.lead_time[:, None] + 1, network.num_skus, axis=1)
    return network.schedule.count_protection(np.array([day]))[0]


def draw_days(env: BatchedEnv, state: State, signals: Signals, first: int = 0) -> list[Day]:
    """Returns today and the coming days in every future, whatever the stock is.

    Args:
        env: of the scenario; it is not touched.
        state: where the futures begin, (F, ...).
        signals: what is known then, (F, ...).
        first: number of the first future.
    """
    days, number = [], count_days(env.network)
    paths = _draw_paths(env, signals, number, first) if _is_recorded(env) else None
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


def _draw_paths(env: BatchedEnv, signals: Signals, days: int, first: int) -> IntArray:
    """Units of the coming days in every future, (F, days, S, K, C), all from the same forecast."""
    factor = np.diff(signals.ahead[0], axis=0, prepend=0)[:days]  # (days, S or 1, K)
    outlook = Outlook.predict(
        signals.smoothed[0],
        signals.variance[0],
        signals.weight[0],
        factor,
        level_rate=Rates.from_settings(env.scenario.forecast).level_rate,
    )
    futures = range(first, first + len(signals.smoothed))
    paths = [outlook.draw_paths(np.random.default_rng((_SEED, future)), 1) for future in futures]
    return np.concatenate(paths)
