"""Real retail data, small enough to ship. `README.md` beside this file has sources and licences.

Two retailers that share no SKU: demand of a grocery chain, and return rates and delays of an
online seller of gifts. Orders of dates, stores and SKUs are those of the files.
"""

from __future__ import annotations

import csv
import gzip
import io
from functools import cache
from importlib.resources import as_file, files
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "load_grocery_demand",
    "load_grocery_skus",
    "load_grocery_stores",
    "load_return_delays",
    "load_return_rates",
]


@cache
def load_grocery_demand() -> tuple[
    npt.NDArray[np.datetime64], list[str], list[str], npt.NDArray[np.int64]
]:
    """Returns one year of daily sales of 10 grocery stores and 30 product groups.

    Source: The Complete Journey (84.51/dunnhumby), a panel of households: units are a sample.

    Returns:
        dates: days in order, datetime64[D], (365,).
        stores: names, length S = 10.
        skus: names of the product groups, length K = 30.
        units: units sold per day, (365, S, K), >= 0.
    """
    header, *rows = _read_rows("grocery_demand.csv.gz")
    stores = list(dict.fromkeys(row[1] for row in rows))
    dates = np.array(list(dict.fromkeys(row[0] for row in rows)), dtype="datetime64[D]")
    skus = header[2:]
    # The rows are sorted by date, then store, with none missing.
    cells = np.array([row[2:] for row in rows]).astype(np.int64)
    units = cells.reshape(len(dates), len(stores), len(skus))
    units.setflags(write=False)  # all callers share it
    return dates, stores, skus, units


def load_grocery_skus() -> pd.DataFrame:
    """Returns `sku`, `category` (department) and `unit_price` (USD) of the 30 product groups."""
    return _read_csv("grocery_skus.csv")


def load_grocery_stores() -> pd.DataFrame:
    """Returns `store`, panel `households`, `active_days` and receipt `lines` of the 10 stores."""
    return _read_csv("grocery_stores.csv")


def load_return_rates() -> pd.DataFrame:
    """Returns the share of sales that came back to the online seller, by category.

    Source: Online Retail II, UCI, https://doi.org/10.24432/C5CG6D.

    Returns:
        A row per category with `category`, `units_sold`, and the fractions `return_rate_lines`
        (invoice lines), `return_rate_units` (units), `return_rate_units_no_outliers` (units,
        without return lines of 500 units and more).
    """
    return _read_csv("online_gifts_return_rates.csv")


def load_return_delays() -> npt.NDArray[np.float64]:
    """Returns the probability of each delay from sale to return, all categories together.

    Source: Online Retail II, UCI, https://doi.org/10.24432/C5CG6D; each return line counts once.

    Returns:
        Probabilities, (60,), sum 1: index i is a delay of i + 1 days; the last one is 60 days
        or more.
    """
    header, *rows = _read_rows("online_gifts_return_delays.csv")
    lines = np.array([float(row[header.index("lines")]) for row in rows])
    # From the counts: the file's probabilities are rounded for reading and miss 1 by a little.
    return lines / lines.sum()


def _read_rows(name: str) -> list[list[str]]:
    """Every line's cells: what a simulation needs, without the second that pandas takes to load."""
    content = (files(__name__) / name).read_bytes()
    text = gzip.decompress(content) if name.endswith(".gz") else content
    return list(csv.reader(io.StringIO(text.decode("utf-8"), newline="")))


def _read_csv(name: str) -> pd.DataFrame:
    import pandas as pd

    with as_file(files(__name__) / name) as path:
        return pd.read_csv(path, dtype={"sku": str, "store": str, "date": str})
