"""Costs of a period by term, node and SKU, read from the flows (eq. 3, 4 and tiered transport).

A term is a class in the list `COST_TERMS`; reward, metrics, tables and reports go over that list. A
loop stands beside its term where NumPy would make many passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from operator import attrgetter

import numpy as np

from envs.compiler import compiled
from envs.omnichannel.flows import Flows
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import FloatArray, IntArray, Network
from envs.omnichannel.world.account.rates import (
    list_holding,
    list_late,
    list_lost_sale,
    list_premiums,
    list_waste,
)
from envs.omnichannel.world.account.term import Term
from envs.omnichannel.world.account.transport import Transport
from envs.omnichannel.world.allocation.shelf_space import ShelfSpace


@compiled
def _price_units(units: IntArray, rate: FloatArray, first: int, costs: FloatArray) -> None:
    """Prices units, (B, M, K), at a rate, (M, K) or (1, K) for all, from row `first` on."""
    copies, rows, skus = units.shape
    for b in range(copies):
        for i in range(rows):
            own = rate[i % len(rate)]
            for k in range(skus):
                costs[b, first + i, k] = units[b, i, k] * own[k]


class LostSales(Term):
    """A penalty per unit lost; a SKU may have its own, by channel, or its margin."""

    name, weight = "lost_sales", "alpha"

    def __init__(self, scenario: Scenario, network: Network) -> None:
        super().__init__(scenario, network)
        self.rate = list_lost_sale(scenario)

    def price(self, flows: Flows, money: FloatArray) -> None:
        """Adds up the channels."""
        _price_losses(flows.ledger.lost, self.rate, money)


@compiled
def _price_losses(lost: IntArray, rate: FloatArray, costs: FloatArray) -> None:
    copies, stores, skus, channels = lost.shape
    first = costs.shape[1] - stores
    for b in range(copies):
        for s in range(stores):
            for k in range(skus):
                money = 0.0
                for c in range(channels):
                    money += lost[b, s, k, c] * rate[k, c]
                costs[b, first + s, k] = money


class Late(Term):
    """A penalty per unit and period that an order waits; a SKU may have its own."""

    name, weight = "late", "alpha"

    def __init__(self, scenario: Scenario, network: Network) -> None:
        super().__init__(scenario, network)
        self.rate = list_late(scenario)[None]

    def price(self, flows: Flows, money: FloatArray) -> None:
        """Charges the orders that are open at the end."""
        _price_units(flows.ledger.waiting, self.rate, self.first_store, money)


class Holding(Term):
    """Eq. 3: units x rate x days, on the stock at the end of the period."""

    name, weight = "holding", "beta"

    def __init__(self, scenario: Scenario, network: Network) -> None:
        super().__init__(scenario, network)
        stores, dcs = list_holding(scenario)
        counts = [network.num_dcs, network.num_stores]
        self.rate = np.repeat(np.stack([dcs, stores]), counts, axis=0)  # (N, K)

    def price(self, flows: Flows, money: FloatArray) -> None:
        """Charges the stock of every node."""
        _price_units(flows.ledger.on_hand, self.rate, 0, money)


class Overflow(Term):
    """A rate per unit above a node's capacity, shared among SKUs by their stock."""

    name, weight = "overflow", "beta"

    def __init__(self, scenario: Scenario, network: Network) -> None:
        super().__init__(scenario, network)
        self.capacity = network.capacity
        self._is_limited = bool(np.isfinite(network.capacity).any())

    def price(self, flows: Flows, money: FloatArray) -> None:
        """Charges the nodes that have a capacity."""
        if self._is_limited:
            _price_overflow(flows.ledger.on_hand, self.capacity, self.rates.overflow, money)


@compiled
def _price_overflow(
    on_hand: IntArray, capacity: FloatArray, rate: float, costs: FloatArray
) -> None:
    copies, nodes, skus = on_hand.shape
    for b in range(copies):
        for i in range(nodes):
            stock = 0
            for k in range(skus):
                stock += on_hand[b, i, k]
            above = max(stock - capacity[i], 0.0) * rate
            for k in range(skus):
                costs[b, i, k] = above / max(stock, 1) * on_hand[b, i, k]


class Ordering(Term):
    """A fixed cost per supplier order line, and what a supplier's own price is above the SKU's."""

    name, weight = "ordering", "delta"

    def __init__(self, scenario: Scenario, network: Network) -> None:
        super().__init__(scenario, network)
        self._premium = list_premiums(scenario)

    def price(self, flows: Flows, money: FloatArray) -> None:
        """Charges the lines that are not empty."""
        orders = money[:, : self.first_store]
        if self.rates.fixed_order:
            orders[:] = self.rates.fixed_order * (flows.supplied > 0)
        if flows.supplier is not None:
            skus = np.arange(orders.shape[-1])
            orders += self._premium[flows.supplier, skus] * flows.supplied


