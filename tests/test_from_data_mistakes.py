"""What a planner's files get wrong: each mistake at its line, and what `--fix` cures."""

import time
from datetime import timedelta
from pathlib import Path

import pytest

from envs.omnichannel.scenario import load_scenario
from envs.omnichannel.world.demand import make_demand
from envs.omnichannel.world.demand.traces import TraceDemand
from tests.test_from_data import (
    DAYS,
    FIRST,
    Rows,
    in_empty_folder,
    make,
    make_demand_rows,
    refuse,
    write_csv,
    write_demand,
)

__all__ = ["in_empty_folder"]  # the fixture acts here too


def test_returns__more_than_was_sold_is_refused_at_its_line() -> None:
    back: Rows = [(FIRST, "S1", "coat", 1), (FIRST, "S1", "hat", 900)]
    returns = write_csv("returns.csv", "date,store,sku,units", back)
    skus = write_csv("skus.csv", "sku,category", [("hat", "head"), ("coat", "body")])
    message = refuse(returns=returns, skus=skus)
    assert message.startswith("returns.csv, line 3, column units: '900' and the rows after it")


@pytest.mark.parametrize("held_back", ["3", "69 days", "2023-01-01", "next week"])
def test_held_back__refuses_what_leaves_too_little(held_back: str) -> None:
    assert refuse(held_back=held_back).startswith(f"--held-back: '{held_back}' ")


ROW = "2024-01-05"
DEMAND_MISTAKES = [
    # line 14 is 2024-01-05, S1, hat; the row is (date, store, sku, channel, units)
    (4, "-2", "line 14, column units: '-2' is not allowed; whole numbers from 0 to 1,000,000 are "
     "allowed; --fix: counts it as a return on its day"),
    (4, "2.5", "line 14, column units: '2.5' is not allowed; whole numbers from 0 to 1,000,000 "
     "are allowed; --fix: rounds it"),
    (4, "", "line 14, column units: this cell is empty; whole numbers from 0 to 1,000,000 are "
     "allowed; --fix: counts it as 0"),
    (4, "12 pcs", "line 14, column units: '12 pcs' is not a number; "),
    (4, "9999999", "line 14, column units: '9999999' is not allowed; "),
    (4, "nan", "line 14, column units: 'nan' is a missing value; whole numbers from 0 to "
     "1,000,000 are allowed; --fix: counts it as 0"),
    (3, "web", "line 14, column channel: 'web' is not known; allowed: store, online, pickup"),
    (0, "0001-01-01", "line 14, column date: '0001-01-01' is not allowed; 1970-01-01 to "),
    (0, "2024-02-30", "line 14, column date: '2024-02-30' is not a day of the calendar; "),
    (0, "31.01.2024", "line 14, column date: '31.01.2024' mixes date formats; most rows have "
     "YYYY-MM-DD; --fix: reads every date in its own format"),
    (0, "01/02/2024", "line 14, column date: '01/02/2024' may be day/month or month/day; "),
    (0, "1917-01-05", "line 14, column date: '1917-01-05' is not allowed; "),
    (0, "1990-01-05", "line 14, column date: '1990-01-05' makes the records 12484 days long; "),
    (1, "", "line 14, column store: this cell is empty; a name is needed"),
]  # fmt: skip


@pytest.mark.parametrize(("column", "text", "message"), DEMAND_MISTAKES)
def test_demand__a_mistake_names_file_line_and_column(column: int, text: str, message: str) -> None:
    rows = make_demand_rows()
    rows[12] = (*rows[12][:column], text, *rows[12][column + 1 :])
    assert refuse(write_demand(rows)).startswith(f"demand.csv, {message}")


def test_demand__an_absent_row_is_no_sale_and_is_counted() -> None:
    rows = make_demand_rows()
    del rows[30], rows[30]
    made = make(write_demand(rows))
    assert made.reading.absent == 2
    assert "2 days of a store and SKU have no row: nothing was sold then" in made.reading.describe()
    trace = make_demand(load_scenario("my.yaml"))
    assert isinstance(trace, TraceDemand)
    assert trace.units[10, 0].sum() == 0
    assert not made.fixed


def test_demand__lines_count_quoted_line_ends() -> None:
    Path("demand.csv").write_text(
        'date,store,sku,units,remark\n2024-01-01,S,A,1,"two\nlines"\n2024-01-02,S,A,x,\n'
    )
    message = refuse(Path("demand.csv"))
    assert message.startswith("demand.csv, line 4, column units: 'x' is not a number")


def test_fix__cures_and_reports_what_can_be_cured() -> None:
    rows = make_demand_rows()
    rows[0] = (*rows[0][:4], -7)  # 4 units before
    rows.append(rows[3])  # 4 units more
    del rows[30]  # 4 units
    demand = write_demand(rows)
    made = make(demand, fix=True)
    trace = make_demand(load_scenario("my.yaml"))
    assert isinstance(trace, TraceDemand)
    assert trace.units.sum() == 10 * 42 + 3 * 24 + 10 * 21 - 4 + 4 - 4
    assert trace.units[0, 0, 0, 0] == 0
    assert trace.units[1, 0, 0, 0] == 8
    assert trace.units[10, 0, 0, 0] == 0
    cures = [(p.line, p.count, p.fix) for p in made.fixed]
    assert cures == [
        (211, 1, "adds up rows of the same day"),
        (2, 1, "counts it as a return on its day"),
    ]


