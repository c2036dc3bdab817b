import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.scenario.returns import GeometricDelay, LognormalDelay, TableDelay
from envs.omnichannel.types import Demand, IntArray
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.events.returns import ReturnProcess, make_delays


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
    )


def spread_out(
    process: ReturnProcess, sold: IntArray, demand: Demand, *, by_mail: bool = False
) -> IntArray:
    """A period's returns by delay, (B, D, S, K): those of the day, then those due."""
    due = np.zeros((len(sold), len(process.delays), *sold.shape[1:3]), np.int64)
    collect = process.collect_mail if by_mail else process.collect
    now, later = collect(due, sold, demand)
    assert not later[:, -1].any()
    return np.concatenate([now[:, None], later[:, :-1]], axis=1)


def uniform_delay(low: int, high: int) -> dict[str, object]:
    return {"kind": "uniform", "low": low, "high": high}


# Lambda x sold = 0.25 x (4 + 6) = 2.5 units, a third of them after 1, 2 and 3 days each.
@pytest.mark.parametrize(
    ("rounding", "expected"),
    [(0.1, [0, 0, 1, 1]), (0.4, [0, 1, 1, 0]), (0.9, [0, 1, 1, 1])],
)
def test_collect__rounds_along_the_delays(
    tiny: Scenario, rounding: float, expected: list[int]
) -> None:
    process = make_process(tiny, delay=uniform_delay(1, 3))
    sold = np.full((2, 2, 2), [4, 6])
    # Cumulative 2.5/3, 5/3, 2.5 plus the draw, rounded down.
    by_delay = spread_out(process, sold[None], make_demand(sold, 0.25, np.array([rounding])))
    assert by_delay[0, :, 0, 0].tolist() == expected


@given(st.integers(0, 300), st.floats(0, 1), st.floats(0.001, 0.999))
def test_collect__total_is_expected_returns_rounded_by_the_draw(
    sold_units: int, rate: float, rounding: float
) -> None:
    sold = np.zeros((2, 2, 2), np.int64)
    sold[0, 0] = [sold_units, 7]
    process = make_process(load_scenario("tiny"))
    by_delay = spread_out(process, sold[None], make_demand(sold, rate, np.array([rounding])))
    assert (by_delay >= 0).all()
    assert by_delay[0, :, 0, 0].sum() == np.floor(rate * (sold_units + 7) + rounding)
    assert by_delay[0, :, 1:].sum() == 0


def test_collect__mean_of_each_delay_is_exact(tiny: Scenario) -> None:
    process = make_process(tiny, delay=uniform_delay(2, 5))
    draws = (np.arange(1000) + 0.5) / 1000
    sold = np.full((2, 2, 2), [5, 8])
    by_delay = spread_out(
        process, np.broadcast_to(sold, (1000, *sold.shape)), make_demand(sold, 0.15, draws)
    )
    # 0.15 x 13 / 4 = 0.4875 a day; 1000 evenly spaced draws miss an expectation by 1/1000 at most.
    expected = [0, 0, 0.4875, 0.4875, 0.4875, 0.4875]
    np.testing.assert_allclose(by_delay[:, :, 0, 0].mean(axis=0), expected, atol=1e-3)


def test_collect__basis_demand_with_delay_zero_is_the_papers_form(tiny: Scenario) -> None:
    """Eq. 2 as printed: returns = lambda x demand, on the same day, whatever was sold."""
    process = make_process(tiny, basis="demand", delay=uniform_delay(0, 0))
    demand = make_demand(np.full((2, 2, 2), [30, 10]), 0.1, np.array([0.5]))
    by_delay = spread_out(process, np.zeros((1, 2, 2, 2), np.int64), demand)
    assert by_delay.shape == (1, 1, 2, 2)
    assert (by_delay == 4).all()


def test_scrap__is_the_share_that_is_not_resaleable(tiny: Scenario) -> None:
    draws = (np.arange(1000) + 0.5) / 1000
    demand = make_demand(np.zeros((2, 2, 2), np.int64), 0.0, draws)
    returned = np.broadcast_to(np.array([[7, 0], [1, 2]]), (1000, 2, 2))
    scrapped = make_process(tiny, resaleable=0.8).scrap(returned, demand.scrap_rounding)
    assert (scrapped <= returned).all()
    expected = [[1.4, 0], [0.2, 0.4]]
    np.testing.assert_allclose(scrapped.mean(axis=0), expected, atol=1e-3)


