from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from envs.omnichannel.agents.coordinator import make_feasible
from envs.omnichannel.agents.packing import fill_to_total, limit_total
from envs.omnichannel.flows import Targets
from envs.omnichannel.types import FloatArray, IntArray

GAPS = arrays(np.float64, (6, 4), elements=st.floats(-300, 300))
RATES = arrays(np.float64, (6, 4), elements=st.floats(0.05, 60))


def fill(gap: list[float], rate: list[float], total: float) -> list[float]:
    filled = fill_to_total(np.array([gap]), np.array([rate]), np.array([total]))
    return filled[0].tolist()


def test_fill_to_total__adds_equal_cover_by_hand() -> None:
    # 20 units are asked for; 10 more are two days of 2 + 3 a day.
    assert fill([12, 8], [2, 3], 30) == [16, 14]


def test_fill_to_total__a_surplus_joins_when_its_days_are_used_up() -> None:
    # 12 + 2 x - 3 + 3 x = 22 after x = 2.6 days; with one day the second would not be sent yet.
    assert fill([12, -3], [2, 3], 22) == pytest.approx([17.2, 4.8])
    assert fill([12, -3], [2, 3], 14) == pytest.approx([14, 0])


def test_fill_to_total__fewer_units_leave_equal_cover() -> None:
    # Two days less: 12 - 4, 8 - 6; four days less would leave the second out.
    assert fill([12, 8], [2, 3], 10) == [8, 2]
    assert fill([12, 8], [2, 3], 0) == [0, 0]


def test_fill_to_total__ends_where_an_entry_comes_and_goes_with_the_last_digit() -> None:
    # The first gap is sent 2 - 2 units: with rounding it joined and left in turn, without end.
    gap = [1.1542486925680926, 3.154248692568092, 0.0]
    filled = fill(gap, [0.9333333571751913, 0.9333333571751912, 0.05], 2.0)
    assert filled[1] == pytest.approx(2.0)
    assert filled[0] == pytest.approx(0.0, abs=1e-12)


@given(
    units=arrays(np.int64, (6, 4), elements=st.integers(0, 12)),
    days=st.floats(0.1, 30),
    rate=arrays(np.float64, (6, 4), elements=st.sampled_from([0.05, 1 / 3, 14 / 15, 1.1])),
)
def test_fill_to_total__ends_with_ties(units: IntArray, days: float, rate: FloatArray) -> None:
    gap, total = units + days * rate, np.maximum(units.sum(axis=-1), 0).astype(np.float64)
    filled = fill_to_total(gap, rate, total)  # after `days` fewer, some are sent 0 units
    np.testing.assert_allclose(np.maximum(filled, 0).sum(axis=-1), total, rtol=1e-9, atol=1e-6)


@given(gap=GAPS, rate=RATES, total=arrays(np.float64, 6, elements=st.floats(0.5, 600)))
def test_fill_to_total__sends_the_total(
    gap: np.ndarray, rate: np.ndarray, total: np.ndarray
) -> None:
    filled = fill_to_total(gap, rate, total)
    np.testing.assert_allclose(np.maximum(filled, 0).sum(axis=-1), total, rtol=1e-9, atol=1e-6)


@given(gap=GAPS, rate=RATES, most=arrays(np.float64, 6, elements=st.floats(0, 600)))
def test_limit_total__never_sends_more_nor_touches_what_fits(
    gap: np.ndarray, rate: np.ndarray, most: np.ndarray
) -> None:
    limited = limit_total(gap, rate, most)
    sent = np.maximum(limited, 0).sum(axis=-1)
    assert (sent <= most + 1e-6).all()
    fits = np.maximum(gap, 0).sum(axis=-1) <= most
    np.testing.assert_array_equal(limited[fits], gap[fits])


@given(gap=GAPS, rate=RATES, trucks=arrays(np.int64, 6, elements=st.integers(1, 5)))
def test_make_feasible__m_full_trucks_pay_for_m(
    gap: np.ndarray, rate: np.ndarray, trucks: np.ndarray
) -> None:
    capacity = 120
    filled = fill_to_total(gap, rate, capacity * trucks.astype(float))[None]
    targets = Targets(
        supplier_gap=np.zeros((1, 1, 4)),
        shipment_gap=filled,
        online_share=np.zeros(filled.shape),
        disposition=np.ones((*filled.shape, 3)) / 3,
    )
    load = make_feasible(targets, whole_trucks=True).shipment.sum(axis=-1)[0]
    np.testing.assert_array_equal(load, capacity * trucks)