def test_fix__leaves_out_rows_of_unknown_stores_and_skus() -> None:
    nodes = write_csv("nodes.csv", "node,kind", [("dc", "dc"), ("S1", "store")])
    skus = write_csv("skus.csv", "sku", [("hat",)])
    demand = write_demand()
    message = refuse(demand, nodes=nodes, skus=skus)
    assert message.startswith("demand.csv, line 3, column sku: 'coat' is not in the skus file")
    assert message.endswith("(and 139 more); --fix: leaves such rows out")
    make(demand, nodes=nodes, skus=skus, fix=True)
    scenario = load_scenario("my.yaml")
    assert [store.name for store in scenario.network.stores] == ["S1"]
    assert [sku.name for sku in scenario.skus] == ["hat"]


def test_fix__reads_old_excel_encoding() -> None:
    rows = [(*row[:2], "Hüte", *row[3:]) for row in make_demand_rows() if row[2] == "hat"]
    text = write_demand(rows).read_text(encoding="utf-8")
    Path("demand.csv").write_bytes(text.encode("cp1252"))
    message = refuse(Path("demand.csv"))
    assert message.startswith("demand.csv, line 2, column 3: byte 0xfc is not UTF-8 text")
    make(Path("demand.csv"), fix=True)
    assert load_scenario("my.yaml").skus[0].name == "Hüte"


def test_reading__accepts_what_excel_writes() -> None:
    plain = make().summary
    text = write_demand(separator=";").read_text(encoding="utf-8").replace("units", "Units ")
    dates = {str(FIRST + timedelta(d)): f"{FIRST + timedelta(d):%d.%m.%Y}" for d in range(DAYS)}
    for iso, german in dates.items():
        text = text.replace(iso, german)
    Path("excel.csv").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert make(Path("excel.csv"), force=True).summary == plain


@pytest.mark.parametrize(
    ("text", "price"), [("1,5", 1.5), ("0,125", 0.125), ("2.75", 2.75), ("12", 12)]
)
def test_reading__a_decimal_comma_is_read_beside_semicolons(text: str, price: float) -> None:
    skus = write_csv(
        "skus.csv", "sku,price,unit_cost", [("hat", text, 0), ("coat", text, 0)], separator=";"
    )
    make(skus=skus)
    assert load_scenario("my.yaml").costs.lost_sale == pytest.approx(price)


def test_reading__thousands_or_fraction_is_refused() -> None:
    skus = write_csv("skus.csv", "sku,price", [("hat", "1.234"), ("coat", 1)], separator=";")
    expected = "skus.csv, line 2, column price: '1.234' may be a fraction or thousands; "
    assert refuse(skus=skus).startswith(expected)


def test_reading__slashed_dates_follow_the_one_that_is_clear() -> None:
    rows = [(f"{row[0]:%d/%m/%Y}", *row[1:]) for row in make_demand_rows()]
    assert make(write_demand(rows)).first_held_back == "2024-02-26"
    rows = [(f"{row[0]:%m/%d/%Y}", *row[1:]) for row in make_demand_rows()]
    assert make(write_demand(rows), force=True).first_held_back == "2024-02-26"


@pytest.mark.parametrize(
    ("lane", "message"),
    [
        ("S1,S2", "column from: 'S1' is a store; a DC or 'supplier' is needed"),
        ("dc,S9", "column to: 'S9' is not allowed; a store is"),
        ("supplier,S1", "column to: 'S1' is not allowed; a dc is"),
        ("other,S1", "column from: 'other' does not supply this store; its parent or"),
        ("dc,S1", "column to: 'S1' has this lane already; each is allowed once"),
    ],
)
def test_lanes__a_mistake_names_file_line_and_column(lane: str, message: str) -> None:
    lanes = write_csv("lanes.csv", "from,to", [("dc", "S1"), ("supplier", "dc")])
    with lanes.open("a") as file:
        file.write(f"{lane}\n")
    assert refuse(lanes=lanes).startswith(f"lanes.csv, line 4, {message}")


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([("S1", "store", "")], "line 2, column kind: no node is a dc; one is needed"),
        ([("dc", "dc", "")], "line 2, column kind: no node is a store"),
        ([("dc", "dc", ""), ("S1", "shop", "dc")], "line 3, column kind: 'shop' is not known; "),
        ([("dc", "dc", ""), ("S1", "store", "x")], "line 3, column parent: the parent of this "),
        (
            [("a", "dc", ""), ("b", "dc", ""), ("S1", "store", "")],
            "line 4, column parent: the parent of this store is no dc; allowed: a, b",
        ),
    ],
)
def test_nodes__a_mistake_names_file_line_and_column(nodes: Rows, message: str) -> None:
    path = write_csv("nodes.csv", "node,kind,parent", nodes)
    assert refuse(nodes=path).startswith(f"nodes.csv, {message}")


def test_demand__a_million_rows_take_seconds() -> None:
    header, day = "date;store;sku;units\n", [str(FIRST + timedelta(d)) for d in range(500)]
    with Path("demand.csv").open("w", encoding="utf-8") as file:
        file.write(header)
        file.writelines(f"{day[i % 500]};S1;hat;{i % 7}\n" for i in range(10**6))
    start = time.process_time()
    made = make(Path("demand.csv"), fix=True)
    assert (made.fixed[0].line, made.fixed[0].count) == (502, 10**6 - 500)
    assert time.process_time() - start < 20


def test_out__is_not_replaced_without_force() -> None:
    make()
    before = Path("my.yaml").read_bytes()
    assert refuse(Path("demand.csv")).startswith("--out: 'my.yaml' exists; ")
    assert Path("my.yaml").read_bytes() == before
    make(force=True)
