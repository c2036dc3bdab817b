"""Every drawn process with every modifier. Errors allowed are four standard errors throughout."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.errors import InputError
from envs.omnichannel.flows import Decisions
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.demand import ForecastSettings
from envs.omnichannel.types import FloatArray, IntArray, State
from envs.omnichannel.world.demand import DemandProcess
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.simulator import Simulator
from envs.validation import validate_model
from tests.conftest import known

COPIES = 20_000
Rules = dict[str, object]  # of `demand`, as a user writes them
NORMAL: Rules = {"process": "seasonal_normal"}
POISSON: Rules = {"process": "poisson"}
NEGATIVE_BINOMIAL: Rules = {"process": "negative_binomial", "cv": 0.7}
INTERMITTENT: Rules = {"process": "intermittent", "probability": 0.25, "size_cv": 0.8}
GAMMA: Rules = {"process": "rounded_gamma", "cv": 0.5}
CLIPPED: Rules = {"process": "clipped_normal", "noise": 0.3}
UNIFORM: Rules = {"process": "uniform", "width": 0.5}
PROCESSES = [NORMAL, POISSON, NEGATIVE_BINOMIAL, INTERMITTENT, GAMMA, CLIPPED, UNIFORM]
DRIFT = {"phi": 0.9, "sd": 0.4}
PROMOTIONS = {"interval": 10, "length": 3, "uplift": 2.5, "notice": 4}
CALENDAR = {"weekdays": [1, 1, 1, 1, 2, 3, 1], "closed": [6]}

# store_0 and store_1 of `tiny`, SKU by channel; store_1 is half the size.
MEAN = np.array([[[6, 3], [3, 2]], [[3, 1.5], [1.5, 1]]])


def make_simulator(tiny: Scenario, demand: Rules) -> Simulator:
    return Simulator(Scenario.model_validate(tiny.model_dump() | {"demand": demand}))


def make(
    tiny: Scenario, demand: Rules, copies: int = COPIES, *, day: int = 0, period: int = 0
) -> tuple[DemandProcess, State]:
    simulator = make_simulator(tiny, demand)
    state = simulator.make_state(make_seeds("test", 0, copies))
    zeros = np.zeros(copies, np.int64)
    return simulator.demand, replace(state, day=zeros + day, period=zeros + period)


def sample(tiny: Scenario, demand: Rules) -> IntArray:
    process, state = make(tiny, demand)
    return process.sample_units(state)


def check_moments(units: IntArray, mean: FloatArray, variance: FloatArray) -> None:
    """The mean against its standard error, the variance against that of a long-tailed sample."""
    assert (np.abs(units.mean(axis=0) - mean) < 4 * np.sqrt(variance / len(units))).all()
    fourth = ((units - units.mean(axis=0)) ** 4).mean(axis=0)
    error = np.sqrt((fourth - units.var(axis=0) ** 2) / len(units))
    assert (np.abs(units.var(axis=0) - variance) < 4 * error).all()


def test_poisson__variance_is_the_mean(tiny: Scenario) -> None:
    check_moments(sample(tiny, POISSON | {"season_amplitude": 0.0}), MEAN, MEAN)


def test_negative_binomial__standard_deviation_is_cv_times_the_mean(tiny: Scenario) -> None:
    """From means of 1 / cv^2 = 2.04 units on; below, counts scatter like Poisson's."""
    units = sample(tiny, NEGATIVE_BINOMIAL | {"season_amplitude": 0.0})
    check_moments(units, MEAN, np.maximum((0.7 * MEAN) ** 2, MEAN))


def test_intermittent__days_and_sizes(tiny: Scenario) -> None:
    """A quarter of the days have demand; sizes of 4 to 24 units keep the mean."""
    units = sample(tiny, INTERMITTENT | {"season_amplitude": 0.0})
    size = MEAN / 0.25
    size_variance = np.maximum((0.8 * size) ** 2, size - 1)
    check_moments(units, MEAN, 0.25 * (size_variance + size**2) - MEAN**2)
    busy = (units > 0).mean(axis=0)
    assert (np.abs(busy - 0.25) < 4 * np.sqrt(0.25 * 0.75 / COPIES)).all()


