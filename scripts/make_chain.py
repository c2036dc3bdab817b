"""Makes the files of a chain as large as asked for: demand, assortment, stock and SKUs.

    python scripts/make_chain.py --stores 100 --skus 5000 --days 365 --out DIR

DIR/demand/*.parquet holds a row for each day, store and SKU with a sale, a file a month. Nine of
ten cells sell less than once a day, sizes of stores and rates of SKUs are lognormal; every category
has its own weekdays, season and shelf life; promotions double to quadruple sales for a week; a
tenth of the SKUs come or go within the record, and small stores do not carry the slowest ones.
Scatter is negative binomial. Rates are scaled so that a given share of all cells has a sale.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from envs.omnichannel.types import BoolArray, FloatArray, IntArray

FIRST_DAY = date(2024, 1, 1)
SPREAD = 1.2  # shape of the negative binomial: variance = mean + mean² / SPREAD
LIVES = {"fresh": 5, "dairy": 14, "dry": None, "drinks": None, "frozen": None, "household": None}
WEEK, YEAR = 7, 365
_CARRIED = 0.35  # of the slowest SKUs, in the smallest store
_PROMOTED = 0.01  # of SKU-weeks


@dataclass(frozen=True, kw_only=True)
class Chain:
    """What a chain is, before anything is sold."""

    stores: list[str]
    skus: list[str]
    category: IntArray  # (K,) position in `LIVES`
    mean: FloatArray  # (S, K) units a day, season and promotions left out; 0 where not carried
    weekday: FloatArray  # (categories, 7)
    season: FloatArray  # (categories, 2) amplitude, and the day of the year on which it is highest
    first: IntArray  # (K,) day from which on a SKU is sold
    last: IntArray  # (K,) its last day
    uplift: FloatArray  # (weeks, K)
    price: FloatArray  # (K,)

    def expect(self, day: int) -> FloatArray:
        """Returns the units expected on a day, (S, K)."""
        amplitude, peak = self.season[:, 0], self.season[:, 1]
        wave = 1 + amplitude * np.cos(2 * np.pi * (day - peak) / YEAR)
        factor = (self.weekday[:, day % WEEK] * wave)[self.category] * self.uplift[day // WEEK]
        return self.mean * factor * ((self.first <= day) & (day <= self.last))


def make_chain(stores: int, skus: int, days: int, share: float, seed: int) -> Chain:
    """Returns a chain of which so many of all cells have a sale, about."""
    chance = np.random.default_rng(seed)
    size, rate = chance.lognormal(0, 0.45, stores), chance.lognormal(0, 1.4, skus)
    category = chance.integers(len(LIVES), size=skus)
    rank = np.argsort(np.argsort(-size))[:, None] / max(stores - 1, 1)
    slow = np.argsort(np.argsort(-rate))[None, :] / max(skus - 1, 1)
    carried = chance.random((stores, skus)) < 1 - (1 - _CARRIED) * rank * slow
    weekday = chance.dirichlet(np.full(WEEK, 40), len(LIVES)) * WEEK
    weekday[:, 4:6] *= 1.3
    season = np.stack(
        [chance.uniform(0, 0.3, len(LIVES)), chance.uniform(0, YEAR, len(LIVES))], axis=1
    )
    comes, goes = chance.random((2, skus)) < 0.05
    first = np.where(comes, chance.integers(days, size=skus), 0)
    promoted = chance.random((-(-days // WEEK), skus)) < _PROMOTED
    chain = Chain(
        stores=[f"store_{i:03d}" for i in range(stores)],
        skus=[f"sku_{i:05d}" for i in range(skus)],
        category=category,
        mean=carried * size[:, None] * rate,
        weekday=weekday,
        season=season,
        first=first,
        last=np.where(goes, chance.integers(first, days), days - 1),
        uplift=np.where(promoted, chance.uniform(2, 4, promoted.shape), 1.0),
        price=np.round(chance.lognormal(1.2, 0.7, skus), 2) + 0.1,
    )
    chain.mean[:] *= _find_scale(chain.mean, share)
    return chain


def _find_scale(mean: FloatArray, share: float) -> float:
    """The factor of the means by which that share of cells sells something on a day."""
    low, high = 1e-6, 1e6
    for _ in range(60):
        middle = (low * high) ** 0.5
        sold = 1 - (1 + middle * mean / SPREAD) ** -SPREAD
        low, high = (low, middle) if sold.mean() > share else (middle, high)
    return low


def write_demand(chain: Chain, days: int, folder: Path, seed: int) -> int:
    """Writes a file a month; returns the number of rows."""
    folder.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(seed + 1)
    month: list[pa.Table] = []
    rows = 0
    for day in range(days):
        today, tomorrow = (FIRST_DAY + timedelta(day + i) for i in (0, 1))
        expected = chain.expect(day)
        units = chance.poisson(expected * chance.gamma(SPREAD, 1 / SPREAD, expected.shape))
        store, sku = np.nonzero(units)
        rows += len(store)
        columns = {
            "date": pa.array(np.full(len(store), np.datetime64(today, "D"))),
            "store": _name(store, chain.stores),
            "sku": _name(sku, chain.skus),
            "units": pa.array(units[store, sku].astype(np.int32)),
        }
        month.append(pa.table(columns))
        if today.month != tomorrow.month or day == days - 1:
            pq.write_table(pa.concat_tables(month), folder / f"{today:%Y-%m}.parquet")
            month = []
    return rows


def write_others(chain: Chain, days: int, folder: Path, seed: int) -> None:
    """Writes what is carried, what is in stock, and what the SKUs are."""
    chance = np.random.default_rng(seed + 2)
    carried: BoolArray = chain.mean > 0
    store, sku = np.nonzero(carried)
    first = np.datetime64(FIRST_DAY, "D") + chain.first[sku]
    last = np.datetime64(FIRST_DAY, "D") + chain.last[sku]
    never = np.datetime64("NaT")
    names = {"store": _name(store, chain.stores), "sku": _name(sku, chain.skus)}
    dates = {
        "from": pa.array(np.where(chain.first[sku] > 0, first, never)),
        "until": pa.array(np.where(chain.last[sku] < days - 1, last, never)),
    }
    pq.write_table(pa.table(names | dates), folder / "assortment.parquet")
    on_hand = chance.poisson(4 * chain.mean[store, sku] + 1)
    pq.write_table(
        pa.table({"node": names["store"], "sku": names["sku"], "on_hand": pa.array(on_hand)}),
        folder / "stock.parquet",
    )
    lives, kinds = [*LIVES.values()], [*LIVES]
    pq.write_table(
        pa.table(
            {
                "sku": chain.skus,
                "category": [kinds[i] for i in chain.category],
                "price": chain.price,
                "unit_cost": np.round(0.7 * chain.price, 2),
                "shelf_life": pa.array([lives[i] for i in chain.category], pa.int32()),
            }
        ),
        folder / "skus.parquet",
    )


def _name(codes: IntArray, names: list[str]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(names)).cast(
        pa.string()
    )


def main() -> None:
    """Reads the arguments and makes the files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for name in ("stores", "skus", "days"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--share", type=float, default=0.165, help="of cells with a sale")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    chain = make_chain(asked.stores, asked.skus, asked.days, asked.share, asked.seed)
    rows = write_demand(chain, asked.days, asked.out / "demand", asked.seed)
    write_others(chain, asked.days, asked.out, asked.seed)
    cells = asked.stores * asked.skus * asked.days
    print(f"{asked.out}: {rows:,} rows of {cells:,} cells")


if __name__ == "__main__":
    main()
