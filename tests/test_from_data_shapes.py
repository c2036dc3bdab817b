"""Files in the shapes that real systems export: read as what they are, totals as in the file."""

import datetime as dt
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.errors import InputError
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.forecast.make import roll_record
from envs.omnichannel.scenario import load_scenario
from envs.omnichannel.world.demand import make_demand
from envs.omnichannel.world.demand.traces import TraceDemand, load_records
from envs.omnichannel.world.draws import make_seeds
from marl.evaluation.evaluate import evaluate_policies
from marl.forecasting.backtest import back_test_scenario
from marl.planning.daily.state import ForecastState
from marl.planning.from_data.make import FromData, Sources, make_scenario
from marl.policies import make_policy
from tests.make_shapes import DAILY, FIRST, WEEKLY, Shape, make_favorita, make_ledger, make_pos
from tests.write_shapes import KINDS, write_csv, write_sqlite


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(demand: Path | str, *, fix: bool = False, held_back: str | None = None,
         **options: str) -> FromData:  # fmt: skip
    sources = Sources(demand, **options)  # type: ignore[arg-type]
    return make_scenario(sources, Path("my.yaml"), fix=fix, held_back=held_back, force=True)


def refuse(demand: Path | str, **options: Any) -> str:
    with pytest.raises(InputError) as error:
        make(demand, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def write_long(rows: list[str], header: str = "date,store,sku,units") -> Path:
    Path("demand.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return Path("demand.csv")


def check(shape: Shape, made: FromData) -> None:
    """What was read is what the file holds, and the scenario replays it."""
    found = made.to_json()
    assert (found["layout"], found["frequency"]) == (shape.layout, shape.frequency)
    totals = {name: found["totals"][name] for name in ("units", "returned_units", "left_out_rows")}
    assert totals == {
        "units": pytest.approx(shape.units, abs=1e-6),
        "returned_units": pytest.approx(shape.returned),
        "left_out_rows": shape.left_out,
    }
    assert found["totals"]["rows"] == len(shape.rows) - 1
    assert (found["stores"], found["skus"]) == (shape.stores, shape.skus)
    assert found["first_date"] == str(shape.first)
    replayed = load_records(load_scenario("my.yaml").demand)  # type: ignore[arg-type]
    assert replayed.units.sum() == pytest.approx(shape.units, abs=shape.stores * shape.skus / 2)


@pytest.mark.parametrize("name", DAILY)
@pytest.mark.parametrize("kind", ["csv", "parquet", "excel"])
def test_from_data__reads_each_shape_in_each_kind_of_file(name: str, kind: str) -> None:
    shape = DAILY[name]()
    check(shape, make(KINDS[kind](shape, Path(name))))


@pytest.mark.parametrize("kind", KINDS)
def test_from_data__reads_every_kind_of_file(kind: str) -> None:
    shape = make_pos()
    check(shape, make(KINDS[kind](shape, Path("sales"))))


def test_columns__name_those_of_the_file() -> None:
    rows = [f"{FIRST + dt.timedelta(d)};hat;{d % 5}" for d in range(40)]
    path = write_long(rows, "Posting Date;Material;Qty")
    message = refuse(path)
    assert message.startswith("demand.csv, line 1, column date: missing; found: posting_date, ")
    assert message.endswith('--columns "date=..., store=..., sku=..., units=..."')
    made = make(path, columns="date=posting date, sku=Material, units=Qty, store='Berlin'")
    assert made.reading.units == sum(d % 5 for d in range(40))
    assert load_scenario("my.yaml").network.stores[0].name == "Berlin"
    path.write_text(path.read_text().replace(";3\n", ";three\n", 1))
    message = refuse(path, columns="date=posting date, sku=Material, units=Qty, store='Berlin'")
    assert message.startswith("demand.csv, line 5, column Qty: 'three' is not a number; ")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("date", "--columns: 'date' is not allowed; NAME=COLUMN is needed, "),
        ("day=Date", "--columns: 'day=Date' is not allowed; "),
        ("date=Day", "demand.csv, line 1, column Day: missing, though --columns names it for "),
    ],
)
def test_columns__a_mistake_is_one_line(columns: str, message: str) -> None:
    assert refuse(write_csv(make_pos(), Path("demand")), columns=columns).startswith(message)