def test_intermittent__slow_sellers_keep_their_mean(tiny: Scenario) -> None:
    """Half a unit a day cannot mean a demand day with probability 0.9: sizes are 1 then."""
    raw = tiny.model_dump()
    raw["skus"][0] |= {"store_demand": 0.5, "online_demand": 0.0}
    slow = Scenario.model_validate(raw)
    rules: Rules = {"process": "intermittent", "probability": 0.9, "season_amplitude": 0.0}
    units = sample(slow, rules)[:, 0, 0]
    assert set(np.unique(units[:, 0])) == {0, 1}
    assert (units[:, 1] == 0).all()
    assert abs(units[:, 0].mean() - 0.5) < 4 * np.sqrt(0.25 / COPIES)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: p["process"])
def test_expect_units__is_the_mean_of_the_draws(tiny: Scenario, process: Rules) -> None:
    """On a day with season, weekday, promotion in some copies, and a drift of its own in each."""
    rules = process | {"season_period": 8, "drift": DRIFT}
    demand, state = make(
        tiny, rules | {"promotions": PROMOTIONS, "calendar": CALENDAR}, day=4, period=5
    )
    difference = demand.sample_units(state) - demand.expect_units(state)
    error = difference.std(axis=0) / np.sqrt(COPIES)
    # Clipping the normal noise at zero moves small means up by less than this.
    assert (np.abs(difference.mean(axis=0)) < 4 * error + 0.01 * MEAN).all()


@settings(max_examples=40)
@given(
    process=st.sampled_from(PROCESSES),
    drift=st.sampled_from([None, DRIFT]),
    promotions=st.sampled_from([None, PROMOTIONS]),
    calendar=st.sampled_from([None, CALENDAR]),
    correlation=st.sampled_from([0.0, 0.3, 1.0]),
    copy=st.integers(0, 6),
)
def test_sample_units__do_not_depend_on_the_batch(
    tiny: Scenario,
    process: Rules,
    drift: object,
    promotions: object,
    calendar: object,
    correlation: float,
    copy: int,
) -> None:
    """Whole numbers, never negative, the same for a copy alone: over three days, drift included."""
    modifiers: Rules = {
        "drift": drift,
        "promotions": promotions,
        "calendar": calendar,
        "correlation": correlation,
    }
    simulator = make_simulator(tiny, process | modifiers)
    seeds = make_seeds("test", 3, 7)
    together, alone = simulator.make_state(seeds), simulator.make_state(seeds[copy : copy + 1])
    for _ in range(3):
        units, own = (simulator.demand.sample_units(state) for state in (together, alone))
        assert units.dtype == np.int64
        assert units.min() >= 0
        np.testing.assert_array_equal(own[0], units[copy])
        together, alone = (
            replace(
                state,
                day=state.day + 1,
                period=state.period + 1,
                log_drift=simulator.demand.step_log_drift(state),
            )
            for state in (together, alone)
        )


def test_drift__is_stationary_with_the_given_moments(tiny: Scenario) -> None:
    """On the first day and 20 days later: mean 0, sd 0.4, and phi between neighbours."""
    process, state = make(tiny, NORMAL | {"drift": DRIFT})
    for _ in range(21):
        log_drift = known(state.log_drift)
        error = 0.4 / np.sqrt(log_drift.size)
        assert abs(log_drift.mean()) < 4 * error
        assert abs(log_drift.std() - 0.4) < 4 * error / np.sqrt(2)
        after = known(process.step_log_drift(state))
        correlation = np.corrcoef(log_drift.ravel(), after.ravel())[0, 1]
        assert abs(correlation - 0.9) < 4 * (1 - 0.9**2) / np.sqrt(log_drift.size)
        state = replace(state, log_drift=after, period=state.period + 1)


def test_drift__has_mean_one_and_is_the_cells_own(tiny: Scenario) -> None:
    process, state = make(tiny, NORMAL | {"season_amplitude": 0.0, "drift": DRIFT})
    factor = process.expect_units(state) / MEAN
    spread = np.sqrt(np.exp(0.4**2) - 1)  # of a lognormal with mean 1
    assert (np.abs(factor.mean(axis=0) - 1) < 4 * spread / np.sqrt(COPIES)).all()
    np.testing.assert_allclose(factor[..., 0], factor[..., 1])
    between = np.corrcoef(known(state.log_drift).reshape(COPIES, 4).T) - np.eye(4)
    assert np.abs(between).max() < 4 / np.sqrt(COPIES)


