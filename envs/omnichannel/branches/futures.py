"""Imagined futures of the world, drawn from what is known today.

They are recordings like those of episodes that happened, so decisions are tried on them in the
same way (`branching`); but nothing in them depends on what the world will really do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from envs.errors import InputError
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.branches.branching import Recording, join_records
from envs.omnichannel.forecast.strategies import Forecast
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.demand import Trace
from envs.omnichannel.types import FloatArray, IntArray, SeedArray, Signals, State, View
from envs.omnichannel.world import draws
from envs.omnichannel.world.events.supply_cuts import CutSupply
from envs.omnichannel.world.simulator import Simulator

_CASES = 256  # episodes from which the belief is estimated
_LOWEST_RATIO = 0.05  # of sales to their mean; its log is taken


class FutureSampler:
    """Draws futures that agree with a view.

    Known are stocks and pipelines as the view shows them, the announced supply cuts and smoothed
    demand. Not known, and drawn anew: demand and its hidden drift, lead times of coming orders,
    returns of coming sales, and cuts that are not announced yet.

    Args:
        env: of the scenario; its copies are not touched.

    Raises:
        InputError: if the scenario replays records or has promotions, whose futures have no
            distribution to draw from.
    """

    def __init__(self, env: BatchedEnv) -> None:
        _check(env.scenario)
        self.simulator, self.forecast = env.simulator, env.forecast
        self.belief = DriftBelief(env.simulator, env.forecast)

    def look(self, env: BatchedEnv) -> Futures:
        """Returns the futures of an environment's copies, which are not touched."""
        recorded = env.simulator.show(env.state)
        return Futures(self, env.view, recorded)

    def sample(self, view: View, recorded: State, seeds: SeedArray, periods: int) -> Recording:
        """Returns F futures of each of B copies; future f of copy b is entry b F + f.

        Args:
            view: what is known, (B, ...).
            recorded: its state, of which the draws of the future are replaced, (B, ...).
            seeds: of the futures, the same for all copies, (F,).
            periods: T, from the view's own on.
        """
        copies = np.repeat(np.arange(len(view.smoothed)), len(seeds))
        now, state = view.select(copies), recorded.select(copies)
        imagined = np.tile(seeds, len(view.smoothed))
        cuts = self._imagine_cuts(state, periods, imagined)
        start = replace(state, seed=imagined, log_drift=self.belief.sample(now, imagined))
        state, known, last_demand = start, now.known, now.last_demand
        signals, demand, dates = [], [], self.simulator.network.dates
        for ahead in range(periods):
            brought = self.simulator.sample_demand(state)
            if cuts is not None:
                brought = replace(brought, confirmed=cuts[..., ahead])
            signals.append(
                Signals(
                    forecast=self.forecast.predict_week(known, state),
                    ahead=self.forecast.look_ahead(known, state),
                    last_demand=last_demand,
                    confirmed=_announce(cuts, now.confirmed, ahead),
                    starts_in=None if dates is None else dates.count_to_first(state.day),
                    ends_in=None if dates is None else dates.count_to_last(state.day),
                    **vars(known),
                )
            )
            demand.append(brought)
            known = self.forecast.update(known, brought.units, state)
            last_demand = brought.units
            state = pass_day(state, brought.next_log_drift)
        return Recording(join_records(signals), start, join_records(demand), len(copies))

    def _imagine_cuts(self, known: State, periods: int, imagined: SeedArray) -> FloatArray | None:
        """Shares of all periods and of what is announced in the last one, (B F, W, days)."""
        supply = self.simulator.find(CutSupply)
        if supply is None:
            return None
        days = periods + supply.cuts.notice
        return supply.imagine_ahead(known.seed, known.period, days, imagined)