@pytest.mark.parametrize(
    "form", ["%d.%m.%y", "%d-%b-%Y", "%d %B %Y", "%m/%d/%Y", "%b %d, %Y", "%Y%m%d", "serial",
             "%Y-%m-%dT09:30:00Z", "%d.%m.%Y 17:05", "%m/%d/%Y 5:05 PM", "%Y-%m-%d 00:00:00+0200"],
)  # fmt: skip
def test_dates__are_read_as_they_are_found(form: str) -> None:
    days = [FIRST + dt.timedelta(d) for d in range(40)]
    texts = [
        str((d - dt.date(1899, 12, 30)).days) if form == "serial" else f"{d:{form}}" for d in days
    ]
    made = make(
        write_long([f"{text};S;A;{i % 4}" for i, text in enumerate(texts)], "date;store;sku;units")
    )
    assert (made.reading.first_date, made.reading.last_date) == (days[0], days[-1])


def test_dates__of_zones_count_in_the_one_that_is_asked_for() -> None:
    rows = [f"{FIRST + dt.timedelta(d)}T23:30:00Z,S,A,1" for d in range(40)]
    path = write_long(rows)
    assert make(path).reading.first_date == FIRST
    assert make(path, zone="Europe/Berlin").reading.first_date == FIRST + dt.timedelta(1)
    assert refuse(path, zone="Berlin") == (
        "--zone: 'Berlin' is not known; a name such as Europe/Berlin is needed"
    )


def test_dates__that_may_be_days_or_months_are_refused() -> None:
    rows = [f"0{1 + d % 9}/0{1 + d // 9}/2024,S,A,1" for d in range(40)]
    assert "may be day/month or month/day" in refuse(write_long(rows))


def test_fractions__keep_their_totals_over_time() -> None:
    shape = make_favorita()
    made = make(write_csv(shape, Path("kilos")))
    units = load_records(load_scenario("my.yaml").demand).units[..., 0]  # type: ignore[arg-type]
    kilos: dict[str, np.ndarray] = {"0": np.zeros(60), "1": np.zeros(60)}
    for _, day, store, sku, amount, _ in shape.rows[1:]:
        if sku == "9":
            kilos[store][(dt.date.fromisoformat(day) - FIRST).days] += float(amount)
    place = [sku.name for sku in load_scenario("my.yaml").skus].index("9")
    for s, sold in enumerate(kilos.values()):
        assert np.abs(np.cumsum(units[:, s, place]) - np.cumsum(sold)).max() <= 0.5 + 1e-9
    assert any(problem.fix and problem.fix.startswith("rounds it") for problem in made.fixed)


def test_returns__in_negative_lines_have_their_dates() -> None:
    made = make(write_csv(make_pos(), Path("pos")))
    assert made.summary.return_rate is not None
    returned = [p for p in made.fixed if p.fix == "counts it as a return on its day"]
    assert [problem.count for problem in returned] == [24]
    assert load_scenario("my.yaml").categories["all"].return_rate > 0


def test_lines__of_a_file_that_is_there_twice_are_refused() -> None:
    rows = [f"{FIRST + dt.timedelta(d)},S,A,1" for d in range(40)]
    message = refuse(write_long(rows * 2))
    assert message.endswith("(and 39 more); --fix: adds up rows of the same day")


@pytest.mark.parametrize("missing", ["", "NULL", "NaN", "-", "n/a"])
def test_missing_values__are_offered_as_zero_and_counted(missing: str) -> None:
    rows = [f"{FIRST + dt.timedelta(d)},S,A,{missing if d == 3 else 1}" for d in range(40)]
    path = write_long(rows)
    assert refuse(path).endswith("--fix: counts it as 0")
    made = make(path, fix=True)
    assert (made.reading.units, made.fixed[0].count) == (39, 1)


