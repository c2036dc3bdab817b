"""Money by SKU: margins, the value of stock and of waste, each SKU's own and no average."""

from typing import Any

import numpy as np
import pytest

from envs.errors import InputError
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.types import Network
from envs.omnichannel.world.account.costs import CostModel
from envs.omnichannel.world.account.rates import list_holding, list_lost_sale, list_waste
from envs.validation import validate_model
from tests.conftest import MakeFlows

SKUS: list[dict[str, Any]] = [
    {"name": "wine", "category": "food", "price": 12.0, "unit_cost": 7.0},
    {"name": "milk", "category": "food", "price": 1.2, "unit_cost": 0.9, "online_lost_sale": 2.0},
    {"name": "bags", "category": "food"},
]
COSTS = {"lost_sale": 3.0, "holding_store": 0.5, "holding_dc": 0.25, "waste": 0.125}


def make(skus: list[dict[str, Any]], **costs: float) -> Scenario:
    data = load_scenario("tiny").model_dump(mode="json", exclude_none=True)
    data |= {"skus": skus, "categories": {"food": {}}, "costs": COSTS | costs}
    return validate_model(Scenario, data, "shop")


def test_rates__are_each_skus_own_and_else_those_of_the_scenario() -> None:
    scenario = make(SKUS, holding_share_store=0.01, holding_share_dc=0.005)

    np.testing.assert_allclose(list_lost_sale(scenario), np.array([[5, 5], [0.3, 2], [3, 3]]))
    stores, dcs = list_holding(scenario)
    np.testing.assert_allclose(stores, [0.07, 0.009, 0.5])
    np.testing.assert_allclose(dcs, [0.035, 0.0045, 0.25])
    np.testing.assert_allclose(list_waste(scenario), [7, 0.9, 0.125])


def test_holding__is_by_unit_where_no_share_is_given() -> None:
    stores, dcs = list_holding(make(SKUS))

    assert stores.tolist() == [0.5] * 3
    assert dcs.tolist() == [0.25] * 3


def test_costs__charge_stock_and_losses_by_value(make_flows: MakeFlows) -> None:
    scenario = make(SKUS[:2], holding_share_store=0.01, holding_share_dc=0.005)
    network = Network.from_scenario(scenario)
    flows = make_flows(
        on_hand=[[100, 200], [10, 20], [0, 0]], lost=[[[2, 0], [0, 1]], [[0, 1], [4, 0]]]
    )

    costs = CostModel(scenario, network).compute_costs(flows)

    np.testing.assert_allclose(costs["holding"][0], np.array([[3.5, 0.9], [0.7, 0.18], [0, 0]]))
    np.testing.assert_allclose(costs["lost_sales"][0], np.array([[0, 0], [10, 2], [5, 1.2]]))


@pytest.mark.parametrize(
    ("sku", "message"),
    [
        ({"price": 2.0}, "skus.0: unit_cost: is needed beside a price"),
        (
            {"price": 2.0, "unit_cost": 3.0},
            "price: 2 is below unit_cost 3; store_lost_sale and online_lost_sale are needed then",
        ),
        ({"unit_cost": -1.0}, "skus.0.unit_cost: -1.0 is not allowed"),
    ],
    ids=["cost", "below", "negative"],
)
def test_money_that_cannot_be__is_refused(sku: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make([{"name": "wine", "category": "food"} | sku])
