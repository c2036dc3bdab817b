"""Orders from a stock count, worked by hand on `tiny`."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from envs.errors import InputError
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.scenario.network import SupplyCuts
from marl.planning.coming_days import ComingDays, count_days, draw_days
from marl.planning.order_tables import make_tables
from marl.planning.plan import Plan, simulate_plans
from marl.planning.planner import Planner
from marl.planning.policy_file import OnnxPolicy
from marl.planning.recommendation import Decision, Goals, Outlook, Recommendation
from marl.planning.restore import begin, draw_start, restore
from marl.planning.stock_cells import Cell, Row
from marl.planning.stock_count_file import read_stock_count
from marl.planning.table_files import to_csv
from tests.conftest import WritePolicy, known

OPTIONS = {
    "ordering_high": 4,  # 2 days of cover beyond the lead time; 10 days of echelon cover
    "ordering_low": 1,  # 0.5 and 7 days
    "shipping_high": 3,  # push 1.5 days, no online order from the store
    "shipping_low": 1,  # push 0.5 days, half of them from the store
}
STATE = """\
day,node,sku,on_hand,in_transit_1,online_backorders_1,returns_due_0
3,dc_0,shirt,10,0,,
3,dc_0,lamp,500,0,,
3,store_0,shirt,4,3,1,
3,store_0,lamp,40,0,0,4
3,store_1,shirt,2,0,0,
3,store_1,lamp,40,0,0,
"""


@pytest.fixture
def steady(tiny: Scenario) -> Scenario:
    """`tiny` without season or noise, forecast by its mean: 6 + 3 shirts a day in store_0."""
    demand = tiny.demand.model_copy(update={"season_amplitude": 0.0, "noise": 0.0})
    forecast = tiny.forecast.model_copy(update={"method": "mean"})
    return tiny.model_copy(update={"demand": demand, "forecast": forecast})


@pytest.fixture
def recommendation(steady: Scenario, tmp_path: Path, write_policy: WritePolicy) -> Recommendation:
    (tmp_path / "state.csv").write_text(STATE, encoding="utf-8")
    planner = Planner(OnnxPolicy.load(write_policy(steady, OPTIONS)), steady)
    return planner.recommend(read_stock_count(tmp_path / "state.csv", planner.schema))


def find(
    recommendation: Recommendation, node: str, sku: str, decision: str, source: str | None = None
) -> Decision:
    (found,) = (
        d
        for d in recommendation.decisions
        if (d.node, d.sku, d.decision) == (node, sku, decision) and source in {None, d.source}
    )
    return found


def get_outlook(recommendation: Recommendation, node: str, sku: str) -> Outlook:
    return next(o for o in recommendation.outlook if (o.node, o.sku) == (node, sku))


def test_recommend__orders_the_mean_of_the_proposals(recommendation: Recommendation) -> None:
    order = find(recommendation, "dc_0", "shirt", "order")

    # 9 + 4.5 shirts a day. Echelon: 10 in the DC, 4 + 3 and 2 in the stores, 1 order waits.
    assert get_outlook(recommendation, "dc_0", "shirt").forecast == 13.5
    assert get_outlook(recommendation, "dc_0", "shirt").position == 18
    assert order.proposals == {"ordering_high": 10 * 13.5 - 18, "ordering_low": 7 * 13.5 - 18}
    assert (order.units, order.requested) == (97, 97)  # (117 + 76.5) / 2, rounded half up


def test_recommend__rations_what_the_dc_holds(recommendation: Recommendation) -> None:
    first = find(recommendation, "store_0", "shirt", "shipment")
    second = find(recommendation, "store_1", "shirt", "shipment")

    # A quarter of the online orders is the store's: (0 + 0.5) / 2, so 6.75 and 3.375 a day. The
    # high level's push wants 9.875 + 9.8125 units and is scaled to the 10 that the DC holds.
    scale = 10 / (9.875 + 9.8125)
    assert first.proposals == pytest.approx(
        {
            "ordering_high": (1 + 2) * 6.75 - 7,
            "ordering_low": (1 + 0.5) * 6.75 - 7,
            "shipping_high": 9.875 * scale,
            "shipping_low": (1 + 0.5) * 6.75 - 7,
        }
    )
    assert second.proposals["shipping_high"] == pytest.approx(9.8125 * scale)
    # Means 6.13 and 7.34. Of 10 units, 6/13 and 7/13 are 4.6 and 5.4: the remainder is the first's.
    assert (first.requested, second.requested) == (6, 7)
    assert (first.units, second.units) == (5, 5)
    assert first.source == "dc_0"


def test_recommend__never_ships_more_than_the_dc_holds(recommendation: Recommendation) -> None:
    for sku, held in (("shirt", 10), ("lamp", 500)):
        shipped = [
            d.units for d in recommendation.decisions if d.decision == "shipment" and d.sku == sku
        ]
        assert sum(shipped) <= held


def test_recommend__tells_who_serves_online_orders(recommendation: Recommendation) -> None:
    store = find(recommendation, "store_0", "lamp", "online", "store_0")
    dc = find(recommendation, "store_0", "lamp", "online", "dc_0")

    assert (store.share, dc.share) == (0.25, 0.75)
    assert store.proposals == {"shipping_high": 0.0, "shipping_low": 0.5}
    assert dc.proposals == {"shipping_high": 1.0, "shipping_low": 0.5}
    assert store.units + dc.units == 2  # all of the day's demand


def test_recommend__disposes_of_announced_returns(recommendation: Recommendation) -> None:
    units = {
        name: find(recommendation, "store_0", "lamp", name).units
        for name in ("restock", "consolidate", "liquidate")
    }

    # Four come back, 80% resaleable; the agents send all of those to the DC.
    assert units["restock"] == units["liquidate"] == 0
    assert units["consolidate"] == pytest.approx(3.2, abs=0.1)
    assert find(recommendation, "store_0", "lamp", "consolidate").proposals == {
        "return_high": 1.0,
        "return_low": 1.0,
    }


def test_recommend__tells_cover_and_risk(recommendation: Recommendation) -> None:
    shirt, lamp = (
        get_outlook(recommendation, "store_0", "shirt"),
        get_outlook(recommendation, "store_0", "lamp"),
    )

    assert (shirt.on_hand, shirt.on_the_way, shirt.owed, shirt.position) == (4, 3, 0, 7)
    assert shirt.cover_before == pytest.approx(7 / 6.75)
    assert shirt.cover_after == pytest.approx(12 / 6.75)
    assert shirt.protection_days == 2
    # Six walk-ins a day meet four shirts.
    assert shirt.stockout_probability == shirt.classical_stockout_probability == 1
    assert lamp.stockout_probability == 0
    # The DC cannot ship what its stores request of shirts.
    assert get_outlook(recommendation, "dc_0", "shirt").stockout_probability == 1
    assert get_outlook(recommendation, "dc_0", "lamp").stockout_probability == 0


def test_recommend__puts_the_classical_decision_beside(recommendation: Recommendation) -> None:
    # Untuned: 1.5 days of cover, a tenth of the online orders from the store.
    store_0 = (1 + 1.5) * (6 + 0.1 * 3) - 7
    store_1 = (2 + 1.5) * (3 + 0.1 * 1.5) - 2
    assert (round(store_0), round(store_1)) == (9, 9)
    assert find(recommendation, "store_0", "shirt", "shipment").classical == 5  # 9 and 9 share 10
    assert find(recommendation, "store_0", "shirt", "online", "store_0").classical == 0.1
    assert recommendation.notes == [
        "forecast_order_up_to is not tuned for this network: its parameters are first guesses"
    ]


def test_recommend__is_uncertain_where_demand_is(
    tiny: Scenario, tmp_path: Path, write_policy: WritePolicy
) -> None:
    state = STATE.replace("store_0,shirt,4,3", "store_0,shirt,16,0")
    (tmp_path / "state.csv").write_text(state, encoding="utf-8")
    planner = Planner(OnnxPolicy.load(write_policy(tiny, OPTIONS)), tiny)
    stock_count = read_stock_count(tmp_path / "state.csv", planner.schema)

    first, again = planner.recommend(stock_count), planner.recommend(stock_count)

    assert 0 < get_outlook(first, "store_0", "shirt").stockout_probability < 1
    assert again == first


def test_recommend__holds_goals_between_reviews(
    steady: Scenario, tmp_path: Path, write_policy: WritePolicy
) -> None:
    (tmp_path / "state.csv").write_text(STATE, encoding="utf-8")
    planner = Planner(OnnxPolicy.load(write_policy(steady, OPTIONS)), steady)
    stock_count = read_stock_count(tmp_path / "state.csv", planner.schema)
    held = {m: {"shirt": 0, "lamp": 0} for m in ("ordering_high", "shipping_high", "return_high")}

    between = planner.recommend(stock_count, Goals(day=1, options=held))
    due = planner.recommend(
        replace(stock_count, day=8),
        Goals(day=1, options=held),
    )

    assert (between.review, due.review) == (False, True)
    # Level 0 of the high level: 6 days of echelon cover instead of 10.
    assert find(between, "dc_0", "shirt", "order").proposals["ordering_high"] == 6 * 13.5 - 18
    assert between.goals == Goals(day=1, options=held)
    assert find(due, "dc_0", "shirt", "order").proposals["ordering_high"] == 10 * 13.5 - 18
    assert due.goals is not None
    assert due.goals.day == 8
    assert due.goals.options["ordering_high"] == {"shirt": 4, "lamp": 4}


@pytest.mark.parametrize(
    ("day", "levels", "message"),
    [
        (3, {}, "goals.day: 3 is not allowed; a day before today's 3 is needed"),
        (1, {}, "goals.options.ordering_high.shirt: None is not allowed; an option from 0 to 10"),
        (1, {"ordering_high": {"shirt": 11, "lamp": 1}}, "goals.options.ordering_high.shirt: 11"),
    ],
)
def test_recommend__refuses_goals_that_do_not_fit(
    day: int,
    levels: dict[str, dict[str, int]],
    message: str,
    steady: Scenario,
    tmp_path: Path,
    write_policy: WritePolicy,
) -> None:
    (tmp_path / "state.csv").write_text(STATE, encoding="utf-8")
    planner = Planner(OnnxPolicy.load(write_policy(steady)), steady)

    with pytest.raises(InputError) as raised:
        planner.recommend(
            read_stock_count(tmp_path / "state.csv", planner.schema), Goals(day=day, options=levels)
        )
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    "name", ["lost_sales", "owmr", "pickup", "scarce", "two_dcs", "transshipment", "volatile"]
)
def test_recommend__reads_its_own_template_in_every_scenario(
    name: str, tmp_path: Path, write_policy: WritePolicy
) -> None:
    scenario = load_scenario(name)
    planner = Planner(OnnxPolicy.load(write_policy(scenario)), scenario, num_futures=4)
    (tmp_path / "state.csv").write_text(planner.schema.make_template(), encoding="utf-8")

    recommendation = planner.recommend(read_stock_count(tmp_path / "state.csv", planner.schema))

    nodes = len(scenario.network.dcs) + len(scenario.network.stores)
    assert len(recommendation.outlook) == nodes * len(scenario.skus)
    assert all(np.isfinite(d.units) and d.units >= 0 for d in recommendation.decisions)


def test_recommend__orders_under_announced_cuts(
    steady: Scenario, tmp_path: Path, write_policy: WritePolicy
) -> None:
    cuts = SupplyCuts(windows=1, length=2, share=0.3, notice=2)
    scenario = steady.model_copy(update={"supply_cuts": cuts})
    header, *rows = STATE.splitlines()
    shares = {"dc_0": ",0.5,,1"}
    lines = [f"{header},confirmed_0,confirmed_1,confirmed_2"]
    lines += [row + shares.get(row.split(",")[1], ",,,") for row in rows]
    (tmp_path / "state.csv").write_text("\n".join(lines), encoding="utf-8")
    planner = Planner(OnnxPolicy.load(write_policy(scenario, OPTIONS)), scenario)

    recommendation = planner.recommend(read_stock_count(tmp_path / "state.csv", planner.schema))

    order = find(recommendation, "dc_0", "shirt", "order")
    assert (order.requested, order.units) == (97, 49)  # half of it, rounded half up
    state, announce = planner.today.state, planner.today.simulator.announce
    tomorrow = replace(state, period=state.period + 1)
    assert known(announce(state))[0].tolist() == [[0.5, 1.0, 1.0]]
    assert known(announce(tomorrow))[0].tolist() == [[1.0, 1.0, 1.0]]


def test_simulate_plans__returns_that_are_due_after_all_its_days_change_nothing(
    write_policy: WritePolicy,
) -> None:
    retail = load_scenario("retail")  # whose returns come after up to 60 days
    planner = Planner(OnnxPolicy.load(write_policy(retail)), retail, num_futures=5)
    schema, env, days = planner.schema, planner.today, count_days(planner.network)
    due = [name for name, column in schema.columns.items() if column.field == "returns_due"]
    rows: list[Row] = []
    for n, node in enumerate(schema.nodes):
        for k, sku in enumerate(schema.skus):
            at_dc = n < schema.num_dcs
            row: dict[str, Cell] = {"day": 3, "node": node, "sku": sku}
            row["on_hand"] = 43 if at_dc else 3
            if not at_dc:
                row |= {name: (7 * k + 3 * i) % 5 for i, name in enumerate(due)}
            rows.append(("row", row))
    start = planner.make_start(schema.parse(rows, "rows"))
    restore(env, start)

    def simulate(soon: int | None) -> Plan:
        state, signals = begin(env, start, draw_start(env, range(5)), soon)
        assert state.returns_due.shape[1] == (soon or len(due))
        futures = ComingDays(begin=state, days=draw_days(env, state, signals))
        return simulate_plans(env, [futures], [planner.classical.compute_targets])[0]

    expected, found = simulate(None), simulate(days)

    assert len(due) > days
    np.testing.assert_array_equal(found.shortage, expected.shortage)
    for name, units in expected.expected.items():
        np.testing.assert_array_equal(found.expected[name], units)
    assert (simulate(days - 3).shortage != expected.shortage).any()  # it would matter


def test_to_csv__a_name_is_no_formula(recommendation: Recommendation) -> None:
    names = {"store_0": "=HYPERLINK(1)", "store_1": "@x"}
    data = recommendation.model_dump()
    for row in (*data["decisions"], *data["outlook"]):
        row["node"] = names.get(row["node"], row["node"])
    for row in data["decisions"]:
        row["destination"] = names.get(row["destination"], row["destination"])
    table = make_tables(Recommendation.model_validate(data), everything=True)[0]
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert {row["to"] for row in rows} == {"dc_0", "'=HYPERLINK(1)", "'@x"}
    assert any(row["proposal_ordering_high"].startswith("-") for row in rows)  # numbers stay
