"""Large networks: futures in blocks and one day of a record, digit by digit as all at once."""

from pathlib import Path

import numpy as np
import pytest

from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario import Scenario, load_scenario
from marl.planning.coming_days import Imagination
from marl.planning.planner import Planner
from marl.planning.record import make_record_forecast
from marl.planning.rule_file import RuleMetadata, RulePolicy
from marl.planning.stock_count_file import read_stock_count
from marl.policies.tuned import TunedRule
from tests.conftest import known


def make_planner(scenario: Scenario, family: str, futures: int, blocks: int | None) -> Planner:
    """A planner by an untuned rule, in so many blocks."""
    rules = [TunedRule(family=name, parameters={}) for name in (family, "forecast_order_up_to")]
    metadata = RuleMetadata(
        scenario=scenario.name, scenario_hash=scenario.hash(), rule=rules[0], classical=rules[1:]
    )
    return Planner(RulePolicy(metadata), scenario, num_futures=futures, blocks=blocks)


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("retail", "safety_stock_full_truck"),  # recorded, whose trucks couple all SKUs
        ("volatile", "stock_dependent"),
        ("two_dcs", "reorder_point"),
    ],
)
def test_recommend__blocks_change_nothing(name: str, family: str, tmp_path: Path) -> None:
    scenario = load_scenario(name)
    whole = make_planner(scenario, family, 7, None)
    path = tmp_path / "stock.csv"
    path.write_text(whole.schema.make_template(), encoding="utf-8")
    count = read_stock_count(path, whole.schema)
    expected = whole.recommend(count)
    assert any(0 < row.stockout_probability < 1 for row in expected.outlook)
    assert len(whole.imagination.blocks) == 1
    for blocks in (3, 7):
        found = make_planner(scenario, family, 7, blocks)
        assert len(found.imagination.blocks) == blocks
        assert found.recommend(count) == expected


def test_imagination__has_as_many_blocks_as_the_network_asks_for(tiny: Scenario) -> None:
    planner = make_planner(tiny, "order_up_to", 5, None)

    def list_blocks(futures: int, blocks: int | None) -> list[range]:
        return Imagination(planner.today, futures, blocks, None).blocks

    assert list_blocks(5, 2) == [range(2), range(2, 5)]
    assert list_blocks(5, 9) == [range(i, i + 1) for i in range(5)]
    assert list_blocks(100_000, None)[:2] == [range(50_000), range(50_000, 100_000)]


@pytest.mark.parametrize("method", ["running", "moving_average", "intermittent"])
def test_record_forecast__knows_each_day_what_the_whole_record_says(method: str) -> None:
    retail = load_scenario("retail")
    settings = retail.forecast.model_copy(update={"method": method})
    retail = retail.model_copy(update={"forecast": settings})
    env = BatchedEnv(retail, 1)
    whole, demand = env.forecast, env.simulator.demand
    own = known(make_record_forecast(retail, demand, env.network))
    for day in (own.demand.num_days, 300, 57):
        own.move(day)
        expected, found = (vars(forecast.begin(np.array([day]))) for forecast in (whole, own))
        assert expected.keys() == found.keys()
        for name, array in expected.items():
            if array is not None:
                np.testing.assert_array_equal(found[name], array)


def test_record_forecast__is_none_where_no_day_stands_for_itself(tiny: Scenario) -> None:
    env = BatchedEnv(tiny, 1)
    assert make_record_forecast(tiny, env.simulator.demand, env.network) is None
