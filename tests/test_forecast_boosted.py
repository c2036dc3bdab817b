"""Levels that one model of all cells corrects: what it learns, from which days, and where not."""

import numpy as np
import pytest

from envs.errors import InputError
from envs.omnichannel.forecast import boosted
from envs.omnichannel.forecast.history import History
from envs.omnichannel.forecast.learner import Rates
from envs.omnichannel.types import FloatArray
from marl.planning.daily.state import ForecastState
from tests.test_forecast_costs import use
from tests.test_running_forecast import change_record, record_decisions

RATES = Rates(0.015, 0.01)
BOOSTED = RATES._replace(method="boosted")
needs_model = pytest.mark.skipif(not boosted.can_boost(), reason="LightGBM is not installed")


def draw_growing(seed: int = 0) -> FloatArray:
    """Demand that grows by a hundredth a day, which running levels follow late; (140, 5, 30, 1)."""
    rng = np.random.default_rng(seed)
    mean = 1.01 ** np.arange(140)[:, None, None] * rng.uniform(1, 5, (5, 30))
    return rng.poisson(mean)[..., None].astype(float)


@needs_model
def test_levels__of_demand_that_grows_are_moved_up_to_it() -> None:
    record = draw_growing()
    plain, found = History.roll(record, RATES), History.roll(record, BOOSTED)
    sold = record[126:133].mean()
    np.testing.assert_array_equal(found.smoothed[:56], plain.smoothed[:56])  # no fit yet
    assert plain.smoothed[126].mean() < 0.75 * sold
    assert found.smoothed[126].mean() == pytest.approx(sold, rel=0.1)
    for name in ("variance", "weight", "profile", "plain_mean"):
        np.testing.assert_array_equal(getattr(found, name), getattr(plain, name))


@needs_model
@pytest.mark.parametrize("day", [57, 84, 90, 111])
def test_levels__rest_on_the_days_before_alone(day: int) -> None:
    record, other = draw_growing(), draw_growing()
    other[day:] = draw_growing(1)[day:] * 3
    found, changed = (History.roll(units, BOOSTED).smoothed for units in (record, other))
    np.testing.assert_array_equal(found[: day + 1], changed[: day + 1])
    assert not np.array_equal(found[-1], changed[-1])


@needs_model
def test_rule__by_them_knows_nothing_of_what_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario, seeds = use("boosted"), np.arange(4)
    before, first = record_decisions("safety_stock", "evaluate", seeds, scenario)
    day = int(first.max()) + 10
    change_record(scenario, day, monkeypatch)
    after, _ = record_decisions("safety_stock", "evaluate", seeds, scenario)
    for b, start in enumerate(first):
        for found, other in zip(before, after, strict=True):
            np.testing.assert_array_equal(found[: day - start + 1, b], other[: day - start + 1, b])


def test_mistakes__are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"^forecast.method: 'boosted' is not allowed where"):
        ForecastState.from_record(use("boosted"))
    monkeypatch.setattr(boosted, "can_boost", lambda: False)
    with pytest.raises(InputError, match=r"^forecast.method: 'boosted' needs LightGBM: `pip"):
        History.roll(draw_growing(), BOOSTED)
