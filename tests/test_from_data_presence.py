"""What could be sold when, in files of its own: open days, assortment, empty shelves."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from envs.errors import InputError
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.types import BoolArray
from envs.omnichannel.world.demand import make_demand
from envs.omnichannel.world.demand.traces import TraceDemand
from marl.planning.from_data.make import FromData, Sources, make_scenario

FIRST, DAYS = date(2024, 1, 1), 56  # a Monday
STORES, SKUS = ("S1", "S2"), ("hat", "coat")
NO_SALE = {("S1", day) for day in range(6, DAYS, 7)} | {("S2", 17)}  # Sundays, and a holiday


def name(day: int) -> str:
    return str(FIRST + timedelta(day))


@pytest.fixture(autouse=True)
def demand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each SKU sells in each store but on days without a sale; S2 has the coat for a while."""
    monkeypatch.chdir(tmp_path)
    rows = [
        f"{name(day)},{store},{sku},{1 + day % 3}"
        for day in range(DAYS)
        for store in STORES
        for sku in SKUS
        if (store, day) not in NO_SALE and ((store, sku) != ("S2", "coat") or 10 <= day <= 40)
    ]
    Path("demand.csv").write_text("\n".join(["date,store,sku,units", *rows]), "utf-8")


def make(fix: bool = False, /, **files: str) -> FromData:
    for kind, text in files.items():
        Path(f"{kind}.csv").write_text(text, "utf-8")
    given = {kind: Path(f"{kind}.csv") for kind in files}
    sources = Sources(Path("demand.csv"), **given)  # type: ignore[arg-type]
    return make_scenario(sources, Path("my.yaml"), fix=fix, force=True)


def refuse(**files: str) -> str:
    with pytest.raises(InputError) as error:
        make(**files)
    assert not Path("my.yaml").exists()
    return str(error.value)


def load() -> tuple[Scenario, TraceDemand]:
    scenario = load_scenario("my.yaml")
    found = make_demand(scenario)
    assert isinstance(found, TraceDemand)
    return scenario, found


def get_empty() -> BoolArray:
    found = load()[1].in_stock
    assert found is not None
    empty: BoolArray = ~found
    return empty


def test_in_stock__says_on_which_days_a_shelf_was_empty() -> None:
    text = (
        f"date,store,sku,in_stock\n{name(3)},S1,hat,no\n{name(4)},S2,coat,0\n{name(4)},S1,hat,yes\n"
    )
    make(in_stock=text)
    assert np.argwhere(get_empty()).tolist() == [[3, 0, 0], [4, 1, 1]]


def test_in_stock__rows_of_others_are_left_out_and_counted() -> None:
    text = f"date,store,sku,in_stock\n{name(3)},S1,hat,no\n{name(4)},S9,coat,no\n"
    text += "2030-01-01,S1,hat,no\n"
    made = make(in_stock=text)
    assert np.argwhere(get_empty()).tolist() == [[3, 0, 0]]
    (problem,) = made.fixed
    assert (problem.line, problem.count, problem.fix) == (3, 1, "leaves such rows out")


def test_calendar__of_open_days_closes_all_others() -> None:
    """A holiday teaches nothing; a weekday that is never open is one without sales."""
    rows = [
        f"{name(day)},{store}" for day in range(DAYS) for store in STORES
        if (store, day) not in NO_SALE
    ]  # fmt: skip
    make(calendar="\n".join(["date,store", *rows]))
    assert np.argwhere(get_empty()).tolist() == [[17, 1, 0], [17, 1, 1]]
    _, found = load()
    sunday = found.season[6]
    assert (sunday < found.season[5]).all()


def test_calendar__may_say_open_or_closed_of_all_stores() -> None:
    without = "\n".join(line for line in read_demand() if name(9) not in line)
    Path("demand.csv").write_text(without, "utf-8")
    make(calendar=f"date,open\n{name(9)},no\n{name(10)},yes\n")
    assert np.argwhere(get_empty()[..., 0]).tolist() == [[9, 0], [9, 1]]


def read_demand() -> list[str]:
    return Path("demand.csv").read_text("utf-8").splitlines()


