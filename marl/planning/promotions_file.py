"""Promotion files: what is promoted where, from when until when, and how much more it sells."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from envs.errors import InputError
from marl.planning.daily.records import find_names
from marl.planning.from_data.dates import ORIGIN
from marl.planning.from_data.problems import Findings
from marl.planning.from_data.reader import Reader
from marl.planning.promotions import EVERYWHERE, Promotions
from marl.planning.stock_count import StockCountSchema

REQUIRED = ("sku", "first_date", "last_date", "uplift")
OPTIONAL = ("store",)
MOST_UPLIFT = 100
_UNKNOWN = -2


def read_promotions(path: Path, schema: StockCountSchema) -> Promotions:
    """Reads a file of promotions.

    Args:
        path: sku, first_date, last_date, uplift, [store]; an empty store means all stores.
        schema: of the scenario's stock count.

    Raises:
        InputError: one line on the first problem, or that the scenario's demand has no dates.
    """
    if schema.first_day is None:
        raise InputError(
            f"--promotions: '{path}' is not allowed; the scenario's demand is drawn and has no "
            "dates"
        )
    reader = Reader.open(path, REQUIRED, OPTIONAL, Findings(fix=False))
    begin = (schema.first_day - ORIGIN).days
    first, last = (reader.date(name) - begin for name in ("first_date", "last_date"))
    reader.note(last < first, "last_date", "{} is before first_date; a later date is needed")
    uplift = reader.number("uplift", most=MOST_UPLIFT)
    sku = find_names(reader, "sku", schema.skus)
    place = {name: i for i, name in enumerate(schema.nodes[schema.num_dcs :])}
    texts = reader.texts("store")
    store = np.array([EVERYWHERE if t is None else place.get(t, _UNKNOWN) for t in texts])
    known = (sku >= 0) & (store != _UNKNOWN)
    reader.check()
    return Promotions(
        first=first[known] // schema.step,
        last=last[known] // schema.step,
        store=store[known],
        sku=sku[known],
        uplift=uplift[known],
        unknown=int((~known).sum()),
    )