@pytest.mark.parametrize(("resaleable", "scrapped"), [(1.0, 0), (0.0, 7)])
def test_scrap__takes_none_or_all(tiny: Scenario, resaleable: float, scrapped: int) -> None:
    demand = make_demand(np.zeros((2, 2, 2), np.int64), 0.0, np.array([0.001, 0.5, 0.999]))
    process = make_process(tiny, resaleable=resaleable)
    assert (process.scrap(np.full((3, 2, 2), 7), demand.scrap_rounding) == scrapped).all()


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
    assert spread_out(process, demand.units, demand).sum() == 4 * 10


def test_make_delays__table_is_what_it_says() -> None:
    table = TableDelay(kind="table", probabilities={1: 0.25, 4: 0.75})
    assert make_delays(table).tolist() == [0, 0.25, 0, 0, 0.75]


def test_make_delays__geometric_by_hand() -> None:
    """A third of what is out comes back on days 2, 3, 4: 9, 6 and 4 of 27, cut off there."""
    delay = GeometricDelay(kind="geometric", probability=1 / 3, first=2, longest=4)
    np.testing.assert_allclose(make_delays(delay), [0, 0, 9 / 19, 6 / 19, 4 / 19])


def test_make_delays__lognormal_counts_started_days() -> None:
    """Half is back by the end of the median's day; the mean is median x exp(sigma^2 / 2) + 1/2."""
    delays = make_delays(LognormalDelay(kind="lognormal", median=9, sigma=0.3, longest=90))
    assert delays[0] == 0
    assert delays[:10].sum() == pytest.approx(0.5, abs=1e-6)
    mean = (delays * np.arange(91)).sum()
    assert mean == pytest.approx(9 * np.exp(0.045) + 0.5, abs=1e-3)


def test_make_delays__lognormal_is_cut_off() -> None:
    delays = make_delays(LognormalDelay(kind="lognormal", median=9, sigma=0.3, longest=9))
    assert len(delays) == 10
    assert delays.sum() == pytest.approx(1)


def test_sample_rate__multiplies_category_and_store(tiny: Scenario) -> None:
    data = tiny.model_dump()
    data["network"]["stores"][1]["return_factor"] = 3
    data["returns"]["store_spread"] = 0
    rate = ReturnProcess(Scenario.model_validate(data)).sample_rate(make_seeds("test", 0, 1))
    np.testing.assert_allclose(rate[0], [[0.15, 0.05], [0.45, 0.15]])


def test_collect__channels_return_at_their_own_rates_up_to_one(tiny: Scenario) -> None:
    """Walk-ins 0.4 x 0.5 x 10 = 2; online 0.4 x 3 is more than all, so all 7."""
    process = make_process(tiny, delay=uniform_delay(0, 0), store_factor=0.5, online_factor=3.0)
    sold = np.full((2, 2, 2), [10, 7])
    by_delay = spread_out(process, sold[None], make_demand(sold, 0.4, np.array([0.5])))
    assert (by_delay == 9).all()


def test_collect__a_share_of_online_returns_is_mailed(tiny: Scenario) -> None:
    """0.2 x 30 walk-in and 0.2 x 0.75 x 20 online units come to the store, 0.2 x 5 by mail."""
    process = make_process(tiny, delay=uniform_delay(0, 0), by_mail=0.25)
    sold = np.full((2, 2, 2), [30, 20])
    demand = make_demand(sold, 0.2, np.array([0.3, 0.7]))
    both = np.broadcast_to(sold, (2, *sold.shape))
    assert (spread_out(process, both, demand) == 9).all()
    assert (spread_out(process, both, demand, by_mail=True) == 1).all()


def test_scrap__share_may_depend_on_the_category(tiny: Scenario) -> None:
    data = tiny.model_dump()
    data["categories"]["home"]["resaleable"] = 0.0
    process = ReturnProcess(Scenario.model_validate(data))
    returned = np.full((1, 2, 2), 10)
    # Fashion keeps the 0.8 of all returns.
    assert process.scrap(returned, np.full((1, 2, 2), 0.5))[0].tolist() == [[2, 10], [2, 10]]


@pytest.mark.parametrize(
    ("delay", "message"),
    [
        ({"kind": "table", "probabilities": {1: 0.5, 2: 0.4}}, "sum to 0.9; they must sum to 1"),
        (
            {"kind": "geometric", "probability": 0.5, "first": 9, "longest": 4},
            "first 9 is above longest 4; first <= longest is allowed",
        ),
    ],
)
def test_returns__refuses_delays_that_make_no_sense(
    tiny: Scenario, delay: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make_process(tiny, delay=delay)