def test_numbers__marks_are_decided_on_the_whole_column() -> None:
    rows = [f"{FIRST + dt.timedelta(d)};S;A;{'1.234' if d == 3 else '2,0'}" for d in range(40)]
    made = make(write_long(rows, "date;store;sku;units"))
    assert made.reading.units == 39 * 2 + 1234


@pytest.mark.parametrize("scheme", ["", "sqlite:///"])
def test_database__runs_the_query(scheme: str) -> None:
    shape = make_ledger()
    path = write_sqlite(shape, Path("sales"))
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE other (x)")
    connection.close()
    assert (
        refuse(f"{scheme}{path}")
        == "sales.db: 2 tables found (other, sales); say which with --query"
    )
    check(shape, make(f"{scheme}{path}", query="SELECT * FROM sales"))
    assert refuse(f"{scheme}{path}", query="SELECT * FROM gone").startswith(
        "sales.db: cannot be read ("
    )


def test_sources__that_cannot_be_read_say_what_to_do() -> None:
    Path("empty").mkdir()
    assert "this is a folder with no tables" in refuse("empty")
    assert refuse("mysql://x").startswith("--demand: 'mysql://x' is not allowed; ")
    path = write_csv(make_pos(), Path("pos"))
    assert refuse(path, query="SELECT 1").endswith(
        "is no SQLite or DuckDB database; leave --query out"
    )


def test_monthly_records__are_refused_with_what_to_do() -> None:
    rows = [f"{2022 + m // 12}-{m % 12 + 1:02},S,A,{m}" for m in range(30)]
    path = write_long(rows)
    assert refuse(path).startswith("demand.csv: a record by month (30 of them)")
    made = make_scenario(Sources(path, spread_months=True), Path("my.yaml"))
    assert (made.reading.frequency, made.reading.units) == ("month", sum(range(30)))
    units = load_records(load_scenario("my.yaml").demand).units[:, 0, 0, 0]  # type: ignore[arg-type]
    assert len(units) == (dt.date(2024, 7, 1) - dt.date(2022, 1, 1)).days
    assert units.sum() == sum(range(30))
    assert abs(units[:59].sum() - 1) <= 0.5  # January 0, February 1
    assert units[-30:].sum() == 29


@pytest.mark.parametrize("name", WEEKLY)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_weekly_records__are_weeks_and_no_zeros_in_between(name: str, kind: str) -> None:
    shape = WEEKLY[name]()
    made = make(KINDS[kind](shape, Path(name)))
    check(shape, made)
    scenario = load_scenario("my.yaml")
    assert (scenario.period, made.train_days, made.held_back_days) == ("week", 48, 12)
    assert made.summary.zero_days.value < 0.1
    assert not made.summary.weekdays
    found = evaluate_policies({"naive": make_policy("naive", scenario)}, scenario, 2, 0)
    assert found.policies["naive"]["on_time"].mean > 0


def test_weekly_records__of_other_weekdays_are_refused() -> None:
    rows = [f"{FIRST + dt.timedelta(7 * w + (w == 20))},S,A,3" for w in range(40)]
    assert refuse(write_long(rows)) == (
        "demand.csv, line 22, column date: '2024-05-21' (Tuesday) is not allowed; almost all dates "
        "of this file are one weekday, so it is a record by week"
    )


def test_held_back__nothing_trains_on_the_whole_record() -> None:
    made = make(write_csv(make_pos(), Path("pos")), held_back="0")
    assert (made.train_days, made.held_back_days, made.first_held_back) == (60, 0, None)
    assert made.describe_split() == "60 days to train on; nothing is held back"
    scenario = load_scenario("my.yaml")
    assert scenario.caveat.startswith("Nothing is held back: ")
    found = evaluate_policies({"naive": make_policy("naive", scenario)}, scenario, 2, 0)
    assert not found.held_back
    with pytest.raises(InputError, match=r"^demand\.train_days: 60 are all of the record; "):
        back_test_scenario(scenario)


