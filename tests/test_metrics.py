import numpy as np
import pytest

from envs.omnichannel.flows import Flows
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.records import Records
from envs.omnichannel.types import Network
from envs.omnichannel.world.account.costs import TERMS, Costs
from envs.omnichannel.world.account.metrics import MetricsAccumulator
from tests.conftest import MakeFlows


def make_metrics(tiny: Scenario, copies: int = 1) -> MetricsAccumulator:
    return MetricsAccumulator(tiny, Network.from_scenario(tiny), copies)


def measure(tiny: Scenario, *ledgers: Flows) -> dict[str, float]:
    """The metrics of one copy after these periods, none of which cost anything."""
    metrics = make_metrics(tiny)
    for flows in ledgers:
        metrics.add(flows, Costs(np.zeros((len(TERMS), 1, 3, 2))), np.zeros(1))
    return {name: float(value[0]) for name, value in metrics.compute().items()}


def test_metrics__of_two_periods_by_hand(tiny: Scenario, make_flows: MakeFlows) -> None:
    """Walk-ins: 10 + 0 demanded, 8 served. Online: 6 + 4 demanded, 3 + 5 served, 3 + 2 on time.

    served = 16 / 20, on time = 13 / 20; stock 60 and 20, so 16 / 2 x 365 / 40 turns a year.
    """
    metrics = make_metrics(tiny)
    costs = Costs(np.zeros((len(TERMS), 1, 3, 2)))
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
        Costs(np.zeros((len(TERMS), 1, 3, 2))),
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


def test_metrics__of_copies_stay_apart(tiny: Scenario, make_flows: MakeFlows) -> None:
    metrics = make_metrics(tiny, 2)
    flows = make_flows(demand=np.full((2, 2, 2), 2), sold_store=np.full((2, 2), 1))
    both = flows.select(np.array([0, 0]))
    both.sold_store[1] = 2
    costs = Costs(np.zeros((len(TERMS), 2, 3, 2)))
    metrics.add(both, costs, np.zeros(2))
    assert metrics.compute()["served"].tolist() == [0.25, 0.5]


def test_metrics__without_demand_all_of_it_is_served(tiny: Scenario, make_flows: MakeFlows) -> None:
    found = measure(tiny, make_flows())
    assert (found["served"], found["cycle_service"], found["fairness/lowest"]) == (1, 1, 1)
    for name in ("response_days", "bullwhip", "days_to_resale", "capacity_use", "fairness/gini"):
        assert found[name] == 0, name


def test_metrics__before_the_first_period_there_are_none(tiny: Scenario) -> None:
    assert make_metrics(tiny).compute() == {}


def test_cycle_service__counts_cells_with_all_demand_on_time(
    tiny: Scenario, make_flows: MakeFlows
) -> None:
    """Of 2 x 4 cells two fail: one unit late online at (0, 1), one walk-in lost at (1, 0)."""
    demand = [[[3, 1], [2, 2]], [[4, 0], [0, 0]]]
    short = [[[3, 1], [2, 1]], [[3, 0], [0, 0]]]
    found = measure(
        tiny,
        make_flows(demand=demand, on_time=short, lost=[[[0, 0], [0, 0]], [[1, 0], [0, 0]]]),
        make_flows(demand=demand, on_time=demand, lost=[[[0, 0], [0, 3]], [[0, 0], [0, 0]]]),
    )
    assert found["cycle_service"] == 6 / 8
    # Lost in two periods: one walk-in and three online orders.
    assert (found["lost"], found["lost/store"], found["lost/online"]) == (2, 0.5, 1.5)


def test_response_days__is_the_mean_wait_of_what_was_dispatched(
    tiny: Scenario, make_flows: MakeFlows
) -> None:
    """Ten units: seven at once, two after 1 day, one after 3 days: 5 days in all."""
    found = measure(
        tiny,
        make_flows(online_from_store=[[4, 0], [0, 0]], online_from_dc=[[0, 3], [0, 0]]),
        make_flows(online_from_dc=[[2, 0], [1, 0]], wait_days=[[2, 0], [3, 0]]),
    )
    assert found["response_days"] == 0.5


def test_fairness__of_two_stores_by_hand(tiny: Scenario, make_flows: MakeFlows) -> None:
    """Fill rates 0.9 and 0.6; Gini = (2 x 0.3) / (2 x 2 x 1.5) = 0.1."""
    found = measure(
        tiny,
        make_flows(
            demand=[[[10, 0], [5, 5]], [[5, 0], [0, 5]]],
            sold_store=[[9, 4], [3, 0]],
            online_from_dc=[[0, 5], [0, 3]],
        ),
    )
    assert found["fairness/lowest"] == pytest.approx(0.6)
    assert found["fairness/gini"] == pytest.approx(0.1)


