"""Findings in the training days, each with its 95% interval and its n.

Intervals are percentiles of a bootstrap over whole weeks, because the days of a week hang together
(Efron & Tibshirani, An introduction to the bootstrap, 1993, section 8.6); over store-SKUs or
return rows where the text says so.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import fdtrc

from envs.omnichannel.types import WEEK, FloatArray, IntArray
from envs.omnichannel.world.demand.recorded import Counts
from marl.planning.from_data.dataset import Dataset, DemandRecords
from marl.planning.from_data.series import split_series, sum_channels

RESAMPLES = 1000
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
SHORTEST_SEASON = 4  # weeks
FEWEST_CYCLES = 1.5  # of a season within the records, or it is taken for a trend
SEASON_LEVEL = 0.001  # chance of finding a season in noise
# Source: Syntetos, Boylan & Croston 2005, On the categorization of demand patterns, JORS 56.
INTERMITTENT_INTERVAL = 1.32  # days between demand days
ERRATIC_CV2 = 0.49  # squared cv of the size of a demand day


@dataclass(frozen=True)
class Estimate:
    """A number, its 95% interval, and how many observations it rests on."""

    value: float
    low: float
    high: float
    n: int  # of `of`
    of: str


@dataclass(frozen=True)
class Season:
    """The sine that fits the daily totals best."""

    period: int  # days or weeks
    amplitude: Estimate  # as a share of the mean


@dataclass(frozen=True)
class Summary:
    """What the training days show."""

    period: str  # day or week
    days: int  # or weeks
    units_a_day: Estimate
    online_share: Estimate | None  # of all units; None: one channel
    weekdays: dict[str, Estimate]  # factor of the mean day; empty of weeks
    season: Season | None  # None: none that noise could not have made
    noise: Estimate  # sd / mean of a store-SKU's day, weekday taken out: the median one
    zero_days: Estimate  # share of store-SKU-days without a sale
    patterns: dict[str, int]  # store-SKUs by kind of demand
    return_rate: Estimate | None  # None: no file of returns
    return_rates: dict[str, Estimate]  # by category
    return_delay: dict[str, Estimate]  # days: mean, median, p90; empty: no sale dates
    promotion_uplift: Estimate | None

    def to_json(self) -> dict[str, Any]:
        """Returns plain values."""
        return asdict(self)


def summarise(data: Dataset, train_days: int, categories: list[str]) -> Summary:
    """Returns what the training days show.

    Args:
        data: the checked files.
        train_days: first days, which the scenario trains on; the others are left alone.
        categories: of each SKU of the demand.
    """
    units, cycle = data.demand.units[:train_days], data.demand.cycle
    total = units.sum(axis=(1, 2, 3)).astype(np.float64)
    by_channel = units.sum(axis=(1, 2))
    cells = sum_channels(units).reshape(train_days, -1)  # (days, S x K)
    sold = np.flatnonzero(cells.any(axis=0))
    online = None
    if "online" in data.demand.channels and len(data.demand.channels) > 1:
        column = by_channel[:, data.demand.channels.index("online")]
        online = _estimate_ratio(column, total, cycle)
    rate, rates = _estimate_return_rates(data, units, categories)
    return Summary(
        period=data.demand.period,
        days=train_days,
        units_a_day=_estimate_ratio(total, np.ones(train_days), cycle),
        online_share=online,
        weekdays=_estimate_weekdays(data.demand, total) if cycle > 1 else {},
        season=_find_season(total, cycle),
        noise=_estimate_noise(cells, sold, cycle),
        zero_days=_estimate_ratio(
            (cells == 0).sum(axis=1), np.full(train_days, cells.shape[1]), cycle
        ),
        patterns=_count_patterns(cells, sold),
        return_rate=rate,
        return_rates=rates,
        return_delay=_estimate_delays(data, train_days),
        promotion_uplift=_estimate_uplift(data.demand, train_days),
    )


def compute_delay_table(data: Dataset, train_days: int, longest: int) -> dict[int, float]:
    """Returns the share of returned units by days since the sale; later ones count as `longest`."""
    delay, weight = _get_delays(data, train_days)
    if not weight.sum():
        return {}
    counts = np.bincount(np.minimum(delay, longest), weights=weight)
    shares = np.round(counts / counts.sum(), 6)
    shares[shares.argmax()] += 1 - shares.sum()  # rounded for reading, and still a distribution
    return {int(day): float(np.round(shares[day], 6)) for day in np.flatnonzero(counts)}


def _resample(num: int, seed: int = 0) -> IntArray:
    """Row numbers of the bootstrap's samples, (RESAMPLES, num)."""
    return np.random.default_rng(seed).integers(num, size=(RESAMPLES, num))


