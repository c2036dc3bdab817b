"""Newsvendor and (s, S) figures of the textbook.

Source: Snyder & Shen, Fundamentals of Supply Chain Theory, 2nd ed., examples 4.3 (normal demand)
and 4.7 ((s, S)); the Poisson newsvendor from its critical ratio.
"""

import numpy as np
import pytest

from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.types import FloatArray
from tests.oracle.base_stock import SampleDemand, run_base_stock


def make_instance(holding: float, stockout: float, unmet: str, fixed: float = 0) -> Scenario:
    """One location without lead time; stockout cost per unit lost, or waiting and period."""
    data = load_scenario("lost_sales").model_dump()
    data["network"]["stores"][0]["lead_time"] = 0
    data["fulfillment"]["store_unmet"] = unmet
    data["costs"] |= {"lost_sale": stockout, "late": stockout, "holding_store": holding}
    data["costs"]["fixed_order"] = fixed
    return Scenario.model_validate(data)


def compute_costs(scenario: Scenario, levels: list[int], sample: SampleDemand) -> FloatArray:
    """Mean cost a period of each level, all on the same demand, (levels,)."""
    copies, periods = 2000, 100
    level = np.repeat(levels, copies)[:, None]

    def same_for_all(rng: np.random.Generator) -> np.ndarray:
        return np.tile(sample(rng), (len(levels), 1))

    total = run_base_stock(scenario, level[:, 0], level, periods, same_for_all)
    return total.reshape(len(levels), copies).mean(axis=1) / periods


@pytest.mark.parametrize("unmet", ["lost", "backorder"])
def test_newsvendor__normal_demand(unmet: str) -> None:
    """Example 4.3, holding 0.18, stockout 0.70, N(50, 8): level 56.604, cost 1.99761.

    A hundredth of the book's unit is the simulator's, so that demand need not be rounded. 200,000
    periods: a standard error of 0.15%. Unmet demand costs the same whether lost or one period late.
    """
    levels = [*range(5540, 5800, 40), 5660]
    costs = compute_costs(
        make_instance(0.0018, 0.0070, unmet),
        levels,
        lambda rng: np.maximum(np.rint(rng.normal(5000, 800, (2000, 1))), 0).astype(np.int64),
    )
    assert costs[-1] == pytest.approx(1.9976051931766445, rel=0.01)
    assert levels[int(costs.argmin())] == pytest.approx(5660.395592743389, rel=0.01)


def test_newsvendor__poisson_demand() -> None:
    """Holding 1, stockout 4, Poisson(50): level 56, cost 10.0752; standard error 0.2%."""
    levels = list(range(52, 61))
    costs = compute_costs(
        make_instance(1, 4, "backorder"), levels, lambda rng: rng.poisson(50, (2000, 1))
    )
    assert levels[int(costs.argmin())] == 56
    assert costs.min() == pytest.approx(10.075200067097597, rel=0.01)


def test_reorder_point__costs_what_the_book_says() -> None:
    """Example 4.7: (4, 10), Poisson(6), fixed cost 5: 8.03411 a period; standard error 0.15%."""
    copies, periods = 2000, 100
    level = np.full((copies, 1), 10)
    costs = run_base_stock(
        make_instance(1, 4, "backorder", fixed=5),
        level[:, 0],
        level,
        periods,
        lambda rng: rng.poisson(6, (copies, 1)),
        warm_up=20,
        reorder_point=np.full((copies, 1), 4),
    )
    costs /= periods
    assert costs.std(ddof=1) / np.sqrt(copies) < 0.0015 * 8.034
    assert costs.mean() == pytest.approx(8.034111561471642, rel=0.01)


def test_reorder_point__the_books_pair_is_the_best_of_its_neighbours() -> None:
    pairs = [(s, big) for s in (3, 4, 5) for big in (9, 10, 11)]
    copies, periods = 2000, 100
    level = np.repeat([big for _, big in pairs], copies)[:, None]
    point = np.repeat([s for s, _ in pairs], copies)[:, None]
    costs = run_base_stock(
        make_instance(1, 4, "backorder", fixed=5),
        level[:, 0],
        level,
        periods,
        lambda rng: np.tile(rng.poisson(6, (copies, 1)), (len(pairs), 1)),
        warm_up=20,
        reorder_point=point,
    )
    assert pairs[int(costs.reshape(len(pairs), -1).mean(axis=1).argmin())] == (4, 10)