@dataclass(frozen=True)
class Futures:
    """What may come in the copies of an environment from today on.

    Who decides reads `view` and asks for `sample`. The state behind them says what was announced
    and what is under way; what it hides, such as its seed, is replaced before anything is drawn.
    """

    sampler: FutureSampler
    view: View
    _recorded: State  # its stock as recorded

    def sample(self, seeds: SeedArray, periods: int) -> Recording:
        """Returns F futures of each copy, as `FutureSampler.sample` does."""
        return self.sampler.sample(self.view, self._recorded, seeds, periods)

    def select(self, copies: IntArray | slice) -> Futures:
        """The futures of some copies."""
        return Futures(self.sampler, self.view.select(copies), self._recorded.select(copies))


class DriftBelief:
    """What smoothed demand says about its hidden drift.

    For every cell and period, a linear regression of the log drift on the log ratio of smoothed to
    mean demand, from episodes of its own; what is left is taken as normal.

    Args:
        simulator: of the scenario.
        forecast: which smooths.
    """

    def __init__(self, simulator: Simulator, forecast: Forecast) -> None:
        self.mean = np.maximum(simulator.demand.mean.sum(axis=-1), 1e-9)  # (S, K)
        state = simulator.make_state(draws.make_seeds("belief", 0, _CASES))
        fits = []
        known = forecast.begin(state.day)
        for _ in range(simulator.scenario.horizon):
            if state.log_drift is None:
                break
            fits.append(_regress(self._observe(known.smoothed), state.log_drift))
            units = simulator.demand.sample_units(state)
            known = forecast.update(known, units, state)
            state = pass_day(state, simulator.demand.step_log_drift(state))
        self._fits = np.array(fits)  # (T, 3, S, K) slope, intercept, standard deviation

    def sample(self, view: View, seeds: SeedArray) -> FloatArray | None:
        """Draws a log drift for every copy, (B, S, K); None where there is none.

        Args:
            view: what is known, (B, ...).
            seeds: of the draws, (B,).
        """
        if not self._fits.size:
            return None
        from scipy.special import ndtri

        period = view.period
        slope, intercept, deviation = self._fits[period].swapaxes(0, 1)
        uniform = draws.sample_uniform(seeds, period, draws.DRIFT_BELIEF, self.mean.shape)
        drawn: FloatArray = (
            intercept + slope * self._observe(view.smoothed) + deviation * ndtri(uniform)
        )
        return drawn

    def _observe(self, smoothed: FloatArray) -> FloatArray:
        """Log ratio of smoothed demand, (B, S, K, C), to the mean, (B, S, K)."""
        ratio: FloatArray = np.log(np.maximum(smoothed.sum(axis=-1) / self.mean, _LOWEST_RATIO))
        return ratio


def _regress(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Slope, intercept and standard deviation of what is left, over the first axis."""
    centred = x - x.mean(axis=0)
    variance = (centred**2).mean(axis=0)
    slope = (centred * y).mean(axis=0) / np.maximum(variance, 1e-12)
    intercept = y.mean(axis=0) - slope * x.mean(axis=0)
    return slope, intercept, (y - intercept - slope * x).std(axis=0)


def _announce(
    cuts: FloatArray | None, confirmed: FloatArray | None, ahead: int
) -> FloatArray | None:
    """What is announced so many periods on, as far ahead as it is today, (B, W, H)."""
    if cuts is None or confirmed is None:
        return None
    return cuts[..., ahead : ahead + confirmed.shape[-1]]


def pass_day(state: State, log_drift: FloatArray | None) -> State:
    """The next day's calendar and drift; stocks stay as they are."""
    return replace(state, period=state.period + 1, day=state.day + 1, log_drift=log_drift)


def _check(scenario: Scenario) -> None:
    if isinstance(scenario.demand, Trace):
        raise InputError(
            f"demand.process: trace is not allowed here (scenario {scenario.name}): records have "
            "one future, which nobody may know; a drawn process is needed"
        )
    if scenario.demand.promotions is not None:
        raise InputError(
            f"demand.promotions: not allowed here (scenario {scenario.name}): futures that agree "
            "with what is announced cannot be drawn; none is needed"
        )