def test_drift__expectation_ahead_is_the_mean_of_what_follows(tiny: Scenario) -> None:
    process, state = make(tiny, NORMAL | {"season_amplitude": 0.0, "drift": DRIFT})
    # One copy's drift for all, so that the seeds differ in the shocks alone.
    drift = known(state.log_drift)
    state = replace(state, log_drift=np.broadcast_to(drift[:1], drift.shape))
    expected, later = process.expect_units(state, 3)[0], state
    for _ in range(3):
        shocked = process.step_log_drift(later)
        later = replace(later, log_drift=shocked, period=later.period + 1)
    followed = process.expect_units(later)
    error = followed.std(axis=0) / np.sqrt(COPIES)
    assert (np.abs(followed.mean(axis=0) - expected) < 4 * error).all()


@pytest.mark.parametrize("drift", [DRIFT, None])
def test_simulator__carries_the_drift_whatever_is_decided(tiny: Scenario, drift: object) -> None:
    simulator = make_simulator(tiny, NORMAL | {"drift": drift})
    state = expected = simulator.make_state(make_seeds("test", 0, 4))
    assert (state.log_drift is None) == (drift is None)
    for units in (0, 5, 9):
        decisions = Decisions(
            supplier_order=np.full((4, 1, 2), units),
            shipment=np.full((4, 2, 2), units),
            online_share=np.zeros((4, 2, 2)),
            disposition=np.broadcast_to([1.0, 0, 0], (4, 2, 2, 3)),
        )
        state, _ = simulator.simulate_period(state, decisions, simulator.sample_demand(state))
        after = simulator.demand.step_log_drift(expected)
        expected = replace(expected, log_drift=after, period=expected.period + 1)
        if after is not None:
            np.testing.assert_array_equal(state.log_drift, after)


def find_uplift(process: DemandProcess, state: State, periods: int) -> FloatArray:
    """The factor of each day, (T, B, K)."""
    days = [process.compute_uplift(state, ahead) for ahead in range(periods)]
    assert all(day is not None for day in days)
    return np.stack([day[:, 0, :, 0] for day in days if day is not None])


def test_promotions__are_one_whole_one_in_every_interval(tiny: Scenario) -> None:
    process, state = make(tiny, POISSON | {"promotions": PROMOTIONS}, 500)
    on = find_uplift(process, state, 30) == 2.5
    by_interval = on.reshape(3, 10, 500, 2)
    assert (by_interval.sum(axis=1) == 3).all()
    rises = by_interval[:, 1:] & ~by_interval[:, :-1]
    assert (rises.sum(axis=1) + by_interval[:, 0] == 1).all()  # its days follow one another
    first = by_interval.argmax(axis=1)
    share = np.bincount(first.ravel(), minlength=8) / first.size
    assert np.abs(share - 1 / 8).max() < 4 * np.sqrt(1 / 8 * 7 / 8 / first.size)
    assert (first[:, :, 0] != first[:, :, 1]).any()  # each SKU has its own


def test_promotions__are_announced_as_they_come(tiny: Scenario) -> None:
    """What is seen days ahead is what happens; the demand of the day carries it."""
    process, state = make(tiny, POISSON | {"season_amplitude": 0.0, "promotions": PROMOTIONS})
    assert process.notice == 4
    seen = process.compute_uplift(state, 4)
    later = replace(state, period=state.period + 4)
    np.testing.assert_array_equal(seen, process.compute_uplift(later))
    assert seen is not None
    units, on = process.sample_units(later), seen[:, 0, 0, 0] > 1
    for promoted, factor in ((True, 2.5), (False, 1.0)):
        found = units[on == promoted, 0, 0]
        error = np.sqrt(factor * MEAN[0, 0] / len(found))
        assert (np.abs(found.mean(axis=0) - factor * MEAN[0, 0]) < 4 * error).all()


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: p["process"])
def test_calendar__closed_days_have_no_demand(tiny: Scenario, process: Rules) -> None:
    rules = process | {"drift": DRIFT, "promotions": PROMOTIONS, "correlation": 0.5}
    demand, state = make(tiny, rules | {"season_period": 3, "calendar": CALENDAR}, 200)
    open_days = [
        d for d in range(21) if demand.sample_units(replace(state, day=state.day + d)).any()
    ]
    assert open_days == [d for d in range(21) if d % 7 != 6]


def test_calendar__keeps_the_mean_of_the_week(tiny: Scenario) -> None:
    """Weights 1 1 1 1 2 3 and a closed day: an open one is worth 7 / 9 of the mean."""
    process, _ = make(
        tiny, POISSON | {"season_period": 90, "season_amplitude": 0.0, "calendar": CALENDAR}, 1
    )
    assert process.season.shape == (630, 2, 2)
    assert process.season[:7, 1, 0] == pytest.approx(np.array([1, 1, 1, 1, 2, 3, 0]) * 7 / 9)
    assert process.mean.tolist() == MEAN.tolist()


