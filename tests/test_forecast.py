from dataclasses import replace

import numpy as np
import pytest

from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.flows import Targets
from envs.omnichannel.forecast.strategies import KnownMean, Oracle, SeasonalSmoothing
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.scenario.demand import ForecastSettings, SeasonalNormal
from envs.omnichannel.types import FloatArray, Known, State
from envs.omnichannel.world.demand import ParametricDemand
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.simulator import Simulator

SETTINGS = ForecastSettings(smoothing=0.25, variance_smoothing=0.5)


def make_demand(tiny: Scenario, **process: object) -> ParametricDemand:
    return ParametricDemand(tiny, SeasonalNormal.model_validate(process))


def make_forecast(tiny: Scenario, **process: object) -> SeasonalSmoothing:
    return SeasonalSmoothing(make_demand(tiny, **process), SETTINGS)


def know(smoothed: FloatArray, variance: float = 4.0) -> Known:
    copies, stores, skus, _ = smoothed.shape
    return Known(
        smoothed=smoothed,
        variance=np.full((copies, stores, skus), variance),
        weight=np.ones((copies, stores, skus)),
        origin=np.zeros(copies, np.int64),
    )


def at(tiny: Scenario, *days: int, period: int = 0) -> State:
    state = Simulator(tiny).make_state(make_seeds("test", 0, len(days)))
    return replace(state, day=np.array(days), period=np.full(len(days), period))


def test_begin__knows_the_mean_and_the_variance_of_the_process(tiny: Scenario) -> None:
    known = make_forecast(tiny).begin(np.zeros(3, np.int64))
    assert known.smoothed.shape == (3, 2, 2, 2)
    assert known.smoothed[2].tolist() == [[[6, 3], [3, 2]], [[3, 1.5], [1.5, 1]]]
    # Noise of 0.1 x the mean, and 1/12 for the rounding, of both channels.
    assert known.variance[0, 0] == pytest.approx([0.36 + 0.09 + 1 / 6, 0.09 + 0.04 + 1 / 6])


def test_update__moves_a_share_of_the_way_to_the_demand(tiny: Scenario) -> None:
    forecast = make_forecast(tiny, season_amplitude=0.0)
    smoothed = np.full((1, 2, 2, 2), 10.0)
    updated = forecast.update(know(smoothed), np.full((1, 2, 2, 2), 18), at(tiny, 5))
    assert (updated.smoothed == 12).all()  # 10 + 0.25 x (18 - 10)
    assert (updated.variance == 130).all()  # 4 + 0.5 x (16² - 4): both channels miss 8


def test_update__takes_the_season_out(tiny: Scenario) -> None:
    # A quarter of the season in, the factor of the first SKU (phase 0) is 1.2.
    forecast = make_forecast(tiny, season_period=8)
    sold = np.full((1, 2, 2, 2), 12)
    updated = forecast.update(know(np.full((1, 2, 2, 2), 10.0)), sold, at(tiny, 2))
    assert updated.smoothed[0, :, 0] == pytest.approx(np.full((2, 2), 10.0))


def test_predict_week__is_the_level_times_the_season_of_the_coming_week(tiny: Scenario) -> None:
    forecast = make_forecast(tiny, season_period=14)
    smoothed = np.full((2, 2, 2, 2), 10.0)
    ahead = 1 + 0.2 * np.sin(2 * np.pi * np.arange(3, 10) / 14)
    predicted = forecast.predict_week(know(smoothed), at(tiny, 3, 17))
    assert predicted[:, 0, 0, 0] == pytest.approx([10 * ahead.mean()] * 2)


def test_predict_week__over_a_season_of_a_week_is_the_level(tiny: Scenario) -> None:
    forecast = make_forecast(tiny, season_period=7)
    known = forecast.begin(np.zeros(1, np.int64))
    assert forecast.predict_week(known, at(tiny, 4)) == pytest.approx(known.smoothed)


def test_predict_day__is_the_level_times_the_season(tiny: Scenario) -> None:
    forecast = make_forecast(tiny, season_period=8)
    predicted = forecast.predict_day(know(np.full((1, 2, 2, 2), 10.0)), at(tiny, 2))
    assert predicted[0, :, 0] == pytest.approx(np.full((2, 2), 12.0))


# Closed on weekdays 5 and 6, so each open day carries 7 / 5 of the mean.
WEEK = {"season_amplitude": 0.0, "calendar": {"closed": [5, 6]}}


def test_update__learns_nothing_on_closed_days(tiny: Scenario) -> None:
    forecast = make_forecast(tiny, **WEEK)
    smoothed, none = np.full((2, 2, 2, 2), 10.0), np.zeros((2, 2, 2, 2), np.int64)
    updated = forecast.update(know(smoothed), none, at(tiny, 4, 5))
    assert updated.smoothed[0] == pytest.approx(7.5)
    assert (updated.smoothed[1] == 10).all()
    assert (updated.variance[1] == 4).all()


