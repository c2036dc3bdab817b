"""Item files: from when until when each item is listed, and what a new one resembles."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from envs.omnichannel.forecast.learner import NEVER
from envs.omnichannel.forecast.lives import FOREVER, Lives
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import IntArray, Network
from marl.planning.daily.records import find_names
from marl.planning.from_data.dates import NO_DATE, ORIGIN
from marl.planning.from_data.problems import Findings
from marl.planning.from_data.reader import Reader

REQUIRED = ("sku",)
OPTIONAL = ("store", "listed_from", "listed_until", "sister")


@dataclass(frozen=True, kw_only=True)
class Items:
    """What an item file says."""

    lives: Lives
    rows: int  # that were taken
    unknown: int  # rows of stores and SKUs that the scenario does not have


def read_items(path: Path, scenario: Scenario, first_day: date) -> Items:
    """Reads an item file. Of two rows about the same store and SKU the later one counts.

    Args:
        path: sku, [store, listed_from, listed_until, sister]; an empty store means all stores, an
            empty date that there is none.
        scenario: whose stores and SKUs they are.
        first_day: of its record.

    Raises:
        InputError: one line on the first problem.
    """
    reader = Reader.open(path, REQUIRED, OPTIONAL, Findings(fix=False))
    stores, skus = [s.name for s in scenario.network.stores], scenario.sku_names
    sku = find_names(reader, "sku", skus)
    store = _find_or_blank(reader, "store", stores)
    sister = _find_or_blank(reader, "sister", skus)
    step = scenario.days_a_period
    first = _read_day(reader, "listed_from", first_day, step, 0)
    last = _read_day(reader, "listed_until", first_day, step, FOREVER)
    reader.note(last < first, "listed_until", "{} is before listed_from; a later date is needed")
    is_known = (sku >= 0) & (store != _UNKNOWN)
    reader.note(is_known & (sister == _UNKNOWN), "sister", "{} is no SKU of the scenario")
    reader.note(
        is_known & (sister == sku), "sister", "{} is the item itself; another one is needed"
    )
    reader.note(~is_known & ~is_known.any(), "sku", "{} is not of the scenario, and no row is")
    reader.check()
    lives = _start_lives(scenario)
    for row in np.flatnonzero(is_known):
        place = slice(None) if store[row] == _BLANK else store[row], sku[row]
        lives.is_given[place] = 1
        lives.first[place] = max(first[row], 0)
        lives.last[place] = max(last[row], -1)
        lives.sister[place] = sister[row] if sister[row] >= 0 else NEVER
    carried = Network.from_scenario(scenario).carried
    if carried is not None:  # what a store never carries has no life there
        absent = ~carried[-len(stores) :]
        lives.is_given[absent], lives.first[absent], lives.last[absent] = 0, 0, FOREVER
        lives.sister[absent] = NEVER
    return Items(lives=lives, rows=int(is_known.sum()), unknown=int((~is_known).sum()))


_BLANK, _UNKNOWN = -1, -2


def _start_lives(scenario: Scenario) -> Lives:
    """Nothing is stated but the categories."""
    lives = Lives.start(len(scenario.network.stores), len(scenario.skus))
    categories = list(scenario.categories)
    lives.category[:] = [categories.index(sku.category) for sku in scenario.skus]
    return lives


def _find_or_blank(reader: Reader, column: str, known: list[str]) -> IntArray:
    """Each row's position among names; `_BLANK` where the cell is empty."""
    texts = reader.texts(column)
    place = {name: i for i, name in enumerate(known)}
    found = [_BLANK if text is None else place.get(text, _UNKNOWN) for text in texts]
    return np.array(found, np.int64)


def _read_day(reader: Reader, column: str, first_day: date, step: int, blank: int) -> IntArray:
    """Each row's day of the record; `blank` where the cell is empty or the column is left out."""
    if not reader.has(column):
        return np.full(len(reader), blank)
    days = reader.date(column, blank=True)
    is_date = days != NO_DATE
    since = np.where(is_date, days, 0) - (first_day - ORIGIN).days
    return np.where(is_date, since // step, blank)
