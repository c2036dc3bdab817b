"""The orders as files: dates, packs and money of each line, totals, and formats."""

import csv
import io
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from envs.errors import InputError
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.scenario.order_rules import OrderRule
from marl.commands.cli import app
from marl.planning.on_order import add_on_order, read_on_order
from marl.planning.order_tables import Table, make_tables, split_by_source
from marl.planning.plan_rows import count_packs
from marl.planning.planner import Planner
from marl.planning.policy_file import OnnxPolicy
from marl.planning.recommendation import Recommendation, Totals
from marl.planning.stock_count_file import read_stock_count
from marl.planning.table_files import choose_format, to_csv, write_tables
from tests.conftest import WritePolicy
from tests.daily_chain import FIRST, RECORD, STORES, make_rule, write_scenario, write_stock
from tests.test_recommend import OPTIONS, STATE


@pytest.fixture
def steady(tiny: Scenario) -> Scenario:
    """`tiny` without season or noise, forecast by its mean; an order line costs 2."""
    demand = tiny.demand.model_copy(update={"season_amplitude": 0.0, "noise": 0.0})
    forecast = tiny.forecast.model_copy(update={"method": "mean"})
    costs = tiny.costs.model_copy(update={"fixed_order": 2.0})
    return tiny.model_copy(update={"demand": demand, "forecast": forecast, "costs": costs})


def recommend(scenario: Scenario, folder: Path, write_policy: WritePolicy) -> Recommendation:
    (folder / "state.csv").write_text(STATE, encoding="utf-8")
    planner = Planner(OnnxPolicy.load(write_policy(scenario, OPTIONS)), scenario)
    return planner.recommend(read_stock_count(folder / "state.csv", planner.schema))


def read(table: Table) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(table))))


def pick(row: dict[str, str]) -> tuple[str, ...]:
    return tuple(row.values())[:8]


def test_make_tables__orders_have_dates_packs_and_money(
    steady: Scenario, tmp_path: Path, write_policy: WritePolicy
) -> None:
    found = recommend(steady, tmp_path, write_policy)
    orders, online, returns = make_tables(found)
    # Of 10 shirts each store gets 5, and no lamp is needed. A unit costs 0.03 x (1 + distance).
    assert [pick(row) for row in read(orders)] == [
        ("3", "5", "supplier", "dc_0", "shirt", "97", "97", "2"),
        ("3", "4", "dc_0", "store_0", "shirt", "5", "5", "0.3"),
        ("3", "5", "dc_0", "store_1", "shirt", "5", "5", "0.45"),
    ]
    assert found.totals == {"order": Totals(1, 97, 2.0), "shipment": Totals(2, 10, 0.75)}
    assert (online.name, returns.name) == ("online", "returns")
    assert len(read(online)) == 8  # two stores and SKUs, each with its own share and the DC's
    assert {row["decision"] for row in read(returns)} == {"consolidate"}
    assert [len(table.rows) for table in make_tables(found, everything=True)] == [6, 8, 12]


def test_make_tables__what_is_bought_costs_what_the_scenario_says(
    steady: Scenario, tmp_path: Path, write_policy: WritePolicy
) -> None:
    skus = [steady.skus[0].model_copy(update={"unit_cost": 1.5}), steady.skus[1]]
    scenario = steady.model_copy(update={"skus": skus})
    found = recommend(scenario, tmp_path, write_policy)
    assert found.totals["order"] == Totals(1, 97, 2.0 + 97 * 1.5)
    assert found.totals["shipment"] == Totals(2, 10, 0.75)


def test_make_tables__packs_are_those_of_the_order_rules(
    steady: Scenario, tmp_path: Path, write_policy: WritePolicy
) -> None:
    rules = [OrderRule(to=["dc_0"], multiple=12), OrderRule(to=["store_0"], multiple=2)]
    scenario = steady.model_copy(update={"order_rules": rules})
    orders = make_tables(recommend(scenario, tmp_path, write_policy))[0]
    packs = {(row["to"], row["sku"]): (row["units"], row["packs"]) for row in read(orders)}
    assert packs["dc_0", "shirt"] == ("96", "8")
    units, own = packs["store_0", "shirt"]
    assert int(units) == 2 * int(own) > 0
    assert [count_packs(units, 6) for units in (0, 6, 7)] == [0, 1, 2]


RULES: list[dict[str, Any]] = [
    {},
    {"multiple": 6},
    {"multiple": 12, "minimum": 24},
    {"multiple": 5, "minimum": 7, "rounding": "up"},
    {"to": ["dc"], "multiple": 48, "minimum": 96},
]


