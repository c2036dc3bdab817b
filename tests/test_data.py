import re
from pathlib import Path

import numpy as np
import pytest

from envs.omnichannel import data

README = Path(data.__file__).parent / "README.md"


def test_grocery_demand__has_the_documented_shape() -> None:
    dates, stores, skus, units = data.load_grocery_demand()
    assert units.shape == (len(dates), len(stores), len(skus)) == (365, 10, 30)
    assert units.dtype == np.int64
    assert (units >= 0).all()
    assert len(set(stores)) == 10
    assert len(set(skus)) == 30


def test_grocery_demand__covers_every_day_of_the_year() -> None:
    dates, *_ = data.load_grocery_demand()
    assert dates.dtype == np.dtype("datetime64[D]")
    assert (dates == np.arange("2017-01-01", "2018-01-01", dtype="datetime64[D]")).all()


def test_grocery_demand__totals_equal_those_of_the_source() -> None:
    _, stores, skus, units = data.load_grocery_demand()
    assert units.sum() == 142_572
    assert units.max() == 93
    assert dict(zip(stores, units.sum(axis=(0, 2)).tolist(), strict=True)) == {
        "S333": 11_318,
        "S343": 14_771,
        "S356": 17_490,
        "S367": 22_580,
        "S369": 9_954,
        "S381": 16_798,
        "S422": 12_678,
        "S424": 12_016,
        "S31862": 10_234,
        "S32004": 14_733,
    }
    by_sku = dict(zip(skus, units.sum(axis=(0, 1)).tolist(), strict=True))
    assert by_sku["SOFT DRINKS"] == 12_360
    assert by_sku["FLUID MILK PRODUCTS"] == 9_500
    assert by_sku["CONVENIENT BRKFST/WHLSM SNACKS"] == 2_263


@pytest.mark.parametrize(
    ("date", "store", "sku", "expected"),
    [
        ("2017-01-01", "S333", "SOFT DRINKS", 1),
        ("2017-06-15", "S367", "CHEESE", 55),
        ("2017-11-09", "S32004", "CANDY - CHECKLANE", 93),
        ("2017-11-22", "S369", "EGGS", 1),
        ("2017-12-24", "S32004", "SOFT DRINKS", 6),
    ],
)
def test_grocery_demand__cells_equal_those_of_the_source(
    date: str, store: str, sku: str, expected: int
) -> None:
    dates, stores, skus, units = data.load_grocery_demand()
    day = int(np.flatnonzero(dates == np.datetime64(date))[0])
    assert units[day, stores.index(store), skus.index(sku)] == expected


def test_grocery_demand__is_zero_on_the_day_without_trade() -> None:
    dates, _, _, units = data.load_grocery_demand()
    assert units[dates == np.datetime64("2017-12-25")].sum() == 0


def test_grocery_tables__have_the_order_of_the_demand() -> None:
    _, stores, skus, _ = data.load_grocery_demand()
    assert data.load_grocery_skus()["sku"].tolist() == skus
    assert data.load_grocery_stores()["store"].tolist() == stores
    assert (data.load_grocery_skus()["unit_price"] > 0).all()


def test_return_rates__are_fractions_of_eleven_categories() -> None:
    rates = data.load_return_rates()
    assert rates["category"].is_unique
    assert len(rates) == 11
    fractions = rates.filter(like="return_rate")
    assert list(fractions) == [
        "return_rate_lines",
        "return_rate_units",
        "return_rate_units_no_outliers",
    ]
    assert fractions.to_numpy().min() > 0
    assert fractions.to_numpy().max() < 0.06


@pytest.mark.parametrize(
    ("column", "expected"),
    [("return_rate_units", 0.0265), ("return_rate_units_no_outliers", 0.0115)],
)
def test_return_rates__weighted_mean_is_that_of_the_readme(column: str, expected: float) -> None:
    rates = data.load_return_rates()
    mean = np.average(rates[column], weights=rates["units_sold"])
    assert mean == pytest.approx(expected, abs=5e-5)


def test_return_delays__are_probabilities_of_sixty_days() -> None:
    probabilities = data.load_return_delays()
    assert probabilities.shape == (60,)
    assert (probabilities > 0).all()
    assert probabilities.sum() == pytest.approx(1.0, abs=1e-12)


def test_return_delays__equal_the_counts_of_the_source() -> None:
    probabilities = data.load_return_delays()
    assert probabilities[0] == pytest.approx(296 / 10_089)
    assert probabilities[-1] == pytest.approx(1_643 / 10_089)
    # 13 days is the median of the matched return lines.
    assert probabilities[:12].sum() < 0.5 < probabilities[:13].sum()


@pytest.mark.parametrize("licence", ["CC BY 4.0", "CC0 1.0", "MIT"])
def test_data_readme__names_the_licences(licence: str) -> None:
    assert re.search(rf"\*\*Licence\.\*\*[^*]*{re.escape(licence)}", README.read_text("utf-8"))


def test_data_readme__describes_every_file() -> None:
    text = README.read_text("utf-8")
    names = [path.name for path in README.parent.glob("*.csv*")]
    assert len(names) == 5
    assert [name for name in names if f"`{name}`" not in text] == []