class Returns(Term):
    """Eq. 4: a base fee per store, SKU and period with returns, and a fee by disposition."""

    name, weight = "returns", "gamma"

    def __init__(self, scenario: Scenario, network: Network) -> None:
        super().__init__(scenario, network)
        fees = ("base", "restock", "consolidate", "liquidate", "scrap", "mail")
        self._fees = np.array([getattr(self.rates, f"return_{fee}") for fee in fees])

    def price(self, flows: Flows, money: FloatArray) -> None:
        """Charges what came back."""
        _price_returns(_get_returned(flows.ledger), self._fees, money)


_get_returned = attrgetter(
    "returned", "restocked", "consolidated", "liquidated", "scrapped", "mailed"
)


@compiled
def _price_returns(units: tuple[IntArray, ...], fees: FloatArray, costs: FloatArray) -> None:
    returned, restocked, consolidated, liquidated, scrapped, mailed = units
    copies, stores, skus = returned.shape
    first = costs.shape[1] - stores
    for b in range(copies):
        for s in range(stores):
            for k in range(skus):
                money = fees[0] if returned[b, s, k] > 0 else 0.0
                money += restocked[b, s, k] * fees[1]
                money += consolidated[b, s, k] * fees[2]
                money += liquidated[b, s, k] * fees[3]
                money += scrapped[b, s, k] * fees[4]
                money += mailed[b, s, k] * fees[5]
                costs[b, first + s, k] = money


class Waste(Term):
    """Per unit that vanished from a store or on the way there, or spoilt in the store.

    What a supplier does not deliver costs nothing here: nobody pays for it.
    """

    name, weight = "waste", "beta"

    def __init__(self, scenario: Scenario, network: Network) -> None:
        super().__init__(scenario, network)
        self.rate = list_waste(scenario)[None]

    @classmethod
    def is_on(cls, scenario: Scenario) -> bool:
        """Where units can vanish or spoil."""
        return scenario.has_waste

    def price(self, flows: Flows, money: FloatArray) -> None:
        """Charges the stores."""
        units = flows.shrunk + flows.wasted
        if flows.undelivered is not None:
            units = units + flows.undelivered[:, self.first_store :]
        _price_units(units, self.rate, self.first_store, money)


class BackRoom(Term):
    """Per unit that a store's shelves do not hold, at the end of the period."""

    name, weight = "back_room", "beta"

    def __init__(self, scenario: Scenario, network: Network) -> None:
        super().__init__(scenario, network)
        space = ShelfSpace.from_scenario(scenario)
        assert space is not None, "the term is off"
        self.space = space

    @classmethod
    def is_on(cls, scenario: Scenario) -> bool:
        """Where shelves have rooms behind them that cost."""
        return scenario.back_room is not None

    def price(self, flows: Flows, money: FloatArray) -> None:
        """Charges the stores."""
        units = self.space.count_back_room(flows.on_hand[:, self.first_store :])
        money[:, self.first_store :] = units * self.space.cost[:, None]


COST_TERMS: tuple[type[Term], ...] = (
    LostSales, Late, Holding, Overflow, Transport, Ordering, Returns, Waste, BackRoom,
)  # fmt: skip
TERMS = tuple(term.name for term in COST_TERMS)
_INDEX = {name: i for i, name in enumerate(TERMS)}


class Costs(Mapping[str, FloatArray]):
    """Money a period by term, node and SKU: term -> (B, N, K).

    Args:
        by_term: the same as one array, (terms, B, N, K) in the order of `TERMS`.
    """

    def __init__(self, by_term: FloatArray) -> None:
        self.by_term = by_term

    def __getitem__(self, term: str) -> FloatArray:
        return self.by_term[_INDEX[term]]

    def __iter__(self) -> Iterator[str]:
        return iter(TERMS)

    def __len__(self) -> int:
        return len(TERMS)

    def weigh(self, weights: FloatArray) -> FloatArray:
        """Returns the sum of the terms under weights, (terms,), money, (B, N, K)."""
        weighted = np.zeros(self.by_term.shape[1:])
        _weigh_terms(self.by_term.reshape(len(weights), -1), weights, weighted.reshape(-1))
        return weighted


@compiled
def _weigh_terms(costs: FloatArray, weights: FloatArray, weighted: FloatArray) -> None:
    """Adds the terms of costs, (terms, n), up under weights, (terms,), into (n,) of zeros."""
    for term in range(len(costs)):
        if weights[term] != 0:
            for i in range(len(weighted)):
                weighted[i] += weights[term] * costs[term, i]


class CostModel:
    """Turns flows into money, term by term."""

    def __init__(self, scenario: Scenario, network: Network) -> None:
        terms = enumerate(COST_TERMS)
        self.terms = [(i, term(scenario, network)) for i, term in terms if term.is_on(scenario)]

    def compute_costs(self, flows: Flows) -> Costs:
        """Returns money by term, node and SKU."""
        by_term = np.zeros((len(TERMS), *flows.on_hand.shape))
        for i, term in self.terms:
            term.price(flows, by_term[i])
        return Costs(by_term)