@pytest.mark.parametrize("rho", [0.0, 0.4, 1.0])
def test_correlation__of_stores_is_the_given_one(tiny: Scenario, rho: float) -> None:
    """Measured on large means with 10% noise, where rounding hides nothing."""
    raw = tiny.model_dump()
    for sku in raw["skus"]:
        sku |= {"store_demand": 1e4, "online_demand": 1e4}
    units = sample(Scenario.model_validate(raw), NORMAL | {"correlation": rho})
    error = 4 / np.sqrt(COPIES)
    for k in range(2):
        measured = np.corrcoef(units[:, 0, k, 0], units[:, 1, k, 1])[0, 1]
        assert abs(measured - rho) < error
    between_skus = np.corrcoef(units[:, 0, 0, 0], units[:, 0, 1, 0])[0, 1]
    assert abs(between_skus) < error


@pytest.mark.parametrize("process", [POISSON, NEGATIVE_BINOMIAL], ids=lambda p: p["process"])
def test_correlation__leaves_the_distribution_of_a_cell_alone(
    tiny: Scenario, process: Rules
) -> None:
    units = sample(tiny, process | {"season_amplitude": 0.0, "correlation": 0.6})
    scatter = (0.7 * MEAN) ** 2 if process is NEGATIVE_BINOMIAL else MEAN
    check_moments(units, MEAN, np.maximum(scatter, MEAN))
    measured = np.corrcoef(units[:, 0, 0, 0], units[:, 1, 0, 0])[0, 1]
    assert 0.5 < measured < 0.6  # counts of a few units keep most of it


# Field, value and what is allowed, in one line.
@pytest.mark.parametrize(
    ("demand", "message"),
    [
        (
            NEGATIVE_BINOMIAL | {"cv": -0.1},
            "demand.cv: -0.1 is not allowed; must be greater than or equal to 0",
        ),
        (
            POISSON | {"noise": 0.1},
            "demand.noise: unknown key; allowed: season_period, season_amplitude, drift, "
            "promotions, calendar, correlation, overrides, process",
        ),
        (
            INTERMITTENT | {"probability": 0},
            "demand.probability: 0 is not allowed; must be greater than 0",
        ),
        (
            POISSON | {"correlation": 1.5},
            "demand.correlation: 1.5 is not allowed; must be less than or equal to 1",
        ),
        (
            POISSON | {"drift": {"phi": 1}},
            "demand.drift.phi: 1 is not allowed; must be less than 1",
        ),
        (
            POISSON | {"drift": {"ph": 1}},
            "demand.drift.ph: unknown key; allowed: phi, sd",
        ),
        (
            POISSON | {"drift": 0.9},
            "demand.drift: 0.9 is not allowed; a mapping of fields is needed",
        ),
        (
            POISSON | {"promotions": {"interval": 5, "length": 6}},
            "demand.promotions: length 6 is above interval 5; length <= interval is allowed",
        ),
        (
            POISSON | {"calendar": {"weekdays": [1, 2]}},
            "demand.calendar.weekdays: [1, 2] is not allowed; "
            "must have at least 7 items after validation, not 2",
        ),
        (
            POISSON | {"calendar": {"closed": [7]}},
            "demand.calendar.closed.0: 7 is not allowed; must be less than or equal to 6",
        ),
        (
            POISSON | {"calendar": {"weekdays": [0, 0, 0, 0, 0, 0, 1], "closed": [6]}},
            "demand.calendar: weekdays [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0] without closed [6] "
            "leave no demand; at least one open weekday above 0 is needed",
        ),
    ],
)
def test_validate_model__says_what_is_wrong(tiny: Scenario, demand: Rules, message: str) -> None:
    with pytest.raises(InputError) as error:
        validate_model(Scenario, tiny.model_dump(mode="json") | {"demand": demand}, "my.yaml")
    assert str(error.value) == f"my.yaml: {message}"


def test_validate_model__names_the_forecast_methods(tiny: Scenario) -> None:
    raw = tiny.model_dump(mode="json") | {"forecast": {"method": "arima"}}
    with pytest.raises(InputError) as error:
        validate_model(Scenario, raw, "my.yaml")
    *others, last = map(repr, get_args(ForecastSettings.model_fields["method"].annotation))
    assert "'running'" in others
    assert str(error.value) == (
        f"my.yaml: forecast.method: 'arima' is not allowed; must be {', '.join(others)} or {last}"
    )
