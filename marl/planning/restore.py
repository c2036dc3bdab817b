"""Puts environments into the state of a stock count, with futures of their own from then on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.forecast.running import Running
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import (
    ArrayT,
    FloatArray,
    IntArray,
    Network,
    SeedArray,
    Signals,
    State,
    sum_channels,
)
from envs.omnichannel.world.demand import DemandProcess
from envs.omnichannel.world.demand.traces import TraceDemand
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.events.shelves import Spoil
from envs.omnichannel.world.events.supply_cuts import CutSupply
from marl.planning.stock_count import StockCount

_LOWEST_DRIFT = 0.01  # of smoothed demand as a share of its mean, which has a logarithm

_DUE = ("returns_due", "mail_due")

HeldOptions = dict[str, IntArray]  # by high-level module, (1, 1, K)


@dataclass(frozen=True)
class Start:
    """Where every simulation of a recommendation begins."""

    stock_count: StockCount
    held: HeldOptions  # by the high level since its last review
    since_review: int  # days; 0: the high level reviews today

    @property
    def prospect(self) -> bytes:
        """All of it that tells of coming demand and supply: equal ones have the same futures."""
        count = self.stock_count
        told = [np.array([count.day, self.since_review]), count.smoothed, count.last_demand]
        return b"".join(array.tobytes() for array in (*told, count.confirmed))


class AnnouncedSupply(CutSupply):
    """Supply with the cuts that a stock count announces, and none after them."""

    def __init__(self, scenario: Scenario, network: Network, start: Start) -> None:
        super().__init__(scenario, network)
        self._first_period = start.since_review
        self._shares = np.vstack([start.stock_count.confirmed, np.ones((1, network.num_dcs))])

    def look_ahead(self, seed: SeedArray, period: IntArray, days: int) -> FloatArray:
        """Returns the announced shares of so many periods from this one on, (B, W, days)."""
        del seed
        ahead = period[:, None] - self._first_period + np.arange(days)
        shares = self._shares[np.minimum(ahead, len(self._shares) - 1)]  # (B, days, W)
        return shares.swapaxes(1, 2)


def draw_start(env: BatchedEnv, futures: range) -> State:
    """Returns the first states of some futures, of which a stock count replaces the stock.

    What is left of it, seeds and return rates, is the same for all stock counts.
    """
    return env.simulator.make_state(make_seeds("recommend", 0, len(futures), skip=futures.start))


def restore(env: BatchedEnv, start: Start) -> None:
    """Puts an environment of one copy into the counted state.

    Args:
        env: one copy.
        start: what was counted, and what is held.
    """
    # The states of a recommendation begin on a weekday, whatever the day.
    own = choose_day(env, start.stock_count.day)
    env.move_dates(start.stock_count.day - own)
    if env.scenario.supply_cuts is not None:
        env.simulator.put(AnnouncedSupply(env.scenario, env.network, start))
    state, signals = begin(env, start, draw_start(env, range(1)))
    env.restore(state, signals.known, signals.last_demand, dict(start.held))


def begin(
    env: BatchedEnv, start: Start, drawn: State, soon: int | None = None
) -> tuple[State, Signals]:
    """Returns the counted state of all copies, and what is known beside it.

    Args:
        env: restored to the same start; it is not touched.
        start: what was counted.
        drawn: what `draw_start` returned. Its copies differ in what today and the next days bring.
        soon: days that will be simulated. Returns that are due later are then left out, which saves
            most of the work where they come after weeks; null: all are there to be observed.
    """
    copies, stock_count, demand = len(drawn.seed), start.stock_count, env.simulator.demand
    units = {
        field: _spread(array[:soon] if field in _DUE else array, copies)
        for field, array in stock_count.units.items()
    }
    known = env.forecast.begin(np.full(copies, choose_origin(demand, stock_count.day)))
    given, mean = np.moveaxis(stock_count.smoothed, 0, -1), known.smoothed[0]
    smoothed = np.where(np.isnan(given), mean, given)
    known = replace(known, smoothed=_spread(smoothed, copies))
    sold = np.moveaxis(stock_count.last_demand, 0, -1)
    last_demand = np.where(np.isnan(sold), np.rint(smoothed), sold).astype(np.int64)
    has_queue, shelves = drawn.inspection_queue is not None, env.simulator.find(Spoil)
    on_hand = units["on_hand"][:, 0]
    state = replace(
        drawn,
        on_hand=on_hand,
        in_transit=units["in_transit"],
        in_inspection=units["in_inspection"],
        backorders=units["backorders"],
        returns_due=units["returns_due"],
        mail_due=None if drawn.mail_due is None else units["mail_due"],
        inspection_queue=units["inspection_queue"][:, 0] if has_queue else None,
        period=np.full(copies, start.since_review),
        day=np.full(copies, choose_day(env, stock_count.day)),
        log_drift=_estimate_log_drift(drawn, smoothed, mean),
        record_error=None if drawn.record_error is None else np.zeros_like(drawn.record_error),
        spent=_spend(drawn, stock_count),
        shelf=None if shelves is None else _fill_shelves(shelves, on_hand, units.get("expires")),
    )
    return state, env.make_signals(state, known, _spread(last_demand, copies))


def _spend(drawn: State, stock_count: StockCount) -> FloatArray | None:
    """Money spent this week by supplier, (B, J), as far as it is known."""
    if drawn.spent is None or stock_count.spent is None:
        return drawn.spent
    return drawn.spent + stock_count.spent


def _fill_shelves(shelves: Spoil, on_hand: IntArray, old: IntArray | None) -> IntArray:
    """Units in stores by the days that they have left, (B, A, S, K): what is not old is fresh."""
    counted = on_hand[:, shelves.network.num_dcs :]
    if old is None:
        return shelves.make_fresh(counted)
    return old + shelves.make_fresh(counted - old.sum(axis=1))


def _spread(array: ArrayT, copies: int) -> ArrayT:
    return np.repeat(array[None], copies, axis=0)


def choose_origin(demand: DemandProcess, day: int) -> int:
    """Returns the day before which everything is known: today, or the end of a record before it.

    A day that is too early to know anything is taken for a day of the week alone.
    """
    if not isinstance(demand, TraceDemand):
        return day
    return min(day, demand.num_days) if day >= demand.burn_in else demand.num_days


def choose_day(env: BatchedEnv, day: int) -> int:
    """Returns where in the demand's calendar the copies begin.

    A record of demand has no future; its units are replaced, and the weekday is all that counts,
    unless orders have a calendar with holidays. Running forecasts know weekdays from any day.
    """
    demand = env.simulator.demand
    forecast = getattr(env.forecast, "forecast", env.forecast)
    if not isinstance(demand, TraceDemand):
        return day
    if env.network.schedule is not None and isinstance(forecast, Running):
        return day
    return day % demand.cycle


def _estimate_log_drift(state: State, smoothed: FloatArray, mean: FloatArray) -> FloatArray | None:
    """What smoothed demand says of demand's hidden drift, (B, S, K); None without one."""
    if state.log_drift is None:
        return None
    share = sum_channels(smoothed) / np.maximum(sum_channels(mean), 1e-9)
    estimate = np.log(np.maximum(share, _LOWEST_DRIFT))
    return np.broadcast_to(estimate, state.log_drift.shape).copy()