def test_bullwhip__is_the_mean_over_skus_of_variance_ratios(
    tiny: Scenario, make_flows: MakeFlows
) -> None:
    """SKU 0: demand 2, 4 and orders 0, 6: 9 / 1. SKU 1: demand 1, 5 and orders 3, 5: 1 / 4."""
    found = measure(
        tiny,
        make_flows(demand=[[[1, 1], [1, 0]], [[0, 0], [0, 0]]], supplied=[[0, 3]]),
        make_flows(demand=[[[1, 0], [2, 1]], [[0, 3], [2, 0]]], supplied=[[6, 5]]),
    )
    assert found["bullwhip"] == pytest.approx((9 + 0.25) / 2)


def test_bullwhip__leaves_out_constant_demand(tiny: Scenario, make_flows: MakeFlows) -> None:
    found = measure(
        tiny,
        make_flows(demand=[[[1, 0], [7, 0]], [[0, 0], [0, 0]]], supplied=[[0, 3]]),
        make_flows(demand=[[[0, 0], [7, 0]], [[2, 1], [0, 0]]], supplied=[[4, 5]]),
    )
    assert found["bullwhip"] == 4.0


def test_returns__by_disposition_and_days_until_resaleable(
    tiny: Scenario, make_flows: MakeFlows
) -> None:
    """Lanes of 1 and 2 days: 4 restocked x 3, 2 x (1 + 1) and 2 x (2 + 1) days: 22 / 8."""
    slow = tiny.returns.model_copy(update={"inspection_days": 3})
    found = measure(
        tiny.model_copy(update={"returns": slow}),
        make_flows(returned=[[6, 3], [1, 4]], restocked=[[2, 1], [1, 0]], liquidated=[[2, 0]] * 2),
        make_flows(consolidated=[[1, 1], [0, 2]], scrapped=[[0, 0], [1, 0]]),
    )
    names = ("returned", "restocked", "consolidated", "liquidated", "scrapped")
    assert [found[name] for name in names] == [7, 2, 2, 2, 0.5]
    assert found["days_to_resale"] == pytest.approx((4 * 3 + 2 * 2 + 2 * 3) / 8)


def test_days_to_resale__counts_mail_and_the_queue(tiny: Scenario, make_flows: MakeFlows) -> None:
    """3 mailed and 1 restocked unit a day of inspection each, and 2 unit-days in the queue."""
    ledger = make_flows(
        mailed=[[3, 0], [0, 0]], restocked=[[0, 0], [0, 1]], queued=[[0, 1], [0, 0], [0, 1]]
    )
    rules = tiny.returns.model_copy(update={"by_mail": 0.5, "inspection_capacity": 9})
    found = measure(tiny.model_copy(update={"returns": rules}), ledger)
    assert (found["mailed"], found["queued"], found["days_to_resale"]) == (3, 2, 6 / 4)


def test_record_accuracy__is_the_share_of_exact_records(
    tiny: Scenario, make_flows: MakeFlows
) -> None:
    found = measure(
        tiny.model_copy(update={"records": Records()}),
        make_flows(record_error=[[0, 2], [-1, 0]], shrunk=[[0, 2], [0, 1]]),
        make_flows(record_error=[[0, 2], [0, 0]]),
    )
    assert (found["record_accuracy"], found["shrunk"]) == (5 / 8, 1.5)


def test_stock__cover_and_capacity_use(tiny: Scenario, make_flows: MakeFlows) -> None:
    """Stock 40 and 20, demand 5 a day; DC limit 40 and store 1 limit 10, store 0 without one."""
    data = tiny.model_dump()
    data["network"]["dcs"][0]["capacity"] = 40
    data["network"]["stores"][1]["capacity"] = 10
    demand = [[[5, 0], [0, 0]], [[0, 0], [0, 0]]]
    found = measure(
        Scenario.model_validate(data),
        make_flows(demand=demand, on_hand=[[20, 10], [4, 1], [5, 0]]),
        make_flows(demand=demand, on_hand=[[10, 0], [0, 0], [5, 5]]),
    )
    assert found["days_of_cover"] == 6.0
    # DC 30/40 and 10/40, store 1 5/10 and 10/10.
    assert found["capacity_use"] == pytest.approx((0.5 + 0.75) / 2)


def test_metrics__of_a_forecast_by_hand(tiny: Scenario, make_flows: MakeFlows) -> None:
    """Errors of +2, -3, and 0, +3 a day later, on 10 + 10 units: mae 8 / 20, bias 2 / 20."""
    metrics, costs = make_metrics(tiny), Costs(np.zeros((len(TERMS), 1, 3, 2)))
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
