from dataclasses import replace

import numpy as np
import pytest

from envs.errors import InputError
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.demand import SeasonalNormal, Trace
from envs.omnichannel.types import IntArray, State
from envs.omnichannel.world.demand import ParametricDemand, make_demand
from envs.omnichannel.world.demand.traces import TraceDemand
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.simulator import Simulator

COPIES = 20_000


def make_state(scenario: Scenario, period: IntArray, day: IntArray) -> State:
    state = Simulator(scenario).make_state(make_seeds("test", 0, len(day)))
    return replace(state, period=period, day=day)


def make_process(tiny: Scenario) -> ParametricDemand:
    """One large SKU, so that rounding to units is small beside the noise of 10%."""
    sku = tiny.skus[0].model_copy(update={"store_demand": 200.0, "online_demand": 100.0})
    scenario = tiny.model_copy(update={"skus": [sku]})
    return ParametricDemand(scenario, SeasonalNormal(season_period=8))


def sample(tiny: Scenario, process: ParametricDemand, day: int) -> IntArray:
    zeros = np.zeros(COPIES, np.int64)
    return process.sample_units(make_state(tiny, zeros, zeros + day))


# Eq. 1 by hand with phase 0: base at days 0 and 4, +20% at day 2, -20% at day 6 of 8.
@pytest.mark.parametrize(("day", "factor"), [(0, 1.0), (2, 1.2), (4, 1.0), (6, 0.8), (10, 1.2)])
def test_sample_units__mean_is_base_plus_season(tiny: Scenario, day: int, factor: float) -> None:
    base = np.array([[[200, 100]], [[100, 50]]])  # (S, K, C); store_1 is half the size
    standard_error = 0.1 * base / np.sqrt(COPIES)
    mean = sample(tiny, make_process(tiny), day).mean(axis=0)
    assert (np.abs(mean - factor * base) < 4 * standard_error).all()


def test_sample_units__standard_deviation_is_a_tenth_of_base(tiny: Scenario) -> None:
    """Also at the peak of the season: the noise is a share of base, not of the season's demand."""
    base = np.array([[[200, 100]], [[100, 50]]])
    expected = np.sqrt((0.1 * base) ** 2 + 1 / 12)  # 1/12: the variance of rounding
    measured = sample(tiny, make_process(tiny), 2).std(axis=0)
    assert (np.abs(measured / expected - 1) < 4 / np.sqrt(2 * COPIES)).all()


def test_sample_units__are_integers_and_never_negative(tiny: Scenario) -> None:
    process = ParametricDemand(tiny, SeasonalNormal(noise=2.0))
    units = sample(tiny, process, 0)
    assert units.dtype == np.int64
    assert units.min() == 0


def test_sample_units__are_a_function_of_seed_and_period(tiny: Scenario) -> None:
    process = make_demand(tiny)
    state = make_state(tiny, np.arange(6), np.zeros(6, np.int64))
    units = process.sample_units(state)
    np.testing.assert_array_equal(units, process.sample_units(state))
    np.testing.assert_array_equal(process.sample_units(state.select(slice(4, 5)))[0], units[4])
    later = replace(state, period=state.period + 1)
    assert (units != process.sample_units(later)).any()


def test_sample_start__covers_every_day_of_the_season(tiny: Scenario) -> None:
    start = make_demand(tiny).sample_start(make_seeds("test", 0, 500), tiny.horizon, "train")
    assert np.unique(start).tolist() == list(range(14))


def make_trace(tiny: Scenario, **changes: object) -> TraceDemand:
    """The first two stores and two product groups of the recorded year."""
    from envs.omnichannel.data import load_grocery_demand

    _, stores, skus, _ = load_grocery_demand()
    network = tiny.network.model_copy(
        update={
            "stores": [
                store.model_copy(update={"name": name})
                for store, name in zip(tiny.network.stores, stores, strict=False)
            ]
        }
    )
    renamed = [s.model_copy(update={"name": n}) for s, n in zip(tiny.skus, skus, strict=False)]
    scenario = tiny.model_copy(update={"network": network, "skus": renamed} | changes)
    return TraceDemand(scenario, Trace(process="trace", source="grocery_demand", online_share=0.25))


def test_trace__replays_the_recorded_units(tiny: Scenario) -> None:
    from envs.omnichannel.data import load_grocery_demand

    recorded = load_grocery_demand()[3][:, :2, :2]
    days = np.array([0, 100, 364])
    state = make_state(tiny, np.arange(3), days)
    units = make_trace(tiny).sample_units(state)
    np.testing.assert_array_equal(units.sum(axis=-1), recorded[days])
    expected = make_trace(tiny).expect_units(replace(state, day=days - 2), 2)
    assert expected[1:] == pytest.approx(recorded[days][1:, ..., None] * [0.75, 0.25])


def test_trace__keeps_training_and_evaluation_apart(tiny: Scenario) -> None:
    trace, seeds = make_trace(tiny), make_seeds("test", 0, 5000)
    train = trace.sample_start(seeds, 14, "train")
    evaluate = trace.sample_start(seeds, 14, "evaluate")
    assert (train.min(), train.max()) == (56, 273 - 14)  # eight weeks are known before
    assert (evaluate.min(), evaluate.max()) == (273, 365 - 14)


def test_trace__refuses_a_horizon_beyond_its_shorter_part(tiny: Scenario) -> None:
    with pytest.raises(InputError) as error:
        make_trace(tiny, horizon=93)
    assert str(error.value) == (
        "horizon: 93 is not allowed; at most 92 (the record has 92 held-back days, and 273 "
        "training days of which the first 7 are known before any episode begins)"
    )


def test_trace__refuses_a_store_that_is_not_in_the_data(tiny: Scenario) -> None:
    with pytest.raises(InputError, match=r"^network\.stores\.0\.name: 'store_0' is not in the"):
        TraceDemand(tiny, Trace(process="trace", source="grocery_demand"))
