from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from envs.errors import InputError
from envs.omnichannel.types import FloatArray
from scripts.reproduction import vn2
from scripts.reproduction.common import ROOT
from scripts.reproduction.vn2 import POLICIES, Tools, run_vn2
from scripts.reproduction.vn2_boost import fit_correction
from scripts.reproduction.vn2_choice import CHOICE_WINDOWS, Chooser, cut, list_windows
from scripts.reproduction.vn2_files import CLASSES, KEYS, Contest, describe_contest, load_contest
from scripts.reproduction.vn2_forecast import Forecaster
from scripts.reproduction.vn2_learned import LearnedRule, learn, record, simulate, train
from scripts.reproduction.vn2_paths import PathRule, Spread, draw_paths, find_missing
from scripts.reproduction.vn2_protocol import ORDERS, WEEKS, Known, compute_score, replay
from scripts.reproduction.vn2_rules import Benchmark, SafetyStock, order_nothing
from scripts.reproduction.vn2_season import estimate_level, fit_season

FIRST = date(2021, 4, 12)
PAIRS = [(0, 5), (0, 7), (1, 5)]
KNOWN = 100  # weeks of the made-up sales
SALES = f"Week 0 - {FIRST + timedelta(weeks=KNOWN - 1)} - Sales.csv"
STOCK, STATE, MASTER = (
    "Week 0 - In Stock.csv",
    "Week 0 - DATE - Initial State.csv",
    "Week 0 - Master.csv",
)
OFFICIAL = os.environ.get("OMNICHANNEL_VN2")


def make_sales(weeks: int) -> FloatArray:
    """Returns made-up sales: a yearly season, three levels, noise, a dry spell of the last pair."""
    season = 1 + 0.5 * np.sin(np.arange(weeks) * 2 * np.pi / 52)
    sold = np.random.default_rng(4).poisson(np.outer(season, [2, 5, 9])).T.astype(float)
    sold[2, 40:50] = 0
    return sold


