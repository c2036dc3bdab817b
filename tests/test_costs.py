import numpy as np
import pytest

from envs.omnichannel.flows import Flows
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import Network
from envs.omnichannel.world.account.costs import TERMS, CostModel
from tests.conftest import MakeFlows

# Money is that of `tiny`: the defaults. Rows are DC, store_0 (distance 1), store_1 (distance 2).


def assert_costs(scenario: Scenario, flows: Flows, term: str, expected: list[list[float]]) -> None:
    costs = CostModel(scenario, Network.from_scenario(scenario)).compute_costs(flows)
    np.testing.assert_allclose(costs[term][0], np.array(expected))


def change_costs(scenario: Scenario, **costs: object) -> Scenario:
    changed = scenario.costs.model_copy(update=costs)
    return scenario.model_copy(update={"costs": changed})


def test_compute_costs__without_flows_nothing_is_paid(
    tiny: Scenario, make_flows: MakeFlows
) -> None:
    costs = CostModel(tiny, Network.from_scenario(tiny)).compute_costs(make_flows())
    assert tuple(costs) == TERMS
    assert all(money.shape == (1, 3, 2) and not money.any() for money in costs.values())
    assert "rent" not in costs


def test_holding__is_units_times_rate(tiny: Scenario, make_flows: MakeFlows) -> None:
    """Eq. 3: a day at 0.008 in the DC and 0.02 in a store."""
    flows = make_flows(on_hand=[[100, 50], [10, 0], [0, 7]])
    assert_costs(tiny, flows, "holding", [[0.8, 0.4], [0.2, 0.0], [0.0, 0.14]])


def test_overflow__is_paid_above_the_capacity_and_shared_by_stock(
    tiny: Scenario, make_flows: MakeFlows
) -> None:
    store = tiny.network.stores[0].model_copy(update={"capacity": 30.0})
    stores = [store, tiny.network.stores[1]]
    network = tiny.network.model_copy(update={"stores": stores})
    scenario = tiny.model_copy(update={"network": network})
    # 40 units in a place for 30: 10 x 0.05 = 0.5, of which shirts (30 of 40) pay three quarters.
    flows = make_flows(on_hand=[[900, 900], [30, 10], [99, 99]])
    assert_costs(scenario, flows, "overflow", [[0, 0], [0.375, 0.125], [0, 0]])


def test_lost_sales__count_both_channels(tiny: Scenario, make_flows: MakeFlows) -> None:
    flows = make_flows(lost=[[[2, 1], [0, 0]], [[0, 4], [5, 0]]])
    scenario = change_costs(tiny, lost_sale=2.0)
    assert_costs(scenario, flows, "lost_sales", [[0, 0], [6.0, 0], [8.0, 10.0]])


def test_late__is_paid_by_order_and_period(tiny: Scenario, make_flows: MakeFlows) -> None:
    flows = make_flows(waiting=[[3, 0], [0, 5]])
    assert_costs(tiny, flows, "late", [[0, 0], [0.3, 0], [0, 0.5]])


def test_penalties__a_sku_may_have_its_own(tiny: Scenario, make_flows: MakeFlows) -> None:
    own = {"store_lost_sale": 2.5, "online_lost_sale": 0.4, "late": 0.3}
    skus = [tiny.skus[0].model_copy(update=own), tiny.skus[1]]
    scenario = tiny.model_copy(update={"skus": skus})
    # Store_0 loses 2 walk-ins and 6 online orders of both: 2 x 2.5 + 6 x 0.4 = 7.4, and 8 x 1.
    flows = make_flows(lost=[[[2, 6], [2, 6]], [[0, 0], [0, 0]]], waiting=[[0, 0], [4, 4]])
    assert_costs(scenario, flows, "lost_sales", [[0, 0], [7.4, 8], [0, 0]])
    assert_costs(scenario, flows, "late", [[0, 0], [0, 0], [1.2, 0.4]])


# Tiers by the units of the whole shipment: 1.0 below 40, 0.85 from 40, 0.7 from 80.
@pytest.mark.parametrize(
    ("shipped", "rate"), [(1, 1.0), (39, 1.0), (40, 0.85), (79, 0.85), (80, 0.7), (500, 0.7)]
)
def test_transport__tier_changes_at_the_quantity_breaks(
    tiny: Scenario, make_flows: MakeFlows, shipped: int, rate: float
) -> None:
    flows = make_flows(shipped=[[shipped, 0], [0, 0]])
    # 0.03 x (1 + distance 1) a unit.
    assert_costs(tiny, flows, "transport", [[0, 0], [shipped * 0.06 * rate, 0], [0, 0]])


def test_transport__skus_of_a_shipment_share_its_tier(
    tiny: Scenario, make_flows: MakeFlows
) -> None:
    flows = make_flows(shipped=[[20, 19], [30, 10]])
    # 39 units at the full rate of distance 1; 40 units at 0.85 x 0.09 of distance 2.
    assert_costs(tiny, flows, "transport", [[0, 0], [1.2, 1.14], [2.295, 0.765]])


def test_transport__adds_the_last_mile(tiny: Scenario, make_flows: MakeFlows) -> None:
    flows = make_flows(online_from_store=[[10, 0], [0, 0]], online_from_dc=[[0, 10], [0, 10]])
    # 0.05 from a store; from the DC 0.08 + 0.02 x distance.
    assert_costs(tiny, flows, "transport", [[0, 0], [0.5, 1.0], [0, 1.2]])


def test_ordering__is_fixed_per_order_line(tiny: Scenario, make_flows: MakeFlows) -> None:
    flows = make_flows(supplied=[[500, 0]])
    scenario = change_costs(tiny, fixed_order=4.0)
    assert_costs(scenario, flows, "ordering", [[4, 0], [0, 0], [0, 0]])


def test_returns__are_a_base_fee_and_a_fee_by_disposition(
    tiny: Scenario, make_flows: MakeFlows
) -> None:
    """Eq. 4: 0.1 where anything came back, then 0.06, 0.05, 0.2, 0.2 and by mail 0.08 a unit."""
    flows = make_flows(
        returned=[[10, 1], [2, 4]],
        restocked=[[4, 0], [0, 4]],
        consolidated=[[3, 0], [0, 0]],
        liquidated=[[2, 1], [0, 0]],
        scrapped=[[1, 0], [0, 0]],
        mailed=[[0, 0], [2, 0]],
    )
    # 0.1 + 0.24 + 0.15 + 0.4 + 0.2; 0.1 + 0.2; 0.1 + 0.16; 0.1 + 0.24.
    assert_costs(tiny, flows, "returns", [[0, 0], [1.09, 0.3], [0.26, 0.34]])