def _enclose(value: float, resampled: FloatArray, n: int, of: str) -> Estimate:
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Estimate(float(value), float(low), float(high), n, of)


def _group_weeks(by_day: FloatArray | IntArray, cycle: int) -> FloatArray:
    """Whole weeks, the last ones, (weeks, cycle, ...)."""
    weeks = len(by_day) // cycle
    whole = by_day[len(by_day) - weeks * cycle :].astype(np.float64)
    return whole.reshape(weeks, cycle, *by_day.shape[1:])


def _estimate_ratio(
    above: FloatArray | IntArray, below: FloatArray | IntArray, cycle: int
) -> Estimate:
    """The ratio of two sums over days, its interval from a bootstrap over weeks."""
    starts = np.arange(0, len(above), cycle)  # the last week may be short
    weekly = [np.add.reduceat(part.astype(np.float64), starts) for part in (above, below)]
    chosen = _resample(len(weekly[0]))
    sums = [part[chosen].sum(axis=1) for part in weekly]
    ratios = sums[0] / np.maximum(sums[1], 1e-9)
    value = above.sum() / max(float(below.sum()), 1e-9)
    return _enclose(value, ratios, len(weekly[0]), "weeks")


def _estimate_weekdays(demand: DemandRecords, total: FloatArray) -> dict[str, Estimate]:
    first = demand.first_day.weekday()
    weekday = (np.arange(len(total)) + first) % WEEK
    means = np.array([total[weekday == d].mean() for d in range(WEEK)])
    weeks = _group_weeks(total, WEEK)
    resampled = weeks[_resample(len(weeks))].mean(axis=1)  # (RESAMPLES, 7)
    resampled /= np.maximum(resampled.mean(axis=1, keepdims=True), 1e-9)
    start = (first + len(total) - weeks.size) % WEEK
    factors = means / max(float(means.mean()), 1e-9)
    return {
        name: _enclose(factors[d], resampled[:, (d - start) % WEEK], len(weeks), "weeks")
        for d, name in enumerate(WEEKDAYS)
    }


def _find_season(total: FloatArray, cycle: int) -> Season | None:
    """The best sine of all whole periods, if noise would hardly fit one as well."""
    longest, shortest = int(len(total) / FEWEST_CYCLES), SHORTEST_SEASON * cycle
    mean = float(total.mean())
    if longest < shortest or mean == 0:
        return None
    day = np.arange(len(total))
    rest = total - np.array([total[day % cycle == d].mean() for d in range(cycle)])[day % cycle]
    periods = np.arange(shortest, longest + 1)
    fits = [_fit_sine(rest, int(period)) for period in periods]
    best = int(np.argmin([float(((rest - fit) ** 2).sum()) for fit in fits]))
    fit, error = fits[best], rest - fits[best]
    freedom = len(total) - cycle - 2
    ratio = float((fit**2).sum()) / 2 / max(float((error**2).sum()) / freedom, 1e-12)
    if fdtrc(2, freedom, ratio) * len(periods) > SEASON_LEVEL:
        return None
    period = int(periods[best])
    weeks = _group_weeks(error, cycle)
    offset = len(total) - weeks.size
    amplitudes = []
    for chosen in _resample(len(weeks))[:200]:
        again = fit.copy()
        again[offset:] += weeks[chosen].reshape(-1)
        amplitudes.append(_measure_amplitude(_fit_sine(again, period)))
    value = _measure_amplitude(fit) / mean
    amplitude = _enclose(value, np.array(amplitudes) / mean, len(weeks), "weeks")
    return Season(period, amplitude)


def _fit_sine(values: FloatArray, period: int) -> FloatArray:
    """The least-squares sine of a period, on each day."""
    angle = 2 * np.pi * np.arange(len(values)) / period
    waves = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    fitted: FloatArray = waves @ np.linalg.lstsq(waves, values, rcond=None)[0]
    return fitted


def _measure_amplitude(fit: FloatArray) -> float:
    return float(np.ptp(fit) / 2)


def _estimate_noise(cells: Counts, sold: IntArray, cycle: int) -> Estimate:
    """The median of sd / mean over store-SKUs that sold, the weekday's mean taken out."""
    if not len(sold):
        return Estimate(0.0, 0.0, 0.0, 0, "store-SKUs")
    cv = np.concatenate([_measure_noise(block, cycle) for block in split_series(cells, sold)])
    chance = np.random.default_rng(0)  # each draw is a row of `_resample`
    medians = [np.median(cv[chance.integers(len(cv), size=len(cv))]) for _ in range(200)]
    return _enclose(float(np.median(cv)), np.array(medians), len(cv), "store-SKUs")