def test_calendar__a_store_that_sold_is_open() -> None:
    text = f"date,store,open\n{name(9)},S1,no\n{name(17)},S2,no\n"
    assert refuse(calendar=text) == (
        f"calendar.csv, line 2, column date: 'S1' is closed on {name(9)} and sold on that day; "
        "--fix: takes a store for open on days on which it sold"
    )
    make(True, calendar=text)
    assert np.argwhere(get_empty()[..., 0]).tolist() == [[17, 1]]


def test_calendar__of_a_record_of_weeks_is_refused() -> None:
    rows = [f"{name(7 * week)},S1,hat,3" for week in range(60)]
    Path("demand.csv").write_text("\n".join(["date,store,sku,units", *rows]), "utf-8")
    assert "is of days, and the demand file has weeks" in refuse(calendar=f"date\n{name(0)}\n")


LISTED = "store,sku,from,until\nS1,hat,,\nS1,coat,2023-05-01,\nS2,hat,,2030-01-01\n"


def test_assortment__becomes_that_of_the_scenario() -> None:
    make(assortment=f"{LISTED}S2,coat,{name(10)},{name(45)}\n")
    scenario, found = load()
    assert scenario.assortment is not None
    assert scenario.assortment.without is None
    assert found.dates is not None
    np.testing.assert_array_equal(found.dates.first[1, 1], 10)
    np.testing.assert_array_equal(found.dates.last[:, 1] == 45, [False, True])
    empty = get_empty()
    assert np.flatnonzero(empty[:, 1, 1]).tolist() == [*range(10), *range(46, DAYS)]
    assert not empty[:, 0].any()


def test_assortment__without_a_row_a_store_does_not_carry_it() -> None:
    rows = [row for row in read_demand() if "S2,coat" not in row]
    Path("demand.csv").write_text("\n".join(rows), "utf-8")
    make(assortment=LISTED)
    scenario, _ = load()
    assert scenario.assortment is not None
    assert scenario.assortment.without == {"S2": ["coat"]}
    # An empty store is all of them.
    make(assortment="store,sku\n,hat\n,coat\n")
    assert load()[0].assortment is None


@pytest.mark.parametrize("row", ["", f"S2,coat,{name(12)},\n", f"S2,coat,,{name(30)}\n"])
def test_assortment__what_was_sold_was_on_sale(row: str) -> None:
    day = 40 if row.endswith(f"{name(30)}\n") else 10
    assert refuse(assortment=LISTED + row) == (
        f"assortment.csv, line {4 + bool(row)}, column sku: no row says that 'S2' has 'coat' on "
        f"{name(day)}, on which it sold some; --fix: takes what was sold as on sale from its "
        "first sale to its last"
    )
    make(True, assortment=LISTED + row)
    found = get_empty()[:, 1, 1]
    assert not found[10:41].any()


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("in_stock", "date,store,sku\n2024-01-01,S1,hat\n", "column in_stock: missing"),
        (
            "in_stock",
            "date,store,sku,in_stock\n2024-01-01,S1,hat,maybe\n",
            "line 2, column in_stock",
        ),
        ("in_stock", "date,store,sku,in_stock\n2024-01-01,S9,hat,no\n", "nor is any other"),
        ("in_stock", "date,store,sku,in_stock\n2030-01-01,S1,hat,no\n", "nor is any other date"),
        ("calendar", "day\n2024-01-01\n", "column date: missing"),
        ("calendar", "date,store\n2024-01-01,S9\n", "'S9' is not in the demand file"),
        ("assortment", "store,sku,from,until\nS1,hat,2024-02-01,2024-01-01\n", "is before from"),
        ("assortment", "store,sku,from\nS1,hat,soon\n", "'soon' is not a date"),
    ],
)
def test_presence__what_is_wrong_is_said_by_file_line_and_column(
    kind: str, text: str, message: str
) -> None:
    found = refuse(**{kind: text})
    assert message in found
    assert found.startswith(f"{kind}.csv, line ")


def test_assortment__is_not_allowed_beside_ragged() -> None:
    Path("assortment.csv").write_text("store,sku\n,hat\n,coat\n", "utf-8")
    sources = Sources(Path("demand.csv"), assortment=Path("assortment.csv"))
    with pytest.raises(InputError, match="--ragged: not allowed beside --assortment"):
        make_scenario(sources, None, is_ragged=True)
