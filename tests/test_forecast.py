import numpy as np
import pytest

from envs.omnichannel.agents.forecast import SeasonalSmoothing
from envs.omnichannel.scenario import Scenario, SeasonalNormal
from envs.omnichannel.world.demand import SeasonalNormalDemand


def make_forecast(tiny: Scenario, **process: object) -> SeasonalSmoothing:
    demand = SeasonalNormalDemand(tiny, SeasonalNormal.model_validate(process))
    return SeasonalSmoothing(demand, smoothing=0.25)


def test_make_level__is_the_known_mean(tiny: Scenario) -> None:
    level = make_forecast(tiny).make_level(3)
    assert level.shape == (3, 2, 2, 2)
    assert level[2].tolist() == [[[6, 3], [3, 2]], [[3, 1.5], [1.5, 1]]]


def test_update__moves_a_share_of_the_way_to_the_demand(tiny: Scenario) -> None:
    forecast = make_forecast(tiny, season_amplitude=0.0)
    level = np.full((1, 2, 2, 2), 10.0)
    updated = forecast.update(level, np.full((1, 2, 2, 2), 18), np.array([5]))
    assert (updated == 12).all()  # 10 + 0.25 x (18 - 10)


def test_update__takes_the_season_out(tiny: Scenario) -> None:
    # A quarter of the season in, the factor of the first SKU (phase 0) is 1.2.
    forecast = make_forecast(tiny, season_period=8)
    updated = forecast.update(np.full((1, 2, 2, 2), 10.0), np.full((1, 2, 2, 2), 12), np.array([2]))
    assert updated[0, :, 0] == pytest.approx(np.full((2, 2), 10.0))


def test_predict__is_the_level_times_the_season_of_the_coming_week(tiny: Scenario) -> None:
    forecast = make_forecast(tiny, season_period=14)
    level = np.full((2, 2, 2, 2), 10.0)
    ahead = 1 + 0.2 * np.sin(2 * np.pi * np.arange(3, 10) / 14)
    predicted = forecast.predict(level, np.array([3, 17]))
    assert predicted[:, 0, 0, 0] == pytest.approx([10 * ahead.mean()] * 2)


def test_predict__over_a_season_of_a_week_is_the_level(tiny: Scenario) -> None:
    forecast = make_forecast(tiny, season_period=7)
    level = forecast.make_level(1)
    assert forecast.predict(level, np.array([4])) == pytest.approx(level)