@pytest.mark.parametrize("rule", RULES)
def test_recommend__asked_again_with_the_orders_on_their_way_proposes_nothing(
    rule: dict[str, Any], tmp_path: Path
) -> None:
    scenario = load_scenario(write_scenario(tmp_path, RECORD))
    if rule:
        rules = [OrderRule.model_validate(rule)]
        scenario = scenario.model_copy(update={"order_rules": rules})
    planner = Planner(make_rule(scenario), scenario)
    count = read_stock_count(write_stock(tmp_path / "stock.csv", RECORD), planner.schema)
    count.units["on_hand"][0, 0] //= 10  # the DC has to order, and some lines are short
    found = planner.recommend(count)
    rows, today = read(make_tables(found)[0]), FIRST + timedelta(RECORD)
    assert {(row["order_date"], row["arrival_date"]) for row in rows} == {
        (str(today), str(today + timedelta(days))) for days in (3, 1)
    }
    units = {name: array.copy() for name, array in count.units.items()}
    nodes, skus = planner.schema.nodes, planner.schema.skus
    for row in rows:
        k, days = skus.index(row["sku"]), (date.fromisoformat(row["arrival_date"]) - today).days
        units["in_transit"][days - 1, nodes.index(row["to"]), k] += int(row["units"])
        if row["from"] in nodes:
            units["on_hand"][0, nodes.index(row["from"]), k] -= int(row["units"])
    again = planner.recommend(replace(count, units=units))
    assert len(rows) > (1 if rule else 5)
    assert make_tables(again)[0].rows == []
    assert again.totals == {"order": Totals(), "shipment": Totals()}


SUPPLIERS: list[dict[str, Any]] = [
    {"name": "Acme", "skus": ["steady", "slow"], "delivery_days": ["tue", "fri"],
     "order_days": ["sun", "wed"], "minimum_units": 30, "unit_cost": {"steady": 2.5},
     "holidays": ["2023-11-03"]},
    {"name": "Best", "skus": ["launched", "justnew"], "lead_time": 2, "minimum_units": 60,
     "cut_off": "10:30"},
]  # fmt: skip
CALENDARS: list[dict[str, Any]] = [
    {"to": ["Berlin"], "order_days": ["sun"], "delivery_days": ["wed"], "cut_off": "14:00"},
    {"to": ["Koeln"], "order_days": ["mon"], "cut_off": "09:00"},
]


def test_recommend__suppliers_have_names_and_orders_arrive_by_their_calendar(
    tmp_path: Path,
) -> None:
    trace = {"process": "trace", "file": f"sales-{RECORD}.csv.gz", "train_days": 240}
    changes: dict[str, Any] = {"suppliers": SUPPLIERS, "order_calendars": CALENDARS}
    changes["demand"] = trace | {"first_day": str(FIRST)}
    scenario = load_scenario(write_scenario(tmp_path, RECORD, **changes))
    planner = Planner(make_rule(scenario), scenario, num_futures=20)
    count = read_stock_count(write_stock(tmp_path / "stock.csv", RECORD), planner.schema)
    count.units["on_hand"][:] = 1  # on a Sunday, the 29th
    found = planner.recommend(count)
    table = make_tables(found)[0]
    sent = {(row["to"], row["sku"]): row for row in read(table)}
    arrival = {place: (row["from"], row["arrival_date"]) for place, row in sent.items()}
    # Three days, which is Wednesday; Friday is a holiday, so it waits for Tuesday.
    assert arrival["dc", "steady"] == ("Acme", "2023-11-07")
    assert arrival["dc", "launched"] == ("Best", "2023-10-31")
    assert arrival["dc", "rising"] == ("supplier", "2023-11-01")
    assert arrival["Berlin", "steady"] == ("dc", "2023-11-01")
    times = [note for note in found.notes if "must be placed" in note]
    assert times == [
        "orders from Best must be placed by 10:30",
        "orders from dc must be placed by 14:00",
    ]
    assert {to for to, _ in sent} == {"dc", "Berlin"}  # Koeln may not order before tomorrow
    assert float(sent["dc", "steady"]["cost"]) == 2.5 * int(sent["dc", "steady"]["units"])
    protection = {(row.node, row.sku): row.protection_days for row in found.outlook}
    assert protection["Berlin", "steady"] == 10  # next Sunday's arrives on Wednesday
    assert [own.name for own in split_by_source(table)][:2] == ["from-Acme", "from-Best"]
    write_tables(tmp_path / "orders.csv", [table], "csv", "--out")
    lines = read_on_order(tmp_path / "orders.csv", planner.schema)
    again = planner.recommend(add_on_order(count, lines, planner.schema))
    assert make_tables(again)[0].rows == []


