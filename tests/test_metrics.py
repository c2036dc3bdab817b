import numpy as np
import pytest

from envs.omnichannel.world.costs import TERMS
from envs.omnichannel.world.metrics import MetricsAccumulator
from tests.conftest import MakeFlows


def test_metrics__of_two_periods_by_hand(make_flows: MakeFlows) -> None:
    """Walk-ins: 10 + 0 demanded, 8 served. Online: 6 + 4 demanded, 3 + 5 served, 3 + 2 on time.

    served = 16 / 20, on time = 13 / 20; stock 60 and 20, so 16 / 2 x 365 / 40 turns a year.
    """
    metrics = MetricsAccumulator(1)
    costs = {term: np.zeros((1, 3, 2)) for term in TERMS}
    costs["holding"][0] = [[1, 2], [3, 4], [5, 6]]
    costs["returns"][0, 1, 1] = 4
    metrics.add(
        make_flows(
            demand=[[[10, 0], [0, 6]], [[0, 0], [0, 0]]],
            sold_store=[[8, 0], [0, 0]],
            online_from_store=[[0, 1], [0, 0]],
            online_from_dc=[[0, 2], [0, 0]],
            on_time=[[[8, 0], [0, 3]], [[0, 0], [0, 0]]],
            waiting=[[0, 3], [0, 0]],
            on_hand=[[30, 10], [10, 0], [5, 5]],
            returned=[[3, 0], [0, 0]],
        ),
        costs,
        np.array([0.5]),
    )
    metrics.add(
        make_flows(
            demand=[[[0, 0], [0, 4]], [[0, 0], [0, 0]]],
            online_from_dc=[[0, 5], [0, 0]],
            on_time=[[[0, 0], [0, 2]], [[0, 0], [0, 0]]],
            waiting=[[0, 2], [0, 0]],
            on_hand=[[20, 0], [0, 0], [0, 0]],
            returned=[[0, 1], [1, 0]],
        ),
        {term: np.zeros((1, 3, 2)) for term in TERMS},
        np.array([0.9]),
    )
    computed = metrics.compute()
    expected = {
        "served": 0.8,
        "served/store": 0.8,
        "served/online": 0.8,
        "on_time": 0.65,
        "on_time/store": 0.8,
        "on_time/online": 0.5,
        "reward": 0.7,
        "cost/total": 12.5,
        "cost/holding": 10.5,
        "cost/returns": 2.0,
        "cost/lost_sales": 0.0,
        "stock": 40.0,
        "turnover": 73.0,
        "returned": 2.5,
        "waiting": 2.5,
    }
    for name, value in expected.items():
        assert computed[name] == pytest.approx([value]), name


def test_metrics__of_copies_stay_apart(make_flows: MakeFlows) -> None:
    metrics = MetricsAccumulator(2)
    flows = make_flows(demand=np.full((2, 2, 2), 2), sold_store=np.full((2, 2), 1))
    both = flows.select(np.array([0, 0]))
    both.sold_store[1] = 2
    costs = {term: np.zeros((2, 3, 2)) for term in TERMS}
    metrics.add(both, costs, np.zeros(2))
    assert metrics.compute()["served"].tolist() == [0.25, 0.5]


def test_metrics__without_demand_all_of_it_is_served(make_flows: MakeFlows) -> None:
    metrics = MetricsAccumulator(1)
    metrics.add(make_flows(), {term: np.zeros((1, 3, 2)) for term in TERMS}, np.zeros(1))
    assert metrics.compute()["served"].tolist() == [1.0]


def test_metrics__of_a_forecast_by_hand(make_flows: MakeFlows) -> None:
    """Errors of +2, -3, and 0, +3 a day later, on 10 + 10 units: mae 8 / 20, bias 2 / 20."""
    metrics, costs = MetricsAccumulator(1), {term: np.zeros((1, 3, 2)) for term in TERMS}
    days = [
        ([[[4, 6], [0, 0]], [[0, 0], [0, 0]]], [[[6.0, 3], [0, 0]], [[0, 0], [0, 0]]]),
        ([[[10, 0], [0, 0]], [[0, 0], [0, 0]]], [[[10.0, 0], [0, 3]], [[0, 0], [0, 0]]]),
    ]
    for demand, forecast in days:
        flows = make_flows(demand=demand)
        metrics.add(flows, costs, np.zeros(1))
        metrics.add_forecast(np.array([forecast]), flows.demand)
    computed = metrics.compute()
    assert computed["forecast/mae"] == pytest.approx([0.4])
    assert computed["forecast/bias"] == pytest.approx([0.1])
