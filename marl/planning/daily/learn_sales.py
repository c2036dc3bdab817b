"""`learn-sales`: adds days of sales to the state of the forecasts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from envs.omnichannel.scenario import Scenario
from marl.planning.daily.records import Sales
from marl.planning.daily.sales import read_sales
from marl.planning.daily.state import ForecastState

_MOST_NAMES = 20  # that are printed of a kind


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """What a morning brought."""

    state: ForecastState
    sales: Sales
    began: bool  # whether there was no state before, so that the scenario's record was learnt first

    def list_items(self, kind: str) -> list[str]:
        """Names the cells that are `new` or `ended`, as STORE SKU."""
        learner, names = self.state.learner, self.state.names
        marks = learner.find_new() if kind == "new" else learner.find_ended()
        return [f"{names.stores[s]} {names.skus[k]}" for s, k in zip(*marks.nonzero(), strict=True)]

    def describe(self) -> Iterator[str]:
        """The lines for the planner: the totals of what was read, and what stands out."""
        sales, state = self.sales, self.state
        days = len(sales.units)
        if self.began:
            yield f"no state yet: learnt the record of {state.scenario.name}, {state.first_day} on"
        if days:
            last = date.fromordinal(state.next_day.toordinal() - 1)
            yield (
                f"learnt {sales.first_day} to {last}: {days} days, {sales.rows} rows, "
                f"{sales.units.sum()} units, {(~sales.in_stock).sum()} empty shelves"
            )
        else:
            yield f"nothing to learn: all rows are of days before {sales.first_day}"
        if sales.skipped:
            yield f"{sales.skipped} rows of days that were known already are left out"
        if sales.unknown:
            yield f"{sales.unknown} rows of stores or SKUs that the scenario lacks are left out"
        for problem in sales.fixed:
            yield f"{problem} (and {problem.count - 1} more): {problem.fix}"
        for kind in ("new", "ended"):
            cells = self.list_items(kind)
            if cells:
                more = ", ..." if len(cells) > _MOST_NAMES else ""
                yield f"{kind}: {len(cells)} ({', '.join(cells[:_MOST_NAMES])}{more})"
        yield f"forecasts are for {state.next_day} on"

    def to_json(self) -> dict[str, Any]:
        """What `--json` writes."""
        return {
            "next_day": str(self.state.next_day),
            "totals": {
                "days": len(self.sales.units),
                "rows": self.sales.rows,
                "units": int(self.sales.units.sum()),
                "known_rows": self.sales.skipped,
                "unknown_rows": self.sales.unknown,
            },
            "new": self.list_items("new"),
            "ended": self.list_items("ended"),
        }


def learn_sales(
    scenario: Scenario, sales_file: Path, state_file: Path, *, fix: bool = False
) -> Learnt:
    """Adds a sales file to the state, which is written as a whole; learning it twice adds nothing.

    Args:
        scenario: whose demand is recorded.
        sales_file: see `read_sales`.
        state_file: read if it is there; else everything that the record holds is learnt first.
        fix: see `read_sales`.

    Raises:
        InputError: one line on what is wrong with a file; the state is then left as it was.
    """
    began = not state_file.exists()
    state = (
        ForecastState.from_record(scenario) if began else ForecastState.read(state_file, scenario)
    )
    sales = read_sales(sales_file, state.names, state.next_day, fix=fix)
    state.learn(sales)
    state.write(state_file)
    return Learnt(state=state, sales=sales, began=began)