def test_write_tables__parquet_has_types_and_excel_no_formulas(
    steady: Scenario, tmp_path: Path, write_policy: WritePolicy
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    tables = make_tables(recommend(steady, tmp_path, write_policy))
    table = Table("orders", {"date": date, "sku": str, "units": int, "cost": float}, [])
    table.rows.append([FIRST, "=A1", 3, 0.5])
    written = write_tables(tmp_path / "a.parquet", [table, *tables[1:]], "parquet", "--out")
    assert [path.name for path in written] == [
        "a.parquet", "a-online.parquet", "a-returns.parquet",
    ]  # fmt: skip
    expected = {"date": FIRST, "sku": "=A1", "units": 3, "cost": 0.5}
    assert parquet.read_table(tmp_path / "a.parquet").to_pylist() == [expected]
    openpyxl = pytest.importorskip("openpyxl")
    write_tables(tmp_path / "a.xlsx", [table], "xlsx", "--out")
    names, cells = openpyxl.load_workbook(tmp_path / "a.xlsx").active.iter_rows(values_only=True)
    assert names == ("date", "sku", "units", "cost")
    assert (cells[0].date(), *cells[1:]) == (FIRST, "'=A1", 3, 0.5)


def test_choose_format__follows_the_name_of_the_file() -> None:
    for name in ("csv", "xlsx", "parquet"):
        assert choose_format(None, Path(f"orders.{name.upper()}")) == name
        assert choose_format(name, Path("orders.csv")) == name
    assert choose_format(None, Path("orders")) == choose_format(None, None) == "csv"
    with pytest.raises(InputError, match=r"^--format: 'pdf' is not known; allowed: csv, xlsx, pa"):
        choose_format("pdf", None)


def test_recommend_command__writes_what_is_to_be_ordered_and_all_on_demand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scenario = load_scenario(write_scenario(tmp_path, RECORD))
    (tmp_path / "rule.json").write_text(make_rule(scenario).metadata.model_dump_json())
    write_stock(tmp_path / "stock.csv", RECORD)
    own = ["--policy", "rule.json", "--scenario", f"mine-{RECORD}.yaml", "--state", "stock.csv"]
    lines = []
    for options in ([], ["--all"]):
        done = CliRunner().invoke(app, ["recommend", *own, "--out", "orders.csv", *options])
        assert done.exit_code == 0, done.output
        lines.append(list(csv.DictReader((tmp_path / "orders.csv").open(encoding="utf-8"))))
    few, every = lines
    assert len(every) == 6 * (1 + len(STORES))
    assert few == [row for row in every if row["units"] != "0"]
    units = sum(int(row["units"]) for row in few if row["from"] == "supplier")
    assert f"orders.csv: {len(every)} lines of 2023-10-29" in done.output
    assert f"orders: {sum(row['from'] == 'supplier' for row in few)}, {units} units" in done.output
    assert not [*tmp_path.glob("orders-*")]  # nothing is sold online, nothing comes back


def test_recommend_command__splits_what_suppliers_and_dcs_send(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scenario = load_scenario(write_scenario(tmp_path, RECORD))
    (tmp_path / "rule.json").write_text(make_rule(scenario).metadata.model_dump_json())
    stock = write_stock(tmp_path / "stock.csv", RECORD)
    stock.write_text(stock.read_text("utf-8").replace(",300\n", ",3\n"), "utf-8")
    own = ["--policy", "rule.json", "--scenario", f"mine-{RECORD}.yaml", "--state", "stock.csv"]
    own += ["--by-supplier"]
    done = CliRunner().invoke(app, ["recommend", *own, "--out", "orders.csv"])
    assert done.exit_code == 0, done.output
    whole, *parts = (
        list(csv.DictReader((tmp_path / f"orders{name}.csv").open(encoding="utf-8")))
        for name in ("", "-from-supplier", "-from-dc")
    )
    for name, part in zip(("supplier", "dc"), parts, strict=True):
        assert part == [row for row in whole if row["from"] == name] != []
        kind = "orders" if name == "supplier" else "shipments"
        units = sum(int(row["units"]) for row in part)
        assert f"  {kind} from {name}: {len(part)}, {units} units, cost " in done.output
    refused = CliRunner().invoke(app, ["recommend", *own])
    assert "--by-supplier: not allowed without --out" in f"{refused.output}{refused.exception}"


def test_split_by_source__names_files_that_every_system_can_hold() -> None:
    columns: dict[str, type] = {"from": str, "units": int}
    names = ["a/b", "A?b", "../x", "a/b"]
    table = Table("orders", columns, [[name, i] for i, name in enumerate(names)])
    found = split_by_source(table)
    assert [own.name for own in found] == ["from-a_b", "from-A_b-2", "from-_x"]
    assert [[row[1] for row in own.rows] for own in found] == [[0, 3], [1], [2]]
