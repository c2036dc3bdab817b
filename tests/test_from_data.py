"""From a planner's files to a scenario: exact numbers on files made by hand."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from envs.errors import InputError
from envs.omnichannel.data import load_grocery_demand
from envs.omnichannel.scenario import load_scenario
from envs.omnichannel.world.demand import make_demand
from envs.omnichannel.world.demand.traces import TraceDemand
from marl.evaluation.evaluate import evaluate_policies
from marl.planning.from_data.make import FromData, Sources, make_scenario
from marl.planning.from_data.summary import Estimate
from marl.policies import make_policy

FIRST = date(2024, 1, 1)  # a Monday
DAYS = 70
WEEKLY = (4, 4, 4, 4, 4, 10, 12)  # mean 6
Rows = list[tuple[object, ...]]


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_demand_rows(days: int = DAYS) -> Rows:
    """Two stores, the second half as large; hats in both, coats in the first one."""
    rows: Rows = []
    for d in range(days):
        day = FIRST + timedelta(d)
        rows += [(day, "S1", "hat", "store", WEEKLY[d % 7])]
        rows += [(day, "S1", "coat", "store", 3 * (d % 3 == 0))]
        rows += [(day, "S2", "hat", "online", WEEKLY[d % 7] // 2)]
    return rows


def write_csv(name: str, header: str, rows: Rows, separator: str = ",") -> Path:
    lines = [header.replace(",", separator)]
    lines += [separator.join(str(cell) for cell in row) for row in rows]
    Path(name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Path(name)


def write_demand(rows: Rows | None = None, **options: Any) -> Path:
    rows = make_demand_rows() if rows is None else rows
    return write_csv("demand.csv", "date,store,sku,channel,units", rows, **options)


def make(demand: Path | None = None, **options: Any) -> FromData:
    """Makes my.yaml of a demand file and, by their names, any others."""
    files = {k: options.pop(k) for k in ("returns", "skus", "nodes", "lanes") if k in options}
    return make_scenario(Sources(demand or write_demand(), **files), Path("my.yaml"), **options)


def refuse(demand: Path | None = None, **options: Any) -> str:
    """The refusal; nothing was written."""
    before = set(Path().iterdir())
    with pytest.raises(InputError) as error:
        make(demand, **options)
    assert set(Path().iterdir()) - before <= {Path("demand.csv")}
    return str(error.value)


def test_make_scenario__replays_the_rows_and_holds_back_the_last_fifth() -> None:
    made = make()
    scenario = load_scenario("my.yaml")
    trace = make_demand(scenario)
    assert isinstance(trace, TraceDemand)
    assert (made.train_days, made.held_back_days, made.first_held_back) == (56, 14, "2024-02-26")
    assert (trace.train_days, trace.units.shape) == (56, (70, 2, 2, 2))
    assert trace.units[5].tolist() == [[[10, 0], [0, 0]], [[0, 5], [0, 0]]]
    assert trace.units.sum() == 10 * 42 + 3 * 24 + 10 * 21
    # Coats sell on days 0, 3, ..., 54 of the 56 training days, and on 17 of the first 49.
    assert trace.scale == pytest.approx(np.array([[[6, 0], [57 / 56, 0]], [[0, 3], [0, 0]]]))
    assert trace.burn_in == 49
    assert trace.mean == pytest.approx(np.array([[[6, 0], [51 / 49, 0]], [[0, 3], [0, 0]]]))
    assert trace.season[:7, 0, 0] == pytest.approx(np.array(WEEKLY) / 6)
    assert [store.size for store in scenario.network.stores] == pytest.approx([1.401, 0.599])
    assert scenario.horizon == 7


def test_summary__finds_the_known_weekdays_shares_and_zeros() -> None:
    summary = make().summary
    assert summary.units_a_day.value == pytest.approx(9 + 57 / 56)
    assert (summary.units_a_day.n, summary.units_a_day.of) == (8, "weeks")
    assert summary.online_share is not None
    assert summary.online_share.value == pytest.approx(3 / (9 + 57 / 56))
    # Coats: on each weekday 8 days of which 2 or 3 sell; the totals by weekday follow.
    coats = np.bincount(np.arange(0, 56, 3) % 7, minlength=7) * 3
    totals = np.array(WEEKLY) * 1.5 * 8 + coats
    factors = [estimate.value for estimate in summary.weekdays.values()]
    assert factors == pytest.approx(totals / totals.mean())
    assert summary.zero_days.value == pytest.approx((56 - 19 + 56) / (4 * 56))
    assert summary.patterns == {"smooth": 2, "erratic": 0, "intermittent": 1, "lumpy": 0}
    assert summary.season is None
    assert summary.return_rate is None


def test_summary__an_interval_encloses_the_value_and_is_repeatable() -> None:
    first = make().summary
    assert first == make(force=True).summary
    found = [first.units_a_day, first.zero_days, *first.weekdays.values()]
    assert all(e.low <= e.value + 1e-9 and e.value <= e.high + 1e-9 for e in found)
    assert first.weekdays["Mon"].low < first.weekdays["Mon"].high


def test_summary__finds_a_season_and_its_amplitude() -> None:
    rng = np.random.default_rng(5)
    day = np.arange(500)
    units = rng.poisson(200 * (1 + 0.3 * np.sin(2 * np.pi * day / 91)))
    rows: Rows = [(FIRST + timedelta(d), "S", "A", "store", u) for d, u in enumerate(units)]
    season = make(write_demand(rows), held_back="60 days").summary.season
    assert season is not None
    assert season.period == pytest.approx(91, abs=1)
    assert season.amplitude.low < 0.3 < season.amplitude.high
    assert season.amplitude.high - season.amplitude.low < 0.05


def test_returns__rate_and_delays_are_those_of_the_file() -> None:
    back: Rows = []
    for d in (10, 20, 30):
        back.append((FIRST + timedelta(d), "S1", "hat", 4, FIRST + timedelta(d - 3)))
        back.append((FIRST + timedelta(d), "S2", "hat", 2, FIRST + timedelta(d - 8)))
    back.append((FIRST + timedelta(60), "S1", "hat", 50, FIRST + timedelta(59)))  # held back
    returns = write_csv("returns.csv", "date,store,sku,units,sale_date", back)
    skus = write_csv("skus.csv", "sku,category", [("hat", "head"), ("coat", "body")])
    made = make(returns=returns, skus=skus)
    scenario = load_scenario("my.yaml")
    # 18 of 9 x 56 hats come back, no coat; two thirds after 3 days.
    assert scenario.categories["head"].return_rate == pytest.approx(18 / 504, abs=1e-5)
    assert scenario.categories["body"].return_rate == 0
    delay = scenario.returns.delay.model_dump()
    assert delay["probabilities"] == pytest.approx({3: 2 / 3, 8: 1 / 3}, abs=1e-6)
    found = {name: e.value for name, e in made.summary.return_delay.items()}
    assert found == pytest.approx({"mean": 14 / 3, "median": 3, "p90": 8})
    assert made.summary.return_delay["mean"].n == 6
    assert made.summary.return_rate is not None
    assert made.summary.return_rate.value == pytest.approx(18 / (504 + 57))


def test_promotion__uplift_is_against_the_same_cell_on_other_days() -> None:
    rows: Rows = []
    for d in range(56):
        promoted = d % 14 == 0
        rows.append((FIRST + timedelta(d), "S", "A", 9 if promoted else 6, int(promoted)))
    demand = write_csv("demand.csv", "date,store,sku,units,promotion", rows)
    uplift = make(demand).summary.promotion_uplift
    assert uplift == Estimate(1.5, 1.5, 1.5, 7, "weeks")


def test_network__is_that_of_the_files() -> None:
    nodes = write_csv(
        "nodes.csv",
        "node,kind,parent,capacity",
        [("north", "dc", "", 900), ("S1", "store", "north", 80), ("S2", "store", "", "")],
    )
    lanes = write_csv(
        "lanes.csv",
        "from,to,distance,lead_time,cost",
        [
            ("supplier", "north", 800, 9, ""),
            ("north", "S1", 30, 1, 0.2),
            ("north", "S2", 90, 2, 0.4),
        ],
    )
    make(nodes=nodes, lanes=lanes)
    scenario = load_scenario("my.yaml")
    (dc,) = scenario.network.dcs
    assert (dc.name, dc.supplier_lead_time, dc.capacity) == ("north", 9, 900)
    stores = [(s.parent, s.distance, s.lead_time, s.capacity) for s in scenario.network.stores]
    assert stores == [("north", 1, 1, 80), ("north", 3, 2, None)]
    assert scenario.costs.transport == pytest.approx((2 * 0.2 + 4 * 0.4) / (4 + 16))


def test_costs__are_scaled_by_the_margin() -> None:
    skus = write_csv("skus.csv", "sku,price,unit_cost", [("hat", 10, 6), ("coat", 10, 6)])
    make(skus=skus)
    scenario = load_scenario("my.yaml")
    assert scenario.costs.lost_sale == pytest.approx(4)
    assert scenario.costs.holding_store == pytest.approx(0.25 * 6 / 365, rel=1e-3)
    assert scenario.reward.cost_scale == pytest.approx(4)


def test_costs__are_each_skus_own() -> None:
    skus: Rows = [("hat", 10, 6), ("coat", 5, 5)]  # a coat brings no margin
    make(skus=write_csv("skus.csv", "sku,price,unit_cost", skus))
    scenario = load_scenario("my.yaml")
    assert [(s.name, s.price, s.unit_cost) for s in scenario.skus] == [
        ("hat", 10, 6), ("coat", None, None),
    ]  # fmt: skip
    assert scenario.costs.holding_share_store == pytest.approx(0.25 / 365, rel=1e-3)
    assert scenario.costs.holding_share_dc == pytest.approx(0.125 / 365, rel=1e-3)
    text = Path("my.yaml").read_text(encoding="utf-8")
    assert "# ASSUMED: 1 of 2 SKUs have no price above their unit cost" in text


def test_skus__have_the_shelf_lives_that_the_simulator_can_follow() -> None:
    make(skus=write_csv("skus.csv", "sku,shelf_life", [("hat", 400), ("coat", 12)]))
    assert [sku.shelf_life for sku in load_scenario("my.yaml").skus] == [None, 12]


def test_yaml__marks_what_is_assumed() -> None:
    make()
    text = Path("my.yaml").read_text(encoding="utf-8")
    for remark in (
        "# ASSUMED: one DC, dc_0, supplies 2 stores",
        "# ASSUMED: nothing comes back (no file of returns)",
        "# ASSUMED: returns take 2 to 7 days (no file of returns)",
        "# ASSUMED: all costs, in units of the margin lost with a lost sale",
    ):
        assert remark in text.splitlines()
    assert yaml.safe_load(text)["demand"]["train_days"] == 56


def test_trace__with_online_rows_has_no_assumed_share() -> None:
    make()
    assert "online_share" not in Path("my.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("held_back", "train"), [("20", 50), ("20 days", 50), ("2024-02-10", 40), (None, 56)]
)
def test_held_back__is_days_or_a_date(held_back: str | None, train: int) -> None:
    assert make(held_back=held_back).train_days == train


NAMES = {"S1": "NA", "S2": "007", "hat": "true", "coat": '"a""b, c"'}


def change(**names: str) -> Rows:
    """The demand's rows under other names."""
    return [tuple(names.get(str(cell), cell) for cell in row) for row in make_demand_rows()]


