"""Stock counts as real systems write them: negative, with strangers, gaps, dates and ages."""

import csv
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from envs.errors import InputError
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.world.simulator import Simulator
from marl.commands.cli import app
from marl.planning.on_order import add_on_order, read_on_order
from marl.planning.order_tables import make_tables
from marl.planning.planner import Planner
from marl.planning.restore import begin, draw_start, restore
from marl.planning.stock_count import StockCount, StockCountSchema
from marl.planning.stock_count_file import read_stock_count
from marl.planning.table_files import write_tables
from tests.conftest import known
from tests.daily_chain import (
    FIRST,
    RECORD,
    SKUS,
    make_rule,
    write_scenario,
    write_stock,
)  # fmt: skip
from tests.make_shapes import Shape
from tests.test_stock_count import GOOD, TINY
from tests.write_shapes import write_excel

TODAY = FIRST + timedelta(RECORD)


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    return load_scenario(write_scenario(tmp_path, RECORD))


def read(
    folder: Path, text: str, schema: StockCountSchema = TINY, *, fix: bool = False
) -> StockCount:
    path = folder / "state.csv"
    path.write_text(text, encoding="utf-8")
    return read_stock_count(path, schema, fix=fix)


def test_read_stock_count__negative_stock_is_none_and_told(tmp_path: Path) -> None:
    found = read(tmp_path, GOOD.replace("500", "-500").replace("shirt,2", "shirt,-1"))
    assert found.units["on_hand"].tolist() == [[[10, 0], [4, 40], [0, 40]]]
    assert found.notes == ("negative stock counts as 0: 2 rows, 501 units",)
    assert found.read == "6 rows of day 3, 94 units on hand, 8 on their way, 1 owed"


def test_read_stock_count__strangers_are_left_out_and_told(tmp_path: Path) -> None:
    found = read(tmp_path, GOOD + "3,dc_0,hat,7,,,,\n3,store_9,shirt,7,,,,\n")
    assert found.units["on_hand"].sum() == 596
    assert found.notes == ("rows of nodes or SKUs that the scenario lacks are left out: 2",)


def test_read_stock_count__missing_rows_are_empty_with_fix_alone(tmp_path: Path) -> None:
    short = "\n".join(GOOD.splitlines()[:-2])
    with pytest.raises(InputError, match=r"6 rows are needed, one for each of them; --fix takes"):
        read(tmp_path, short)
    found = read(tmp_path, short, fix=True)
    assert found.units["on_hand"].tolist() == [[[10, 500], [4, 40], [0, 0]]]
    assert found.notes == ("--fix takes missing rows for empty: 2",)
    with pytest.raises(InputError, match=r"the row of node 'dc_0' and sku 'shirt' is missing"):
        read(tmp_path, GOOD.splitlines()[0], fix=True)


def test_read_stock_count__what_is_due_today_is_on_hand(tmp_path: Path) -> None:
    found = read(tmp_path, GOOD.replace("in_transit_1", "in_transit_0"))
    assert found.units["on_hand"].tolist() == [[[15, 500], [7, 40], [2, 40]]]
    assert found.units["in_transit"].sum() == 0


@pytest.mark.parametrize("day", ["29.10.23", "29-Oct-2023", "2023-10-29 00:00:00", "10/29/2023"])
def test_read_stock_count__dates_and_numbers_of_other_systems(
    day: str, scenario: Scenario, tmp_path: Path
) -> None:
    schema = Planner(make_rule(scenario), scenario, num_futures=2).schema
    write_stock(tmp_path / "stock.csv", RECORD)
    header, *rows = (tmp_path / "stock.csv").read_text("utf-8").splitlines()
    expected = read_stock_count(tmp_path / "stock.csv", schema)
    assert len(rows) > 3
    text = "\n".join([f"{header.title()};In_Transit_1;Smoothed_Store".replace(",", ";"), *rows])
    text = text.replace(f"{RECORD},", f"{day};").replace(",", ";") + "\n"
    lines = text.splitlines()
    lines[1:] = [f"{line};NULL;" for line in lines[1:]]
    lines[1] = lines[1].replace(";150;NULL;", ";1.250,0;2,00;")
    lines[2] = lines[2].replace(";9;NULL;", ";9;-;1.500,25")
    found = read(tmp_path, "\n".join(lines), schema)
    assert found.day == RECORD
    assert found.units["on_hand"].sum() == expected.units["on_hand"].sum() - 150 + 1250
    assert found.units["in_transit"].sum() == 2
    assert np.nansum(found.smoothed) == 1500.25
    with pytest.raises(InputError, match="line 2, column day: '05/06/2023' is not allowed"):
        read(tmp_path, "\n".join(lines).replace(day, "05/06/2023"), schema)


