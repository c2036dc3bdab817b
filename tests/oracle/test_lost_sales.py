"""Base-stock costs of the lost-sales system against the exact Markov chain's."""

import numpy as np
import pytest

from envs.omnichannel.scenario import Scenario, load_scenario
from tests.oracle.base_stock import run_base_stock

# Zipkin (2008), Old and new methods for lost-sales inventory systems, Operations Research 56(5):
# Poisson(5), holding 1; lead time, penalty, best base-stock level, its cost a period.
INSTANCES = [
    (1, 4, 12, 4.1628),
    (2, 4, 16, 4.6386),
    (3, 4, 20, 4.975),
    (1, 9, 13, 5.5475),
    (2, 9, 19, 6.3163),
    (3, 9, 23, 6.864),
    (1, 19, 15, 6.7278),
    (2, 19, 21, 7.8422),
    (3, 19, 26, 8.6045),
]


def make_instance(lead_time: int, penalty: float) -> Scenario:
    data = load_scenario("lost_sales").model_dump()
    data["network"]["stores"][0]["lead_time"] = lead_time
    data["costs"]["lost_sale"] = penalty
    return Scenario.model_validate(data)


@pytest.mark.parametrize(("lead_time", "penalty", "level", "published"), INSTANCES)
def test_lost_sales__base_stock_costs_what_the_markov_chain_says(
    lead_time: int, penalty: float, level: int, published: float
) -> None:
    """2,500 copies, 400 periods after 60: a standard error of at most 0.15%, bound 0.5%."""
    copies, periods = 2500, 400
    levels = np.full((copies, 1), level)
    costs = run_base_stock(
        make_instance(lead_time, penalty),
        levels[:, 0],
        levels,
        periods,
        warm_up=60,
    )
    costs /= periods
    error = costs.std(ddof=1) / np.sqrt(copies)
    assert error < 0.0015 * published
    assert costs.mean() == pytest.approx(published, rel=0.005)
