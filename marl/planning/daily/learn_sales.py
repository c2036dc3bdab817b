"""`learn-sales`: adds days of sales to the state of the forecasts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from envs.errors import InputError
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import BoolArray
from envs.untrusted import MOST_TABLE, read_bytes
from marl.planning.daily.items import Items, read_items
from marl.planning.daily.records import Sales
from marl.planning.daily.sales import read_sales
from marl.planning.daily.state import ForecastState, find_first_day
from marl.planning.from_data.dates import find_zone
from marl.planning.from_data.layouts import parse_columns
from marl.planning.from_data.report import list_fixes
from marl.planning.from_data.sources import Source

_MOST_NAMES = 20  # that are printed of a kind
_KINDS = {"new": "new", "ended": "ended", "unsold": "listed, not sold yet"}
_SOME_UNITS = 7.0  # expected in a store and day; none of them sold has a chance of exp(-7)


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """What a morning brought."""

    state: ForecastState
    sales: Sales
    items: Items | None  # what was stated of them now
    began: bool  # whether there was no state before, so that the scenario's record was learnt first

    def list_items(self, kind: str) -> list[str]:
        """Names the cells that are `new`, `ended` or `unsold`, as STORE SKU."""
        names, state = self.state.names, self.state
        find = {"new": state.find_new, "ended": state.find_ended, "unsold": state.find_unsold}
        marks = find[kind]()
        return [f"{names.stores[s]} {names.skus[k]}" for s, k in zip(*marks.nonzero(), strict=True)]

    def describe(self) -> Iterator[str]:
        """The lines for the planner: the totals of what was read, and what stands out."""
        sales, state = self.sales, self.state
        days, period = len(sales.units), state.scenario.period
        if self.began:
            yield f"no state yet: learnt the record of {state.scenario.name}, {state.first_day} on"
        if days:
            last = date.fromordinal(state.next_day.toordinal() - 1)
            yield (
                f"learnt {sales.first_day} to {last} ({days}): {sales.rows} rows, "
                f"{sales.units.sum()} units, {(~sales.in_stock).sum()} empty shelves"
            )
        else:
            yield f"nothing to learn: all rows are of {period}s before {sales.first_day}"
        if sales.skipped:
            yield f"{sales.skipped} rows of {period}s that were known already are left out"
        if sales.unknown:
            yield f"{sales.unknown} rows of what the scenario does not have are left out"
        if sales.returned:
            yield f"{sales.returned:,.12g} units came back, which is not taken off the sales"
        yield from list_fixes(sales.fixed)
        if sales.replaced:
            yield f"{sales.replaced} of these {period}s were known already; they are learnt anew"
        if self.items is not None:
            yield f"items: {self.items.rows} rows"
            if self.items.unknown:
                yield f"{self.items.unknown} items of stores or SKUs unknown here are left out"
        for kind, title in _KINDS.items():
            cells = self.list_items(kind)
            if cells:
                more = ", ..." if len(cells) > _MOST_NAMES else ""
                yield f"{title}: {len(cells)} ({', '.join(cells[:_MOST_NAMES])}{more})"
        yield f"forecasts are for {state.next_day} on"

    def to_json(self) -> dict[str, Any]:
        """What `--json` writes."""
        return {
            "next_day": str(self.state.next_day),
            "totals": {
                "days": len(self.sales.units),
                "rows": self.sales.rows,
                "units": int(self.sales.units.sum()),
                "returned_units": self.sales.returned,
                "known_rows": self.sales.skipped,
                "unknown_rows": self.sales.unknown,
                "replaced_days": self.sales.replaced,
            },
        } | {kind: self.list_items(kind) for kind in _KINDS}


def find_missing_stores(state: ForecastState, sales: Sales) -> BoolArray:
    """Returns days on which a store has no row though it sells too much for that, (D, S).

    Files that arrive store by store look like days without sales.
    """
    learner = state.learner
    by_sku = learner.smoothed.sum(axis=-1)  # (S, K)
    first = state.find_day(sales.first_day)
    day = (first + np.arange(len(sales.units))) % learner.cycle
    expected = learner.estimate_profile()[day] @ by_sku.T  # (D, S) units
    missing: BoolArray = ~sales.reported & (expected >= _SOME_UNITS)
    return missing


def learn_sales(
    scenario: Scenario,
    sales_file: Path | str,
    state_file: Path,
    *,
    fix: bool = False,
    columns: str | None = None,
    query: str | None = None,
    zone: str | None = None,
    items_file: Path | None = None,
    replace: bool = False,
) -> Learnt:
    """Adds a sales file to the state, which is written as a whole; learning it twice adds nothing.

    Args:
        scenario: whose demand is recorded.
        sales_file: a path, or the URL of a database; see `read_sales`.
        state_file: read if it is there; else everything that the record holds is learnt first.
        fix: see `read_sales`.
        columns: which columns they are: NAME=COLUMN, ...
        query: that a database is to run.
        zone: whose days count where times name a zone.
        items_file: see `read_items`; the state keeps what it says until another one is given.
        replace: whether known days of the sales file are learnt anew in the place of the old ones.

    Raises:
        InputError: one line on what is wrong with a file; the state is then left as it was.
    """
    began = not state_file.exists()
    before = None if began else read_bytes(state_file, "--state", MOST_TABLE)
    items = None
    if items_file is not None:
        items = read_items(items_file, scenario, find_first_day(scenario))
    if began:
        state = ForecastState.from_record(scenario, None if items is None else items.lives)
    else:
        state = ForecastState.read(state_file, scenario)
        if items is not None:
            state.take_lives(items.lives)
    step, period = scenario.days_a_period, scenario.period
    sales = read_sales(
        Source.parse(str(sales_file), query, "--sales"),
        state.names,
        state.next_day,
        fix=fix,
        columns=parse_columns(columns),
        zone=find_zone(zone),
        step=step,
        replace_from=state.first_kept if replace else None,
    )
    missing = find_missing_stores(state, sales)
    if missing.any() and not fix:
        day, store = (int(i) for i in np.argwhere(missing)[0])
        raise InputError(
            f"--sales: '{sales_file}' has no row of store {state.names.stores[store]!r} on "
            f"{sales.first_day + timedelta(day * step)}, when it sells every {period} (and "
            f"{missing.sum() - 1} more such {period}s); --fix takes them for unknown: they teach "
            "nothing"
        )
    sales.in_stock[missing] = False
    state.learn(sales)
    now = read_bytes(state_file, "--state", MOST_TABLE) if state_file.exists() else None
    if now != before:
        raise InputError(f"--state: '{state_file}' was changed meanwhile; run the command again")
    state.write(state_file)
    return Learnt(state=state, sales=sales, items=items, began=began)