def write_table(path: Path, columns: Mapping[str, Any]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = [
            [*pair, *cells]
            for pair, cells in zip(PAIRS, zip(*columns.values(), strict=True), strict=True)
        ]
        csv.writer(file).writerows([[*KEYS, *columns], *rows])


def name_weeks(sold: Any) -> dict[str, Any]:
    return {str(FIRST + timedelta(weeks=i)): column.tolist() for i, column in enumerate(sold.T)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with made-up files of the contest's form."""
    write_table(tmp_path / SALES, name_weeks(make_sales(KNOWN)))
    flags = np.ones((3, KNOWN + 8), bool)
    flags[2, 40:50] = False
    write_table(tmp_path / STOCK, name_weeks(flags))
    state = {
        "Start Inventory": [0, 0, 0],
        "End Inventory": [3, 8, 0],
        "In Transit W+1": [0, 0, 4],
        "In Transit W+2": [1, 0, 6],
    }
    write_table(tmp_path / STATE, state)
    write_table(tmp_path / MASTER, {name: [1, 2, 1] for name in CLASSES})
    return tmp_path


def add_later_week(folder: Path, number: int) -> None:
    name = f"Week {number} - {FIRST + timedelta(weeks=KNOWN - 1 + number)} - Sales.csv"
    write_table(folder / name, name_weeks(make_sales(KNOWN + number)))


def make_contest(demand: list[float], on_hand: float, coming: list[float], known: int) -> Contest:
    """Returns a contest of one pair."""
    return Contest(
        pairs=np.array([[0, 0]]),
        first_week=FIRST,
        sold=np.array([demand], float),
        in_stock=np.ones((1, known), bool),
        on_hand=np.array([on_hand]),
        coming=np.array([coming], float),
        classes={},
    )


def test_replay__a_window_worked_by_hand() -> None:
    contest = make_contest([9, 4, 2, 5, 1, 0, 3, 2, 6], on_hand=3, coming=[2, 1], known=9)
    orders = iter(
        [4.0, 3.0, 0.0, 0.0, 5.0, 1.0]
    )  # after weeks 0 to 5; the first is there in week 3
    seen: list[Known] = []

    def order(known: Known) -> FloatArray:
        seen.append(known)
        return np.array([next(orders)])

    # Stock 5, 2, 4, 3, 2, 2, 5, 4 for demand 4, 2, 5, 1, 0, 3, 2, 6.
    costs = replay(contest, 1, order)
    np.testing.assert_allclose(costs, [0.2, 0, 1, 0.4, 0.4, 1, 0.6, 2])
    assert compute_score(costs) == pytest.approx(5.4)
    assert [known.sold.shape[1] for known in seen] == [1, 2, 3, 4, 5, 6]
    assert all(known.in_stock.shape == (1, 1) for known in seen)
    assert [known.on_hand[0] for known in seen] == [3, 1, 0, 0, 2, 2]
    assert [known.coming[0].tolist() for known in seen] == [
        [2, 1],
        [1, 4],
        [4, 3],
        [3, 0],
        [0, 0],
        [0, 5],
    ]


@pytest.mark.parametrize("order", [0.5, -1.0, np.nan])
def test_replay__an_order_is_whole_units(order: float) -> None:
    contest = make_contest([1] * 9, on_hand=0, coming=[0, 0], known=1)
    with pytest.raises(ValueError, match="whole units"):
        replay(contest, 1, lambda known: np.array([order]))


def test_benchmark__orders_up_to_four_weeks_of_a_steady_pair() -> None:
    contest = make_contest([2] * 68, on_hand=2, coming=[1, 0], known=60)
    first: list[float] = []

    def order(known: Known) -> FloatArray:
        units = Benchmark()(known)
        first.append(float(units[0]))
        return units

    replay(contest, 60, order)
    assert first == [5, 2, 1, 2, 2, 2]  # up to 8; week 2 misses a unit, which stays in the position


def test_benchmark__a_level_without_a_week_in_stock_orders_nothing() -> None:
    contest = make_contest([2] * 68, on_hand=0, coming=[0, 0], known=60)
    contest.in_stock[0, 47:] = False
    contest.sold[0, 47:] = 0
    assert replay(contest, 60, Benchmark()).tolist() == replay(contest, 60, order_nothing).tolist()


def test_safety_stock__weeks_out_of_stock_do_not_pull_the_level_down() -> None:
    contest = make_contest([4] * 68, on_hand=0, coming=[0, 0], known=60)
    whole = replay(contest, 60, SafetyStock(0.5))
    contest.in_stock[0, 50:55] = False
    contest.sold[0, 50:55] = 0
    assert replay(contest, 60, SafetyStock(0.5)).tolist() == whole.tolist()


def test_load_contest__reads_what_the_files_hold(folder: Path) -> None:
    contest = load_contest(folder)
    assert contest.pairs.tolist() == [[0, 5], [0, 7], [1, 5]]
    np.testing.assert_array_equal(contest.sold, make_sales(KNOWN))
    assert contest.in_stock.shape == (3, KNOWN)
    assert (~contest.in_stock).sum() == 10
    assert contest.on_hand.tolist() == [3, 8, 0]
    assert contest.coming.tolist() == [[0, 1], [0, 0], [4, 6]]
    assert "3 pairs of 2 stores and 2 products, 100 weeks" in describe_contest(contest)


def test_load_contest__other_files_may_have_another_order(folder: Path) -> None:
    before = load_contest(folder)
    for name in (STOCK, STATE, MASTER):
        lines = (folder / name).read_text().splitlines()
        (folder / name).write_text("\n".join([lines[0], *reversed(lines[1:])]))
    after = load_contest(folder)
    assert after.on_hand.tolist() == before.on_hand.tolist()
    np.testing.assert_array_equal(after.in_stock, before.in_stock)


def test_load_contest__later_weeks_make_the_contests_own_window(folder: Path) -> None:
    origin = FIRST + timedelta(weeks=KNOWN - 1)
    add_later_week(folder, 7)
    with pytest.raises(InputError, match="needs the sales of the 8 weeks after it"):
        load_contest(folder).find_origin(origin, WEEKS)
    add_later_week(folder, 8)
    contest = load_contest(folder)
    assert contest.find_origin(origin, WEEKS) == KNOWN
    np.testing.assert_array_equal(contest.sold, make_sales(KNOWN + 8))
    with pytest.raises(InputError, match="is not a week of the files"):
        contest.find_origin(origin + timedelta(weeks=1), WEEKS)


MISTAKES: list[tuple[str, Callable[[str], str] | None, str]] = [
    (SALES, None, "no file 'Week 0 - "),
    (STATE, None, "no file 'Week 0 - "),
    (SALES, lambda text: text.replace("2021-04-19", "2021-04-20"), "consecutive Mondays"),
    (SALES, lambda text: text.replace("2021-04-12", "week 1"), "a column for each week"),
    (SALES, lambda text: text.replace("\r\n0,7,", "\r\n0,7,-"), "line 3, column 2021-04-12"),
    (SALES, lambda text: text.replace("\r\n0,7,", "\r\n0,5,"), "store 0, product 5 is there twice"),
    (SALES, lambda text: text + "1,9,3\r\n", "line 5: 3 cells; 102 are needed"),
    (SALES, lambda text: "", "line 1: the columns Store and Product"),
    (STOCK, lambda text: text.replace("False", "no", 1), "'no' is not allowed; True and False"),
    (STOCK, lambda text: text.replace("\r\n1,5,", "\r\n1,6,"), "all files need the same pairs"),
    (STATE, lambda text: text.replace("W+2", "W+3"), "the column 'In Transit W+2' is missing"),
    (STATE, lambda text: text.replace(",8,", ",8.5,"), "'8.5' is not allowed; whole numbers"),
    (MASTER, lambda text: text.replace("Division", "D"), "the column 'Division' is missing"),
]


@pytest.mark.parametrize(("name", "change", "message"), MISTAKES)
def test_load_contest__a_wrong_file_is_named_in_one_line(
    name: str, change: Callable[[str], str] | None, message: str, folder: Path
) -> None:
    path = folder / name
    if change is None:
        path.unlink()
    else:
        path.write_bytes(change(path.read_bytes().decode()).encode())
    with pytest.raises(InputError) as caught:
        load_contest(folder)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_load_contest__a_revision_does_not_change_what_was_known(folder: Path) -> None:
    sold = make_sales(KNOWN + 3)
    sold[0, 3] += 1
    write_table(folder / "Week 3 - DATE - Sales.csv", name_weeks(sold))
    np.testing.assert_array_equal(load_contest(folder).sold, make_sales(KNOWN + 3))


def test_load_contest__later_files_begin_with_the_same_week(folder: Path) -> None:
    weeks = dict(list(name_weeks(make_sales(KNOWN + 3)).items())[1:])
    write_table(folder / "Week 3 - DATE - Sales.csv", weeks)
    with pytest.raises(InputError, match="the first week 2021-04-19 is not allowed"):
        load_contest(folder)


@pytest.mark.parametrize("name", POLICIES)
def test_policy__later_weeks_change_no_order_before_them(name: str, folder: Path) -> None:
    contest = load_contest(folder)
    known = KNOWN - WEEKS

    def list_orders(contest: Contest) -> list[list[float]]:
        rule = POLICIES[name](cut(contest, known), Tools())
        orders: list[list[float]] = []

        def order(known: Known) -> FloatArray:
            units = rule(known)
            orders.append(units.tolist())
            return units

        replay(contest, known, order)
        return orders

    orders = list_orders(contest)
    assert len(orders) == ORDERS
    for week in (0, 3):
        changed = contest.sold.copy()
        changed[:, known + week :] = changed[:, known + week :] * 3 + 7
        others = list_orders(replace(contest, sold=changed))
        assert orders[: week + 1] == others[: week + 1]
        assert name in {"none", "benchmark"} or orders != others


def test_chooser__takes_the_rule_of_the_windows_before(folder: Path) -> None:
    past = cut(load_contest(folder), KNOWN - WEEKS)
    rules = [SafetyStock(z) for z in (-3.0, 0.4, 9.0)]
    chooser = Chooser()
    assert chooser.choose(rules, past) == rules[1]
    assert chooser.choose(rules[::-1], past) == rules[1]
    windows = list_windows(KNOWN - 2 * WEEKS, CHOICE_WINDOWS)
    assert windows == [84, 78, 72, 66, 60]  # each ends by the origin
    assert chooser.choose(rules, cut(past, 50)) == rules[0]  # no window fits


def make_known(on_hand: list[float], coming: list[list[float]]) -> Known:
    """Returns a stock, with sales that do not matter."""
    pairs = len(on_hand)
    return Known(
        sold=np.zeros((pairs, 1)),
        in_stock=np.ones((pairs, 1), bool),
        on_hand=np.array(on_hand),
        coming=np.array(coming),
        first_week=FIRST,
        products=np.arange(pairs),
        classes={},
    )


def test_find_missing__lost_sales_free_stock_for_the_week_of_arrival() -> None:
    # Pair 0: of 3 units and 2 more, demand 5, 1, 4 leaves 0, then 1, so 3 are missing.
    # Pair 1: nothing is lost, and 4 of 10 units are left over.
    paths = np.array([[[5.0, 1.0, 4.0], [2.0, 2.0, 2.0]]])
    known = make_known([3.0, 10.0], [[0.0, 2.0], [0.0, 0.0]])
    assert find_missing(paths, known, 0.75).tolist() == [3, -4]


def test_find_missing__is_a_quantile_over_the_paths() -> None:
    paths = np.zeros((100, 1, 3))
    paths[:, 0, 2] = np.random.default_rng(0).permutation(np.arange(1, 101))
    known = make_known([0.0], [[0.0, 0.0]])
    assert find_missing(paths, known, 0.75) == 75
    assert find_missing(paths, known, 0.751) == 76
    assert find_missing(paths, known, 1.0) == 100


@pytest.mark.parametrize(
    ("spread", "variance"),
    [
        (Spread(excess=1.0, cv=0.0, level_cv=0.0), 6.0),
        (Spread(excess=1.5, cv=0.0, level_cv=0.0), 9.0),
        (Spread(excess=1.0, cv=0.5, level_cv=0.0), 6 + 9),
        (Spread(excess=1.0, cv=0.0, level_cv=0.5), 6 + 9),
    ],
)
def test_draw_paths__have_the_mean_and_the_variance_that_they_should(
    spread: Spread, variance: float
) -> None:
    paths = draw_paths(np.full((400, 3), 6.0), spread, seed=3)
    assert paths.mean() == pytest.approx(6, rel=0.02)
    assert paths.var() == pytest.approx(variance, rel=0.05)
    together = np.mean((paths[..., 0] - 6) * (paths[..., 2] - 6))  # weeks share the level alone
    assert together == pytest.approx((6 * spread.level_cv) ** 2, abs=0.3)
    np.testing.assert_array_equal(paths, draw_paths(np.full((400, 3), 6.0), spread, seed=3))
    assert draw_paths(np.zeros((4, 3)), spread, seed=3).sum() == 0


def test_season__pairs_deviate_only_as_far_as_their_units_say_so() -> None:
    weeks = np.tile(np.arange(1, 53), 3)
    season = np.where(np.arange(1, 53) > 26, 1.5, 0.5)
    units = np.stack([1000 * season, 1000 * np.ones(52), 0.01 * np.ones(52)])[
        :, np.arange(156) % 52
    ]
    factors = fit_season(units, weeks, np.array([1, 2, 3]))
    assert factors[0, 40] / factors[0, 10] == pytest.approx(3, rel=0.05)
    assert factors[1, 40] / factors[1, 10] == pytest.approx(1, rel=0.05)
    assert factors[2, 40] / factors[2, 10] == pytest.approx(5 / 3, rel=0.01)  # that of all pairs


def test_level__weeks_out_of_stock_do_not_pull_it_down() -> None:
    units = np.full((1, 60), 4.0)
    units[0, 40:52] = np.nan
    assert estimate_level(units, np.ones((1, 60))) == pytest.approx(4)
    assert estimate_level(units, np.full((1, 60), 2.0)) == pytest.approx(2)
    assert estimate_level(np.full((1, 60), np.nan), np.ones((1, 60))) == 0


def test_fit_correction__learns_where_a_forecast_is_too_low() -> None:
    pytest.importorskip("lightgbm", reason="LightGBM, of the extra `forecast`, is not installed")
    generator = np.random.default_rng(2)
    features = generator.random((4000, 2))
    true = np.where(features[:, 0] > 0.5, 20.0, 10.0)
    correct = fit_correction(features, np.full(4000, 10.0), generator.poisson(true).astype(float))
    np.testing.assert_allclose(
        np.exp(correct(np.array([[0.9, 0.5], [0.1, 0.5]]))), [2, 1], rtol=0.1
    )


def test_path_rule__costs_less_than_the_benchmark(folder: Path) -> None:
    contest = load_contest(folder)
    spread = Spread(excess=1.0, cv=0.0, level_cv=0.0)
    rule = PathRule(forecaster=Forecaster(), correction=0.0, spread=spread, ratio=0.75)
    cost, benchmark = (
        np.mean([compute_score(replay(contest, known, each)) for known in range(80, 93)])
        for each in (rule, Benchmark())
    )
    assert cost < 0.9 * benchmark


def make_rule() -> PathRule:
    spread = Spread(excess=1.0, cv=0.0, level_cv=0.25)
    return PathRule(forecaster=Forecaster(), correction=0.0, spread=spread, ratio=0.75)


def test_simulate__is_the_replay_where_nothing_is_shifted(folder: Path) -> None:
    contest, rule = load_contest(folder), make_rule()
    windows = [record(contest, known, rule) for known in (80, 90)]
    levels, demand = (
        torch.as_tensor(np.stack([getattr(window, name) for window in windows]))
        for name in ("levels", "demand")
    )
    start = [torch.as_tensor(units) for units in (contest.on_hand, *contest.coming.T)]
    costs = simulate(levels, demand, start).tolist()
    assert costs == pytest.approx([compute_score(replay(contest, k, rule)) for k in (80, 90)])


@pytest.mark.parametrize(("factor", "sign"), [(2.0, 1), (0.5, -1)])
def test_train__shifts_towards_the_demand_that_came(factor: float, sign: int, folder: Path) -> None:
    window = record(load_contest(folder), 90, make_rule())
    windows = [replace(window, demand=np.rint(window.demand * factor))]
    shift = train(windows)(torch.as_tensor(window.features, dtype=torch.float32))
    assert sign * float(shift.detach().mean()) > 0.1


def test_learn__keeps_the_rule_where_too_few_windows_teach(folder: Path) -> None:
    past = cut(load_contest(folder), KNOWN - WEEKS)
    rule = make_rule()
    assert learn(past, rule, Chooser()) is rule


def test_learn__chooses_between_the_rule_and_its_shifts(folder: Path) -> None:
    for number in range(1, 31):
        add_later_week(folder, number)
    contest, rule, chooser = load_contest(folder), make_rule(), Chooser()
    contest = replace(contest, in_stock=np.ones(contest.sold.shape, bool))
    learned = learn(contest, rule, chooser)
    windows = list_windows(contest.sold.shape[1] - WEEKS, 4)
    found, reference = (
        [compute_score(replay(contest, known, each)) for known in windows]
        for each in (learned, rule)
    )
    assert np.mean(np.divide(found, reference)) <= 1
    shifted = LearnedRule(rule=rule, network=train([record(contest, 90, rule)]), size=1.0)
    assert replay(contest, 100, shifted).sum() > 0


def run_command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "reproduce.py"), "vn2", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_command__writes_costs_by_week(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "costs.json"
    origin = FIRST + timedelta(weeks=KNOWN - 1 - WEEKS)
    names = list(POLICIES)
    done = run_command(
        "--data", folder, "--origin", str(origin), "--policies", *names, "--json", file
    )
    assert done.returncode == 0, done.stderr
    assert "3 pairs of 2 stores" in done.stderr
    result = json.loads(file.read_text())
    assert set(result) == {"origin", "policies"}
    assert result["origin"] == str(origin)
    assert list(result["policies"]) == names
    for found in result["policies"].values():
        assert set(found) == {"weeks", "score"}
        assert len(found["weeks"]) == WEEKS
        assert found["score"] == pytest.approx(sum(found["weeks"][2:]))
    assert result["policies"]["benchmark"]["weeks"][:2] == result["policies"]["none"]["weeks"][:2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": None}, "error: --data: 'None' is no folder"),
        ({}, "error: --origin: 'None' is not a date"),
        ({"origin": "2023-01-03"}, "error: --origin: 2023-01-03 is not a week of the files"),
        ({"origin": "2023-02-20"}, "error: --origin: 2023-02-20 needs the sales of the 8 weeks"),
        ({"policies": ["magic"]}, "error: --policies: 'magic' is not known; none, benchmark,"),
        ({"policies": ["learned"], "torch": None}, "error: --policies: 'learned' needs PyTorch"),
        ({"windows": 99}, "error: --windows: 99 is not allowed; 1 to 6 are, with 100 weeks"),
    ],
)
def test_run_vn2__a_mistake_is_one_line(
    changes: dict[str, Any], message: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "torch" in changes:
        monkeypatch.setattr(vn2, "find_spec", lambda name: None)
    given = {"data": folder, "origin": None, "policies": None, "windows": 0, "json": None}
    with pytest.raises(SystemExit) as caught:
        run_vn2(argparse.Namespace(**given | changes))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


GOLDEN = [
    (
        "2024-02-12",
        [363.8, 475.0, 1142.2, 1321.2, 1323.8, 1321.0, 1533.0, 1498.0],
        [643.6, 692.8, 704.8, 683.0, 648.8, 643.8],
        3383.6,
    ),
    (
        "2023-12-18",
        [813.6, 989.2, 1112.6, 1415.2, 1364.0, 1540.6, 1728.6, 2115.6],
        [842.8, 778.2, 766.0, 813.8, 778.8, 801.8],
        4150.8,
    ),
    (
        "2023-10-23",
        [455.6, 418.2, 3639.6, 2761.0, 1858.4, 3116.0, 3064.4, 4789.6],
        [1446.6, 1275.4, 1261.8, 1471.4, 1387.2, 2484.6],
        8946.6,
    ),
]


@pytest.mark.skipif(not OFFICIAL, reason="OMNICHANNEL_VN2 names no folder of the contest's files")
@pytest.mark.parametrize(("origin", "none", "benchmark", "cover_of_three"), GOLDEN)
def test_replay__golden_windows(
    origin: str, none: list[float], benchmark: list[float], cover_of_three: float
) -> None:
    contest = load_contest(Path(OFFICIAL or ""))
    known = contest.find_origin(date.fromisoformat(origin), WEEKS)
    np.testing.assert_allclose(replay(contest, known, order_nothing), none, atol=0.05)
    np.testing.assert_allclose(replay(contest, known, Benchmark())[2:], benchmark, atol=0.05)
    cover = compute_score(replay(contest, known, Benchmark(3)))
    assert cover == pytest.approx(cover_of_three, abs=0.05)