def test_predict__knows_closed_days(tiny: Scenario) -> None:
    forecast = make_forecast(tiny, **WEEK)
    smoothed = np.full((2, 2, 2, 2), 10.0)
    known = know(smoothed)
    assert forecast.predict_day(known, at(tiny, 4, 5))[:, 0, 0, 0].tolist() == [14, 0]
    assert forecast.predict_week(known, at(tiny, 4, 5)) == pytest.approx(10)
    ahead = forecast.look_ahead(known, at(tiny, 4, 5))
    assert ahead.shape == (2, 7, 1, 2)
    assert ahead[0, :, 0, 0] == pytest.approx(1.4 * np.array([1, 1, 1, 2, 3, 4, 5]))


# One promotion of 2 days in every 2 days: always on, so that its days are known by hand.
ALWAYS = {"interval": 2, "length": 2, "uplift": 3.0}


@pytest.mark.parametrize(("notice", "days"), [(0, 1), (2, 3), (6, 7), (30, 7)])
def test_predict_week__sees_promotions_as_far_as_announced(
    tiny: Scenario, notice: int, days: int
) -> None:
    promotions = ALWAYS | {"notice": notice}
    forecast = make_forecast(tiny, season_amplitude=0.0, promotions=promotions)
    known, state = know(np.full((1, 2, 2, 2), 10.0)), at(tiny, 0)
    assert forecast.predict_week(known, state) == pytest.approx(10 + 20 * days / 7)
    assert forecast.predict_day(known, state) == pytest.approx(30)
    assert forecast.look_ahead(known, state)[0, -1, 0] == pytest.approx(7 + 2 * days)


def test_update__takes_the_promotion_out(tiny: Scenario) -> None:
    forecast = make_forecast(tiny, season_amplitude=0.0, promotions=ALWAYS)
    smoothed, sold = np.full((1, 2, 2, 2), 10.0), np.full((1, 2, 2, 2), 30)
    updated = forecast.update(know(smoothed), sold, at(tiny, 0))
    assert updated.smoothed == pytest.approx(smoothed)


def test_known_mean__is_the_mean_on_every_day(tiny: Scenario) -> None:
    demand = make_demand(tiny, season_period=8)
    forecast = KnownMean(demand, SETTINGS)
    for predict in (forecast.predict_day, forecast.predict_week):
        known = know(np.full((2, 2, 2, 2), 10.0))
        assert (predict(known, at(tiny, 2, 6)) == demand.mean).all()


def test_oracle__averages_the_expectation_of_the_coming_week(tiny: Scenario) -> None:
    demand = make_demand(tiny, season_period=14, drift={"phi": 0.5, "sd": 0.0})
    state = replace(at(tiny, 3), log_drift=np.zeros((1, 2, 2)))
    oracle, known = Oracle(demand, SETTINGS), know(np.zeros((1, 2, 2, 2)))
    ahead = 1 + 0.2 * np.sin(2 * np.pi * np.arange(3, 10) / 14)
    assert oracle.predict_week(known, state)[0, 0, 0, 0] == pytest.approx(6 * ahead.mean())
    assert oracle.predict_day(known, state)[0, 0, 0, 0] == pytest.approx(6 * ahead[0])


def measure_error(method: str) -> tuple[FloatArray, FloatArray]:
    """MAE and bias of 32 episodes of `volatile`; the same demand whatever the method."""
    raw = load_scenario("volatile").model_dump() | {"forecast": {"method": method}}
    env = BatchedEnv(Scenario.model_validate(raw), 32)
    env.reset(make_seeds("test", 0, 32))
    nothing = Targets(
        supplier_gap=np.zeros((32, 1, 4)),
        shipment_gap=np.zeros((32, 10, 4)),
        online_share=np.zeros((32, 10, 4)),
        disposition=np.broadcast_to([1.0, 0, 0], (32, 10, 4, 3)),
    )
    while not env.apply(nothing).done:
        pass
    metrics = env.compute_metrics()
    return metrics["forecast/mae"], metrics["forecast/bias"]


def test_forecasts__the_oracle_errs_least_and_the_mean_most() -> None:
    """In every episode; no method is biased, beyond what smoothing does in 32 episodes."""
    smoothing, mean, oracle = (measure_error(m) for m in ("smoothing", "mean", "oracle"))
    assert (oracle[0] < smoothing[0]).all()
    assert smoothing[0].mean() < mean[0].mean() - 0.005
    assert abs(oracle[1].mean()) < 4 * oracle[1].std() / np.sqrt(32)
    assert max(abs(smoothing[1].mean()), abs(mean[1].mean())) < 0.03
