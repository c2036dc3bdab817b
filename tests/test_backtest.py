"""Back-tests: right forecasts hold their bands, and what is wrong shows."""

import json
from pathlib import Path

import numpy as np
import pytest

from envs.errors import InputError
from envs.omnichannel.forecast.distribution import Spread
from envs.omnichannel.forecast.history import History
from envs.omnichannel.forecast.learner import Rates
from envs.omnichannel.forecast.spread import fit_spread, look_ahead, measure_coverage
from envs.omnichannel.scenario import load_scenario
from envs.omnichannel.types import FloatArray
from marl.commands.forecast import forecast
from marl.forecasting.backtest import BackTest, Record, Score, back_test, back_test_scenario
from marl.forecasting.classes import classify_cells
from marl.forecasting.tables import make_table
from marl.report.figures.forecast import choose_cells, make_forecast_figure
from tests.test_running_forecast import shorten

TRAIN = 150


def draw(seed: int, *, cv: float = 0.6, drift: float = 0.0, days: int = 240) -> FloatArray:
    """Negative binomial demand of forty cells, 0.2 to 12 a day; levels move each fortnight."""
    generator = np.random.default_rng(seed)
    mean = np.geomspace(0.2, 12, 40).reshape(4, 10)
    blocks = -(-days // 14)
    level = 1 + drift * generator.choice([-1.0, 1.0], (blocks, 4, 10))
    rate = np.repeat(level, 14, axis=0)[:days] * mean
    units = generator.poisson(rate * generator.gamma(1 / cv**2, cv**2, rate.shape))
    return units[..., None].astype(np.float64)


def judge(units: FloatArray, **given: object) -> BackTest:
    record = Record(units=units, train_days=TRAIN, **given)  # type: ignore[arg-type]
    return back_test(record, Rates(0.01, 0.01))


def find(found: BackTest, days: int, cells: str = "all") -> Score:
    return next(s for s in found.scores if (s.days, s.cells) == (days, cells))


def test_measure_coverage__cuts_units_at_the_edge() -> None:
    # The band is from 0.25 to 0.75: all of the second, three quarters and none of the others.
    low, high = np.array([0.0, 0.3, 0.8]), np.array([1.0, 0.6, 0.9])
    assert measure_coverage(low, high, 0.5) == pytest.approx((0.5 + 1 + 0) / 3)
    point = np.array([0.5, 1.0])
    assert measure_coverage(point, point, 0.5) == 0.5


def test_back_test__bands_of_the_right_distribution_hold_their_share() -> None:
    found = judge(draw(0))
    assert 0.75 < found.spread.scale < 1.35
    assert found.spread.drift <= 0.1
    for days in (1, 7):
        score = find(found, days)
        assert score.coverage["90%"] == pytest.approx(0.9, abs=0.02)
        assert score.coverage["50%"] == pytest.approx(0.5, abs=0.04)
        assert score.plain_coverage["90%"] > score.coverage["90%"]
        assert abs(score.bias) < 0.05
    assert find(found, 7).rmsse is not None
    assert {s.days for s in found.scores} == {1, 7, 28}


def test_back_test__levels_that_move_widen_sums_of_days() -> None:
    found = judge(draw(1, drift=0.4))
    assert found.spread.drift >= 0.2
    assert find(found, 7).coverage["90%"] == pytest.approx(0.9, abs=0.04)


def test_back_test__a_shelf_that_was_empty_is_not_judged() -> None:
    units, in_stock = draw(2), np.ones((240, 4, 10), np.bool_)
    units[200:, 3], in_stock[200:, 3] = 0, False
    found = judge(units, in_stock=in_stock)
    assert find(found, 1).forecasts == 50 * 40 + 40 * 30
    assert find(found, 1).coverage["90%"] == pytest.approx(0.9, abs=0.02)
    assert find(judge(units), 1).bias > find(found, 1).bias + 0.03


@pytest.mark.parametrize("day", [80, TRAIN])
def test_fit_spread__and_outlooks_rest_on_the_days_before_alone(day: int) -> None:
    units, other = draw(3), draw(3)
    other[day:] = draw(4, cv=2.0)[day:]
    found = []
    for record in (units, other):
        history = History.roll(record, Rates(0.02, 0.02))
        spread = fit_spread(history, record[..., 0], until=day, level_rate=0.02)
        outlook = look_ahead(history, day, 7, level_rate=0.02, spread=spread)
        found.append((spread, *outlook.sum_days()))
    assert found[0][0] == found[1][0] != Spread()
    np.testing.assert_array_equal(found[0][1], found[1][1])
    np.testing.assert_array_equal(found[0][2], found[1][2])


def test_fit_spread__of_too_few_days_takes_variances_as_they_are() -> None:
    units = draw(5, days=28)
    history = History.roll(units, Rates(0.02, 0.02))
    assert fit_spread(history, units[..., 0], until=28, level_rate=0.02) == Spread()


def test_classify_cells__by_hand() -> None:
    fast = np.array([5.0, 4, 6, 5, 0, 5, 4, 6])
    slow = np.array([0.0, 0, 1, 0, 0, 1, 0, 0])
    lumpy = np.array([0.0, 0, 1, 0, 0, 9, 0, 0])
    classes = classify_cells(np.stack([fast, slow, lumpy], axis=-1)[:, None])
    assert {name: cells[0].tolist() for name, cells in classes.items()} == {
        "all": [True, True, True],
        "fast": [True, False, False],
        "slow": [False, True, False],
        "lumpy": [False, False, True],
    }


def test_retail__bands_hold_what_they_promise() -> None:
    found = back_test_scenario(load_scenario("retail"))
    by_class = {s.cells: s.coverage["90%"] for s in found.scores if s.days == 1}
    assert 0.87 <= by_class.pop("all") <= 0.93
    assert set(by_class) == {"fast", "slow", "lumpy"}
    assert all(0.84 <= held <= 0.96 for held in by_class.values())
    table = make_table("retail", found)
    assert table.row_count == len(found.scores) == 12


def test_command__writes_the_scores(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(json.dumps(shorten(load_scenario("retail")).model_dump(mode="json")))
    forecast(str(path), tmp_path / "found.json")
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["held_back"] == 92
    assert found["scores"][0]["cells"] == "all"
    with pytest.raises(InputError, match="'seasonal_normal' is not allowed; trace is needed"):
        forecast("tiny")


def test_figure__shows_fast_and_slow_cells() -> None:
    retail = load_scenario("retail")
    figure = make_forecast_figure(retail)
    assert figure is not None
    lines = figure.plots[0].data
    assert [len(line["y"]) for line in lines] == [86] * 6  # 92 held-back days
    by_name = {line.get("name"): np.array(line["y"]) for line in lines}
    assert (by_name["90% band"] >= by_name["50% band"]).all()
    assert (by_name["50% band"] >= by_name["expected"]).mean() > 0.9
    assert len(figure.controls[0].options) == len(figure.plots[0].patches) == 4
    assert make_forecast_figure(load_scenario("tiny")) is None
    stores, skus = choose_cells(Record(units=draw(0), train_days=TRAIN))
    assert (stores[0], skus[0]) == (3, 9)
