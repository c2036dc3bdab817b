"""Announced promotions: what they do to forecasts and orders, and how their file is read."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from envs.errors import InputError
from envs.omnichannel.scenario import Scenario, load_scenario
from marl.commands.cli import app
from marl.planning.planner import Planner
from marl.planning.promotions_file import read_promotions
from marl.planning.recommendation import Recommendation
from marl.planning.restore import restore
from marl.planning.stock_count import StockCount
from marl.planning.stock_count_file import read_stock_count
from tests.daily_chain import FIRST, RECORD, SKUS, make_rule, write_scenario, write_stock

TODAY = FIRST + timedelta(RECORD)
STEADY = SKUS.index("steady")


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    return load_scenario(write_scenario(tmp_path, RECORD))


def write_promotions(folder: Path, *rows: str, header: str = "") -> Path:
    path = folder / "promotions.csv"
    header = header or "sku,first_date,last_date,uplift,store"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def plan(scenario: Scenario, folder: Path, *rows: str) -> tuple[Planner, StockCount]:
    planner = Planner(make_rule(scenario), scenario, num_futures=50)
    if rows:
        planner.announce(read_promotions(write_promotions(folder, *rows), planner.schema))
    stock = write_stock(folder / "stock.csv", RECORD)
    return planner, read_stock_count(stock, planner.schema)


def look(planner: Planner, count: StockCount) -> np.ndarray:
    """Factors of each day ahead of the steady item, (H, stores)."""
    restore(planner.today, planner.make_start(count))
    ahead = planner.today.view.ahead[0, ..., STEADY]
    return np.diff(np.broadcast_to(ahead, (len(ahead), 2)), axis=0, prepend=0)


def get_units(found: Recommendation) -> dict[tuple[str, str], float]:
    return {(row.node, row.sku): row.units for row in found.decisions if row.share is None}


def test_recommend__orders_more_of_what_will_be_promoted(
    scenario: Scenario, tmp_path: Path
) -> None:
    planner, count = plan(scenario, tmp_path)
    count.units["on_hand"][0, :, STEADY] = [400, 6, 6]
    usual, before = planner.recommend(count), look(planner, count)
    rows = [f"steady,{TODAY + timedelta(1)},{TODAY + timedelta(2)},3,Berlin"]
    rows += [f"hat,{TODAY},{TODAY},9,"]
    planner, _ = plan(scenario, tmp_path, *rows)
    found, after = planner.recommend(count), look(planner, count)
    raised = before.copy()
    raised[1:3, 0] *= 3  # tomorrow and the day after, in Berlin alone
    np.testing.assert_allclose(after, raised)
    expected, own = get_units(usual), get_units(found)
    # Four a day: what is sent today must last for two days, of which one is promoted.
    assert own["Berlin", "steady"] - expected["Berlin", "steady"] == pytest.approx(8, abs=2)
    changed = {place for place in own if own[place] != expected[place]}
    assert changed <= {("Berlin", "steady"), ("dc", "steady")}
    assert planner.notes == [
        "promotions that the forecast counts on: 1 rows",
        "rows of promotions of unknown stores or SKUs are left out: 1",
    ]
    assert set(found.notes) >= set(planner.notes)


def test_recommend__past_and_far_promotions_change_nothing(
    scenario: Scenario, tmp_path: Path
) -> None:
    planner, count = plan(scenario, tmp_path)
    expected = planner.recommend(count)
    far = [f"steady,{TODAY + timedelta(d)},{TODAY + timedelta(d + 5)},5," for d in (-6, 60)]
    planner, _ = plan(scenario, tmp_path, *far)
    found = planner.recommend(count)
    assert found.decisions == expected.decisions
    assert found.outlook == expected.outlook


def test_promotions__the_later_row_counts_and_promoted_days_teach_nothing(
    scenario: Scenario, tmp_path: Path
) -> None:
    first, last = TODAY, TODAY + timedelta(1)
    rows = [f"steady,{first},{last},2,", f"steady,{last},{last},4,Koeln"]
    planner, count = plan(scenario, tmp_path, *rows)
    planner.recommend(count)
    factors = look(planner, count)[:3] / look(*plan(scenario, tmp_path))[:3]
    np.testing.assert_allclose(factors, [[2, 2], [2, 4], [1, 1]])
    state, view = planner.today.state, planner.today.view
    learnt = planner.today.forecast.update(view, np.full((1, 2, len(SKUS), 2), 50), state)
    np.testing.assert_array_equal(learnt.smoothed[..., STEADY, :], view.smoothed[..., STEADY, :])
    assert (learnt.smoothed != view.smoothed).any()


def test_read_promotions__refuses_in_one_line(
    scenario: Scenario, tiny: Scenario, tmp_path: Path
) -> None:
    schema = plan(scenario, tmp_path)[0].schema

    def read(row: str) -> None:
        read_promotions(write_promotions(tmp_path, row), schema)

    with pytest.raises(InputError, match="last_date: '2023-01-01' is before first_date"):
        read("steady,2023-01-02,2023-01-01,2,")
    with pytest.raises(InputError, match="uplift"):
        read("steady,2023-01-02,2023-01-03,x,")
    drawn = Planner(make_rule(tiny, "order_up_to"), tiny, num_futures=2).schema
    with pytest.raises(InputError, match="the scenario's demand is drawn and has no dates"):
        read_promotions(write_promotions(tmp_path), drawn)


def test_command__takes_promotions(scenario: Scenario, tmp_path: Path) -> None:
    rule = tmp_path / "rule.json"
    rule.write_text(make_rule(scenario).metadata.model_dump_json(), encoding="utf-8")
    promotions = write_promotions(tmp_path, f"steady,{TODAY},{TODAY + timedelta(3)},2,")
    write_stock(tmp_path / "stock.csv", RECORD)
    arguments = ["recommend", "--policy", rule, "--state", tmp_path / "stock.csv"]
    arguments += ["--scenario", tmp_path / f"mine-{RECORD}.yaml", "--promotions", promotions]
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    assert "note: promotions that the forecast counts on: 1 rows" in done.output