def test_in_stock__empty_shelves_do_not_pull_the_level_down() -> None:
    def write(flag: str) -> Path:
        rows = []
        for d in range(100):
            empty = d % 5 == 2
            units, mark = (0, flag) if empty else (8 + d % 3, "yes")
            rows.append(f"{FIRST + dt.timedelta(d)},S,A,{units},{mark}")
        return write_long(rows, "date,store,sku,units,in_stock")

    def learn() -> tuple[float, float, float]:
        """The level that the record ends with, as a simulation begins, and the mean."""
        scenario = load_scenario("my.yaml")
        demand = make_demand(scenario)
        assert isinstance(demand, TraceDemand)
        level = ForecastState.from_record(scenario).learner.smoothed[0, 0, 0]
        history = roll_record(demand, scenario.forecast)
        return float(level), float(history.smoothed[-1, 0, 0, 0]), float(demand.mean[0, 0, 0])

    made = make(write("no"))
    assert "20 days of a store and SKU had nothing to sell: they teach nothing" in Path(
        "my.yaml"
    ).read_text(encoding="utf-8")
    assert all(8 < level < 10 for level in learn())
    assert made.reading.units == load_records(load_scenario("my.yaml").demand).units.sum()  # type: ignore[arg-type]
    make(write("yes"))
    assert all(level < 7.9 for level in learn())


def test_in_stock__is_known_in_simulation_too() -> None:
    rows = [
        f"{FIRST + dt.timedelta(d)},S,A,{0 if d % 2 else 9},{int(d % 2 == 0)}" for d in range(100)
    ]
    make(write_long(rows, "date,store,sku,units,in_stock"))
    scenario = load_scenario("my.yaml")
    env = BatchedEnv(scenario, 2)
    env.reset(make_seeds("test", 0, 2))
    policy = make_policy("naive", scenario)
    while not policy.run_period(env).done:
        assert env.view.smoothed[..., 0].min() > 8.5


@pytest.mark.parametrize(
    ("header", "texts", "units"),
    [
        ("Posting Date;Plant;Material;Movement type;Quantity", ("-3,000", "-1.200,000"), 1203),
        ("Posting Date;Plant;Material;Movement type;Quantity", ("-3.000", "-1,200.000"), 1203),
        (
            "Posting Date;Plant;Material;Movement type;Qty in unit of entry",
            ("3,000-", "2,500-"),
            5.5,
        ),
        ("Buchungsdatum;Werk;Material;Bewegungsart;Menge in ErfassME", ("-3", "-12"), 15),
    ],
)
def test_ledger__numbers_are_those_of_its_country(
    header: str, texts: tuple[str, str], units: float
) -> None:
    rows = [f"{FIRST + dt.timedelta(d):%d.%m.%Y};1000;4711;601;{texts[d % 2]}" for d in range(40)]
    made = make(write_long(rows, header), fix=True)
    assert (made.reading.layout, made.reading.units) == ("SAP ledger", 20 * units)


def test_ledger__numbers_that_may_be_thousands_are_refused() -> None:
    rows = [
        f"{FIRST + dt.timedelta(d):%d.%m.%Y};1000;4711;601;{('-3', '-1.200')[d % 2]}"
        for d in range(40)
    ]
    message = refuse(write_long(rows, "Posting Date;Plant;Material;Movement type;Quantity"))
    assert "line 3, column Quantity: '-1.200' may be a fraction or thousands" in message


def test_from_data__without_out_checks_and_writes_nothing() -> None:
    path = write_csv(make_pos(), Path("pos"))
    made = make_scenario(Sources(path), None)
    assert made.to_json()["scenario"] is None
    assert [*Path().iterdir()] == [path]
    assert next(made.reading.describe()) == (
        "read as long, by day: lines of orders or tills, added up by day"
    )
