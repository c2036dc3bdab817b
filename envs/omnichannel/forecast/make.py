"""The forecast of a scenario, by the name of its method."""

from __future__ import annotations

from hashlib import sha256

from envs.errors import InputError
from envs.omnichannel.forecast.dated import wrap_dates
from envs.omnichannel.forecast.foresight import Foresight
from envs.omnichannel.forecast.history import History
from envs.omnichannel.forecast.learner import Rates
from envs.omnichannel.forecast.running import Running
from envs.omnichannel.forecast.strategies import (
    Forecast,
    KnownMean,
    Oracle,
    SeasonalSmoothing,
    count_days_ahead,
)
from envs.omnichannel.scenario.demand import ForecastSettings
from envs.omnichannel.types import Network
from envs.omnichannel.world.demand import DemandProcess
from envs.omnichannel.world.demand.traces import TraceDemand

# Every environment, rule and tuner of a scenario rolls the same record.
_MOST_ROLLED = 2
_ROLLED: dict[tuple[bytes, tuple[int, ...], Rates, int], History] = {}
_METHODS: dict[str, type[SeasonalSmoothing]] = {
    "smoothing": SeasonalSmoothing,
    "mean": KnownMean,
    "oracle": Oracle,
}


def make_forecast(
    demand: DemandProcess,
    settings: ForecastSettings,
    network: Network,
    *,
    counts_sales_days: bool = False,
) -> Forecast:
    """Builds the scenario's forecast; args and errors as of `_make_always`."""
    found = _make_always(demand, settings, network, counts_sales_days=counts_sales_days)
    return wrap_dates(found, network)


def _make_always(
    demand: DemandProcess,
    settings: ForecastSettings,
    network: Network,
    *,
    counts_sales_days: bool,
) -> Forecast:
    """Builds the forecast of demand that has no dates.

    Args:
        demand: what is to be foreseen.
        settings: how.
        network: for how far ahead.
        counts_sales_days: whether agents see how often and how lately an item sells.

    Raises:
        InputError: if a method that learns from a record is asked for without one.
    """
    days_ahead = count_days_ahead(network)
    if settings.method in _METHODS:
        method = _METHODS[settings.method]
        if isinstance(demand, TraceDemand) and method is Oracle:
            method = Foresight
        return method(
            demand, settings, days_ahead, network.cycle, counts_sales_days=counts_sales_days
        )
    if not isinstance(demand, TraceDemand):
        raise InputError(
            f"forecast.method: {settings.method!r} is not allowed; it learns from a record, which "
            "demand of process trace alone has; smoothing, mean or oracle is needed"
        )
    history = roll_record(demand, settings)
    return Running(
        history,
        settings,
        days_ahead,
        in_stock=demand.in_stock,
        counts_sales_days=counts_sales_days,
    )


def roll_record(demand: TraceDemand, settings: ForecastSettings) -> History:
    """Returns what a record says before each of its days; the latest ones are remembered."""
    rates, units = Rates.from_settings(settings), demand.recorded
    stock = b"" if demand.in_stock is None else demand.in_stock.tobytes()
    key = (sha256(units.tobytes() + stock).digest(), units.shape, rates, demand.cycle)
    if key not in _ROLLED:
        while len(_ROLLED) >= _MOST_ROLLED:
            del _ROLLED[next(iter(_ROLLED))]
        _ROLLED[key] = History.roll(units, rates, demand.in_stock, cycle=demand.cycle)
    return _ROLLED[key]
