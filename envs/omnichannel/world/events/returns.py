"""Event 6: returns (eq. 2): which units come back to the stores, when, and what becomes of them."""

from __future__ import annotations

import numpy as np

from envs.compiler import compiled
from envs.omnichannel.data import load_return_delays
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.returns import (
    Delay,
    GeometricDelay,
    LognormalDelay,
    RecordedDelay,
    TableDelay,
)
from envs.omnichannel.types import (
    CONSOLIDATE,
    LIQUIDATE,
    ONLINE,
    RESTOCK,
    Demand,
    FloatArray,
    IntArray,
    Network,
    SeedArray,
    State,
    no_units,
    sum_channels,
)
from envs.omnichannel.world import draws
from envs.omnichannel.world.allocation.largest_remainder import split_by_shares
from envs.omnichannel.world.period import Event, Fields, Period


class ReturnProcess:
    """Units that come back: lambda times the basis (sales or demand), spread over the delays.

    Attributes:
        delays: probability of a delay of 0, 1, ... days, (D,), sum 1.
        rate: lambda by store and SKU before the random shift, (S, K).
    """

    def __init__(self, scenario: Scenario) -> None:
        rules = scenario.returns
        categories = [scenario.categories[sku.category] for sku in scenario.skus]
        self.basis = rules.basis
        self.spread = rules.store_spread
        self.rate = np.array(
            [
                [store.return_factor * category.return_rate for category in categories]
                for store in scenario.network.stores
            ]
        )
        self.scrap_rate = np.array(
            [1 - (rules.resaleable if c.resaleable is None else c.resaleable) for c in categories]
        )
        perishes = np.array([sku.shelf_life is not None for sku in scenario.skus])
        self.scrap_rate[perishes] = 1.0  # nobody sells food that came back
        self.factors = np.array([getattr(rules, f"{c}_factor", 1.0) for c in scenario.channels])
        self._to_store = np.ones(len(scenario.channels))
        self._to_store[ONLINE] -= rules.by_mail
        # Asked in every period, so known beforehand.
        self._scraps = bool(self.scrap_rate.any())
        self._are_alike = not rules.by_mail and bool((self.factors == 1).all())  # the channels
        self.delays = make_delays(rules.delay)
        cumulative = np.cumsum(self.delays)
        cumulative[-1] = 1.0  # not a rounding error less, or a unit could be forgotten
        self._cumulative = cumulative

    def sample_rate(self, seed: SeedArray) -> FloatArray:
        """Draws each episode's return rates, (B, S, K): the category's +- the store's spread."""
        uniform = draws.sample_uniform(
            seed, np.zeros(len(seed), np.int64), draws.RETURN_RATE, self.rate.shape
        )
        return np.clip(self.rate + self.spread * (2 * uniform - 1), 0, 1)

    def collect(self, due: IntArray, sold: IntArray, demand: Demand) -> tuple[IntArray, IntArray]:
        """Adds the returns of a period's sales to those due, and takes out what comes back now.

        Source: eq. 2, returns = lambda x basis, over all channels. Expected returns are rounded by
        one uniform per cell along the cumulative delay distribution, so each delay's mean is
        exact, every value is an integer >= 0 and the sum is floor(lambda x basis + u).

        Args:
            due: with customers by delay, to come back to the store, (B, D, S, K).
            sold: units handed over, (B, S, K, C).
            demand: of the period, with its rounding draws.

        Returns:
            What comes back to the stores now, (B, S, K), and what is due from the next period on.
        """
        expected = self._expect(sold, demand, self._to_store)
        return self._collect(due, expected, demand.return_rounding)

    def collect_mail(
        self, due: IntArray, sold: IntArray, demand: Demand
    ) -> tuple[IntArray, IntArray]:
        """The same for what goes by mail to the DC."""
        # 1 - u is as uniform as u, and keeps the sum of both near its expectation.
        expected = self._expect(sold, demand, 1 - self._to_store)
        return self._collect(due, expected, 1 - demand.return_rounding)

    def scrap(self, returned: IntArray, rounding: FloatArray) -> IntArray:
        """Returns the units, (B, S, K), that cannot be sold again.

        Args:
            returned: units that came back, (B, S, K).
            rounding: uniform in (0, 1), (B, S, K).
        """
        if not self._scraps:
            return no_units(returned.shape)
        expected = returned * self.scrap_rate
        scrapped = np.floor(expected + rounding).astype(np.int64)
        return np.minimum(scrapped, returned)

    def _expect(self, sold: IntArray, demand: Demand, shares: FloatArray) -> FloatArray:
        """Expected returns, (B, S, K), of the given share of each channel's, (C,)."""
        basis = sold if self.basis == "sales" else demand.units
        if self._are_alike:
            return demand.return_rate * sum_channels(basis)
        rate = np.minimum(demand.return_rate[..., None] * self.factors, 1)
        return (rate * basis) @ shares

    def _collect(
        self, due: IntArray, expected: FloatArray, rounding: FloatArray
    ) -> tuple[IntArray, IntArray]:
        flat = (len(due), -1)
        returned, after = _collect_returns(
            due.reshape(*due.shape[:2], -1),
            expected.reshape(flat),
            rounding.reshape(flat),
            self._cumulative,
        )
        return returned.reshape(expected.shape), after.reshape(due.shape)