def test_read_stock_count__a_workbook(scenario: Scenario, tmp_path: Path) -> None:
    schema = Planner(make_rule(scenario), scenario, num_futures=2).schema
    path = write_stock(tmp_path / "stock.csv", RECORD)
    expected = read_stock_count(path, schema)
    header, *rows = [line.split(",") for line in path.read_text("utf-8").splitlines()]
    rows = [["29.10.2023", *row[1:]] for row in rows]
    book = write_excel(Shape([header, *rows], "", 0), tmp_path / "stock")
    found = read_stock_count(book, schema)
    assert found.read == expected.read
    np.testing.assert_array_equal(found.units["on_hand"], expected.units["on_hand"])
    book = write_excel(Shape([header, *rows, rows[0]], "", 0), tmp_path / "stock")
    with pytest.raises(InputError, match=r"line 20: 'dc' and 'steady' stand in .*, line 2 already"):
        read_stock_count(book, schema)


def test_make_template__says_that_nobody_counted(tmp_path: Path) -> None:
    template = TINY.make_template()
    note = "on_hand is the template's, which the scenario assumes; fill in what you counted"
    assert read(tmp_path, template).notes == (note,)
    with pytest.raises(InputError, match="line 2, column on_hand: empty; a whole number is needed"):
        read(tmp_path, TINY.make_template(empty=True))
    path = str(tmp_path / "state.csv")
    done = CliRunner().invoke(app, ["scenario", "state-template", "tiny", "--out", path])
    assert (
        "on_hand is what the scenario assumes, not yours: fill in what you counted" in done.output
    )
    again = CliRunner().invoke(
        app, ["scenario", "state-template", "tiny", "--out", path, "--empty"]
    )
    assert "on_hand is empty: fill in what you counted" in again.output
    rows = csv.DictReader(Path(path).read_text("utf-8").splitlines())
    assert {row["on_hand"] for row in rows} == {""}


def test_read_stock_count__ages_fill_the_shelves(tiny: Scenario, tmp_path: Path) -> None:
    skus = [tiny.skus[0].model_copy(update={"shelf_life": 3}), tiny.skus[1]]
    fresh = tiny.model_copy(update={"skus": skus})
    schema = StockCountSchema(Simulator(fresh))
    header, *rows = GOOD.splitlines()
    ages = {"3,store_0,shirt": ",1,2"}
    lines = [f"{header},expires_0,expires_1"]
    lines += [row + ages.get(",".join(row.split(",")[:3]), ",,") for row in rows]
    count = read(tmp_path, "\n".join(lines), schema)
    planner = Planner(make_rule(fresh, "order_up_to"), fresh, num_futures=2)
    start = planner.make_start(count)
    restore(planner.today, start)
    shelf = known(planner.today.state.shelf)
    assert shelf[0, :, :, 0].T.tolist() == [[1, 2, 1], [0, 0, 2]]  # by days left, 4 and 2 shirts
    assert shelf[0, :, :, 1].sum() == 0  # lamps keep
    futures, _ = begin(planner.today, start, draw_start(planner.today, range(2)))
    np.testing.assert_array_equal(known(futures.shelf), np.repeat(shelf, 2, axis=0))
    wrong = "\n".join(lines).replace("6.5,1,2", "6.5,3,2")
    with pytest.raises(InputError, match=r"'store_0' and 'shirt' sum to 5; at most on_hand, 4, is"):
        read(tmp_path, wrong, schema)


def write_lines(folder: Path, *rows: str) -> Path:
    path = folder / "open.csv"
    header = "order_date,arrival_date,from,to,sku,units"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_add_on_order__lines_arrive_on_their_dates(scenario: Scenario, tmp_path: Path) -> None:
    planner = Planner(make_rule(scenario), scenario)
    schema = planner.schema
    count = read_stock_count(write_stock(tmp_path / "stock.csv", RECORD), schema)
    longest = len(count.units["in_transit"])
    days = [TODAY + timedelta(d) for d in (-9, 0, 1, 2, longest + 5)]
    rows = [f",{day},supplier,dc,steady,{2**i}" for i, day in enumerate(days)]
    rows += [f"{TODAY},{days[2]},dc,Berlin,steady,64", f"{days[0]},{days[2]},dc,Koeln,steady,128"]
    rows += [f",{days[2]},supplier,dc,hat,9"]
    with pytest.raises(InputError, match="column order_date: this cell is empty"):
        read_on_order(write_lines(tmp_path, *rows), schema)
    rows = [f"{days[0]}{row}" if row.startswith(",") else row for row in rows]
    found = add_on_order(count, read_on_order(write_lines(tmp_path, *rows), schema), schema)
    steady = SKUS.index("steady")
    before, after = count.units, found.units
    on_hand = after["on_hand"][0, :, steady] - before["on_hand"][0, :, steady]
    assert on_hand.tolist() == [1 + 2 - 64, 0, 0]  # what leaves today was still in the count
    assert after["in_transit"][:, 0, steady].tolist() == [4, 8, *[0] * (longest - 3), 16]
    assert after["in_transit"][0, :, steady].tolist() == [4, 64, 128]
    assert found.notes == (
        "late lines on order count as due today: 1 (1 units)",
        "lines on order due after the longest lead time count as due in "
        f"{longest} days: 1 (16 units)",
        "lines on order of unknown nodes or SKUs are left out: 1",
    )
    assert found.read.endswith("; on order: 7 lines, 223 units")