@pytest.mark.parametrize(
    ("rows", "stores", "skus"),
    [
        (change(**NAMES), ["NA", "007"], ["true", 'a"b, c']),
        (change(S1="dc_0", hat="date", coat="1e5"), ["dc_0", "S2"], ["date", "1e5"]),
        (change(store="online"), ["S1", "S2"], ["hat", "coat"]),
        (change(store="pickup"), ["S1", "S2"], ["hat", "coat"]),
        ([(*row[:4], 0) for row in make_demand_rows()], ["S1", "S2"], ["hat", "coat"]),
        ([(*row[:4], 10**6) for row in make_demand_rows()], ["S1", "S2"], ["hat", "coat"]),
    ],
    ids=["texts", "clashes", "online", "pickup", "nothing sold", "most"],
)
def test_make_scenario__of_odd_but_good_files_runs(
    rows: Rows, stores: list[str], skus: list[str]
) -> None:
    make(write_demand(rows))
    scenario = load_scenario("my.yaml")
    assert [store.name for store in scenario.network.stores] == stores
    assert [sku.name for sku in scenario.skus] == skus
    found = evaluate_policies({"naive": make_policy("naive", scenario)}, scenario, 2, 0)
    assert np.isfinite(found.policies["naive"]["reward"].mean)


def test_make_scenario__of_the_grocer_equals_the_bundled_records() -> None:
    """The long form that a planner has, of fifty days, three stores and four product groups."""
    dates, stores, skus, units = load_grocery_demand()
    rows: Rows = [
        (dates[d], stores[s], skus[k], units[d, s, k])
        for d in range(50)
        for s in range(3)
        for k in range(4)
    ]
    make(write_csv("demand.csv", "date,store,sku,units", rows))
    trace = make_demand(load_scenario("my.yaml"))
    assert isinstance(trace, TraceDemand)
    np.testing.assert_array_equal(trace.units[..., 0], units[:50, :3, :4])
    assert trace.units[..., 1].sum() == 0


def test_make_scenario__ragged_leaves_out_what_a_store_never_sold() -> None:
    rows = [
        *make_demand_rows(),
        (FIRST, "S2", "coat", "store", 0),  # is listed, and never sold
        (FIRST, "S1", "scarf", "store", 0),  # never sold anywhere: it is in the scenario
    ]
    made = make(write_demand(rows), is_ragged=True)
    scenario = load_scenario("my.yaml")
    assert made.sections[-1].measured == ["1 of 6 pairs of store and SKU never sold a unit"]
    assert scenario.carried is not None
    assert dict(zip(scenario.sku_names, scenario.carried.T.tolist(), strict=True)) == {
        "coat": [True, False], "hat": [True, True], "scarf": [True, True],
    }  # fmt: skip
    make(write_demand(rows), force=True)
    assert load_scenario("my.yaml").carried is None