def _measure_noise(cells: IntArray, cycle: int) -> FloatArray:
    day = np.arange(len(cells)) % cycle
    rest = cells.astype(np.float64)
    for d in range(cycle):
        rest[day == d] -= rest[day == d].mean(axis=0)
    # Each of the means uses up a degree of freedom.
    sd: FloatArray = np.sqrt((rest**2).sum(axis=0) / max(len(cells) - cycle, 1))
    return sd / cells.mean(axis=0)


def _count_patterns(cells: Counts, sold: IntArray) -> dict[str, int]:
    """Store-SKUs that sold by how often and how evenly they do."""
    found = Counter[str](dict.fromkeys(("smooth", "erratic", "intermittent", "lumpy"), 0))
    for block in split_series(cells, sold):
        found.update(_classify(block))
    return dict(found)


def _classify(cells: IntArray) -> dict[str, int]:
    demand_days = (cells > 0).sum(axis=0)
    interval = len(cells) / np.maximum(demand_days, 1)
    size = cells.sum(axis=0) / np.maximum(demand_days, 1)
    square = (cells.astype(np.float64) ** 2).sum(axis=0) / np.maximum(demand_days, 1)
    erratic = (square - size**2) / np.maximum(size, 1e-9) ** 2 >= ERRATIC_CV2
    rare = interval >= INTERMITTENT_INTERVAL
    return {
        "smooth": int((~rare & ~erratic).sum()),
        "erratic": int((~rare & erratic).sum()),
        "intermittent": int((rare & ~erratic).sum()),
        "lumpy": int((rare & erratic).sum()),
    }


def _estimate_return_rates(
    data: Dataset, units: Counts, categories: list[str]
) -> tuple[Estimate | None, dict[str, Estimate]]:
    """Units returned / units sold within the training days: of all, and by category."""
    if data.returns is None:
        return None, {}
    days, _, skus, _ = units.shape
    inside = (data.returns.day >= 0) & (data.returns.day < days)
    key = data.returns.day[inside] * skus + data.returns.sku[inside]
    returned = np.bincount(key, data.returns.units[inside], days * skus).reshape(days, skus)
    sold = units.sum(axis=(1, 3))
    member = np.array(categories)
    by_category = {
        category: _estimate_ratio(
            returned[:, member == category].sum(axis=1),
            sold[:, member == category].sum(axis=1),
            data.demand.cycle,
        )
        for category in dict.fromkeys(categories)
    }
    rate = _estimate_ratio(returned.sum(axis=1), sold.sum(axis=1), data.demand.cycle)
    return rate, by_category


def _get_delays(data: Dataset, train_days: int) -> tuple[IntArray, IntArray]:
    """Days since the sale and units of the returns in the training days that have a sale date."""
    returns = data.returns
    if returns is None:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    known = (returns.delay >= 0) & (returns.day < train_days)
    return returns.delay[known], returns.units[known]


def _estimate_delays(data: Dataset, train_days: int) -> dict[str, Estimate]:
    delay, weight = _get_delays(data, train_days)
    if not weight.sum():
        return {}
    order = np.argsort(delay, kind="stable")
    delay, weight = delay[order], weight[order].astype(np.float64)
    share = np.full(len(delay), 1 / len(delay))

    def estimate(measure: Any) -> Estimate:
        chance = np.random.default_rng(0)
        # As many rows as there were, drawn with replacement: how often each was drawn.
        draws = (chance.multinomial(len(delay), share) for _ in range(200))
        resampled = np.array([measure(weight * drawn) for drawn in draws])
        return _enclose(measure(weight), resampled, len(delay), "return rows")

    def mean(weights: FloatArray) -> float:
        return float((delay * weights).sum() / max(weights.sum(), 1e-9))

    def quantile(weights: FloatArray, share: float) -> float:
        reached = np.cumsum(weights)
        return float(delay[min(np.searchsorted(reached, share * reached[-1]), len(delay) - 1)])

    return {
        "mean": estimate(mean),
        "median": estimate(lambda weights: quantile(weights, 0.5)),
        "p90": estimate(lambda weights: quantile(weights, 0.9)),
    }


def _estimate_uplift(demand: DemandRecords, train_days: int) -> Estimate | None:
    """Units on promoted days over those that the same store-SKUs sell on their other days."""
    if demand.promotion is None or not demand.promotion[:train_days].any():
        return None
    units, promoted = sum_channels(demand.units[:train_days]), demand.promotion[:train_days]
    plain = sum(
        np.where(own, 0, day).astype(np.int64) for day, own in zip(units, promoted, strict=True)
    )
    usual = plain / np.maximum(train_days - promoted.sum(axis=0), 1)  # (S, K)
    return _estimate_ratio(
        np.array([day[own].sum() for day, own in zip(units, promoted, strict=True)], np.float64),
        np.array([(usual * own).sum() for own in promoted]),
        demand.cycle,
    )