def test_recommend__the_orders_of_today_as_on_order_leave_nothing_to_order(
    scenario: Scenario, tmp_path: Path
) -> None:
    planner = Planner(make_rule(scenario), scenario)
    count = read_stock_count(write_stock(tmp_path / "stock.csv", RECORD), planner.schema)
    count.units["on_hand"][0, 0] //= 10
    table = make_tables(planner.recommend(count))[0]
    assert len(table.rows) > 5
    path = tmp_path / "orders.csv"
    write_tables(path, [table], "csv", "--out")
    again = planner.recommend(
        add_on_order(count, read_on_order(path, planner.schema), planner.schema)
    )
    assert make_tables(again)[0].rows == []


def test_commands__a_count_as_it_is_and_what_was_read(
    scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rule.json").write_text(make_rule(scenario).metadata.model_dump_json())
    text = write_stock(tmp_path / "stock.csv", RECORD).read_text("utf-8")
    text = text.replace(f"{RECORD},", f"{TODAY},").replace("Koeln,slow,0", "Koeln,slow,-2")
    (tmp_path / "stock.csv").write_text(text + f"\n{TODAY},dc,hat,3\n", encoding="utf-8")
    write_lines(tmp_path, f"{TODAY},{TODAY + timedelta(1)},dc,Berlin,steady,6")
    own = ["--policy", "rule.json", "--scenario", f"mine-{RECORD}.yaml", "--state", "stock.csv"]
    done = CliRunner().invoke(
        app, ["recommend", *own, "--on-order", "open.csv", "--out", "orders.csv"]
    )
    assert done.exit_code == 0, done.output
    for line in (
        "stock.csv: 18 rows of 2023-10-29, 1271 units on hand, 0 on their way, 0 owed; "
        "on order: 1 lines, 6 units",
        "note: negative stock counts as 0: 1 rows, 2 units",
        "note: rows of nodes or SKUs that the scenario lacks are left out: 1",
    ):
        assert line in done.output


def test_rule_file__shares_lie_between_0_and_1(scenario: Scenario) -> None:
    policy = make_rule(scenario)
    rule = policy.metadata.rule
    wrong = rule.model_copy(update={"parameters": rule.parameters | {"online_share": 1.7}})
    metadata = policy.metadata.model_copy(update={"rule": wrong})
    with pytest.raises(
        InputError,
        match=r"^rule safety_stock: online_share: 1.7 is not allowed; a share from 0 to 1 ",
    ):
        Planner(replace(policy, metadata=metadata), scenario)


def test_on_order__this_weeks_orders_count_for_weekly_budgets(tmp_path: Path) -> None:
    data = load_scenario("tiny").model_dump(mode="json", exclude_none=True)
    for sku, price in zip(data["skus"], (2, 5), strict=True):
        sku["unit_cost"] = price
    data["suppliers"] = [{"name": "mill", "weekly_budget": 100}]
    scenario = Scenario.model_validate(data)
    schema = StockCountSchema(Simulator(scenario))
    count = read(tmp_path, schema.make_template(), schema)
    wednesday, nothing = 9, 0 * count.units["on_hand"]
    count = replace(count, day=wednesday, units={**count.units, "on_hand": nothing})
    path = tmp_path / "open.csv"
    lines = ["order_date,arrival_date,from,to,sku,units"]
    lines += [f"{day},11,mill,dc_0,shirt,20" for day in (6, 7, 9)]  # last Sunday, Monday, today
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    found = add_on_order(count, read_on_order(path, schema), schema)

    assert known(found.spent).tolist() == [2 * 20 * 2]
    planner = Planner(make_rule(scenario), scenario, num_futures=5)
    orders = [row for row in planner.recommend(found).decisions if row.source == "mill"]
    money = sum(row.units * {"shirt": 2, "lamp": 5}[row.sku] for row in orders)
    free = planner.recommend(replace(found, spent=None)).decisions
    most = sum(r.units * {"shirt": 2, "lamp": 5}[r.sku] for r in free if r.source == "mill")
    assert money <= 20 < most <= 100
