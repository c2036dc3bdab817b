import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.types import Demand, IntArray
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.returns import ReturnProcess


def make_process(tiny: Scenario, **returns: object) -> ReturnProcess:
    rules = tiny.returns.model_dump() | returns
    return ReturnProcess(Scenario.model_validate(tiny.model_dump() | {"returns": rules}))


def make_demand(units: IntArray, rate: float, rounding: np.ndarray) -> Demand:
    """One copy for each rounding draw, the same draw in every cell."""
    cells = (len(rounding), *units.shape[:2])
    return Demand(
        units=np.broadcast_to(units, (len(rounding), *units.shape)),
        return_rate=np.full(cells, rate),
        return_rounding=np.broadcast_to(rounding[:, None, None], cells),
        scrap_rounding=np.broadcast_to(rounding[:, None, None], cells),
        next_log_level=np.empty((len(rounding), 0, 0)),
    )


def uniform_delay(low: int, high: int) -> dict[str, object]:
    return {"kind": "uniform", "low": low, "high": high}


# Lambda x sold = 0.25 x (4 + 6) = 2.5 units, a third of them after 1, 2 and 3 days each.
@pytest.mark.parametrize(
    ("rounding", "expected"),
    [(0.1, [0, 0, 1, 1]), (0.4, [0, 1, 1, 0]), (0.9, [0, 1, 1, 1])],
)
def test_schedule__rounds_along_the_delays(
    tiny: Scenario, rounding: float, expected: list[int]
) -> None:
    process = make_process(tiny, delay=uniform_delay(1, 3))
    sold = np.full((2, 2, 2), [4, 6])
    # Cumulative 2.5/3, 5/3, 2.5 plus the draw, rounded down.
    by_delay = process.schedule(sold[None], make_demand(sold, 0.25, np.array([rounding])))
    assert by_delay[0, :, 0, 0].tolist() == expected


@given(st.integers(0, 300), st.floats(0, 1), st.floats(0.001, 0.999))
def test_schedule__total_is_expected_returns_rounded_by_the_draw(
    sold_units: int, rate: float, rounding: float
) -> None:
    sold = np.zeros((2, 2, 2), np.int64)
    sold[0, 0] = [sold_units, 7]
    process = make_process(load_scenario("tiny"))
    by_delay = process.schedule(sold[None], make_demand(sold, rate, np.array([rounding])))
    assert (by_delay >= 0).all()
    assert by_delay[0, :, 0, 0].sum() == np.floor(rate * (sold_units + 7) + rounding)
    assert by_delay[0, :, 1:].sum() == 0


def test_schedule__mean_of_each_delay_is_exact(tiny: Scenario) -> None:
    process = make_process(tiny, delay=uniform_delay(2, 5))
    draws = (np.arange(1000) + 0.5) / 1000
    sold = np.full((2, 2, 2), [5, 8])
    by_delay = process.schedule(
        np.broadcast_to(sold, (1000, *sold.shape)), make_demand(sold, 0.15, draws)
    )
    # 0.15 x 13 / 4 = 0.4875 a day; 1000 evenly spaced draws miss an expectation by 1/1000 at most.
    expected = [0, 0, 0.4875, 0.4875, 0.4875, 0.4875]
    np.testing.assert_allclose(by_delay[:, :, 0, 0].mean(axis=0), expected, atol=1e-3)


def test_schedule__basis_demand_with_delay_zero_is_the_papers_form(tiny: Scenario) -> None:
    """Eq. 2 as printed: returns = lambda x demand, on the same day, whatever was sold."""
    process = make_process(tiny, basis="demand", delay=uniform_delay(0, 0))
    demand = make_demand(np.full((2, 2, 2), [30, 10]), 0.1, np.array([0.5]))
    by_delay = process.schedule(np.zeros((1, 2, 2, 2), np.int64), demand)
    assert by_delay.shape == (1, 1, 2, 2)
    assert (by_delay == 4).all()


def test_scrap__is_the_share_that_is_not_resaleable(tiny: Scenario) -> None:
    draws = (np.arange(1000) + 0.5) / 1000
    demand = make_demand(np.zeros((2, 2, 2), np.int64), 0.0, draws)
    returned = np.broadcast_to(np.array([[7, 0], [1, 2]]), (1000, 2, 2))
    scrapped = make_process(tiny, resaleable=0.8).scrap(returned, demand)
    assert (scrapped <= returned).all()
    expected = [[1.4, 0], [0.2, 0.4]]
    np.testing.assert_allclose(scrapped.mean(axis=0), expected, atol=1e-3)


@pytest.mark.parametrize(("resaleable", "scrapped"), [(1.0, 0), (0.0, 7)])
def test_scrap__takes_none_or_all(tiny: Scenario, resaleable: float, scrapped: int) -> None:
    demand = make_demand(np.zeros((2, 2, 2), np.int64), 0.0, np.array([0.001, 0.5, 0.999]))
    process = make_process(tiny, resaleable=resaleable)
    assert (process.scrap(np.full((3, 2, 2), 7), demand) == scrapped).all()


def test_sample_rate__spreads_around_the_category(tiny: Scenario) -> None:
    rate = make_process(tiny).sample_rate(make_seeds("test", 0, 2000))
    # Shirts 15%, lamps 5%, each +- 2% by store; a uniform of half-width 2% has sd 2% / sqrt(3).
    assert np.abs(rate - [0.15, 0.05]).max() <= 0.02
    standard_error = 0.02 / np.sqrt(3 * 2000)
    assert (np.abs(rate.mean(axis=0) - [0.15, 0.05]) < 4 * standard_error).all()


def test_sample_rate__stays_between_zero_and_one(tiny: Scenario) -> None:
    rate = make_process(tiny, store_spread=1.0).sample_rate(make_seeds("test", 0, 100))
    assert (rate.min(), rate.max()) == (0.0, 1.0)


def test_recorded_delays__start_on_the_day_after_the_sale(tiny: Scenario) -> None:
    process = make_process(tiny, delay={"kind": "recorded", "source": "online_gifts"})
    assert process.delays[0] == 0
    assert process.delays.sum() == pytest.approx(1)
    demand = make_demand(np.full((2, 2, 2), 50), 0.1, np.array([0.5]))
    assert process.schedule(demand.units, demand).sum() == 4 * 10