class TakeBack(Event):
    """Returns come to the stores; what can be sold again is restocked, consolidated or liquidated.

    Attributes:
        process: which units come back, and when.
    """

    def __init__(self, scenario: Scenario, network: Network) -> None:
        super().__init__(scenario, network)
        self.process = ReturnProcess(scenario)

    def begin(self, seed: SeedArray, on_hand: IntArray) -> Fields:
        """Returns `return_rate` and `returns_due`: nothing is due yet."""
        net, delays = self.network, len(self.process.delays)
        shape = (len(seed), delays, net.num_stores, net.num_skus)
        return {
            "return_rate": self.process.sample_rate(seed),
            "returns_due": np.zeros(shape, np.int64),
        }

    def draw(self, state: State) -> dict[str, FloatArray | IntArray]:
        """Draws what rounds expected returns and expected scrap."""
        seed, period, cells = state.seed, state.period, state.return_rate.shape[1:]
        return {
            "return_rate": state.return_rate,
            "return_rounding": draws.sample_uniform(seed, period, draws.RETURN_ROUNDING, cells),
            "scrap_rounding": draws.sample_uniform(seed, period, draws.SCRAP_ROUNDING, cells),
        }

    def apply(self, period: Period) -> None:
        """Collects, scraps a part, and disposes of the rest in the decided shares."""
        state, demand, flows = period.state, period.demand, period.flows
        returned, period.after["returns_due"] = self.process.collect(
            state.returns_due, period.handed_over, demand
        )
        scrapped = self.process.scrap(returned, demand.scrap_rounding)
        disposed = split_by_shares(returned - scrapped, period.decisions.disposition)
        flows["returned"], flows["scrapped"] = returned, scrapped
        flows["restocked"] = period.to_inspect = disposed[..., RESTOCK]
        flows["consolidated"] = disposed[..., CONSOLIDATE]
        flows["liquidated"] = disposed[..., LIQUIDATE]


@compiled
def _collect_returns(
    due: IntArray, expected: FloatArray, rounding: FloatArray, cumulative: FloatArray
) -> tuple[IntArray, IntArray]:
    """Spreads new returns over the delays, and takes out what comes back now.

    Args:
        due: with customers by delay, (B, D, n).
        expected: new returns, (B, n), not rounded.
        rounding: uniform in (0, 1), (B, n).
        cumulative: probability of at most each delay, (D,).

    Returns:
        What comes back now, (B, n), and what is due then, (B, D, n).
    """
    copies, delays, cells = due.shape
    returned = np.empty((copies, cells), np.int64)
    after = np.empty_like(due)
    counted = np.empty(cells, np.int64)
    for b in range(copies):
        new, uniform, before, later = expected[b], rounding[b], due[b], after[b]
        for n in range(cells):
            counted[n] = int(new[n] * cumulative[0] + uniform[n])
            returned[b, n] = before[0, n] + counted[n]
        for d in range(1, delays):
            for n in range(cells):
                # Rounded down along the cumulative distribution: each delay's mean is exact.
                so_far = int(new[n] * cumulative[d] + uniform[n])
                later[d - 1, n] = before[d, n] + so_far - counted[n]
                counted[n] = so_far
        later[delays - 1] = 0
    return returned, after


def make_delays(delay: Delay) -> FloatArray:
    """Returns the probability of a delay of 0, 1, ... days, (D,), sum 1."""
    if isinstance(delay, RecordedDelay):
        return np.concatenate([[0.0], load_return_delays()])
    if isinstance(delay, TableDelay):
        probabilities = np.zeros(max(delay.probabilities) + 1)
        probabilities[list(delay.probabilities)] = list(delay.probabilities.values())
    elif isinstance(delay, LognormalDelay):
        # A return d - 0.5 days after the sale comes on day d: F(d) - F(d - 1), day 0 has none.
        days = np.arange(1, delay.longest + 1)
        from scipy.special import ndtr

        below = ndtr(np.log(days / delay.median) / delay.sigma)
        probabilities = np.diff(below, prepend=[0.0, 0.0])
    elif isinstance(delay, GeometricDelay):
        probabilities = np.zeros(delay.longest + 1)
        tries = np.arange(delay.longest + 1 - delay.first)
        probabilities[delay.first :] = delay.probability * (1 - delay.probability) ** tries
    else:
        probabilities = np.zeros(delay.high + 1)
        probabilities[delay.low :] = 1.0
    return probabilities / probabilities.sum()
