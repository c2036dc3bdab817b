"""A stock count: what a planner knows before the day opens, as rows that are checked.

A row is one node and SKU, days count from today, units are whole. Columns:

- `day` of the scenario's calendar, a number or a date, the same in every row; `node`; `sku`;
  `on_hand`.
- `in_transit_D`: arrives before opening in D days, from 0, due today and not counted on hand; to a
  DC also its stores' returns.
- `expires_D` (stores), of SKUs with a shelf life: units on hand that can be sold for D days after
  today; what is not told so is fresh.
- `in_inspection_D` (stores): a return that is back on the shelf in D days.
- `online_backorders_A` (stores' regions), and `store_...`, `pickup_...` where those wait:
  ordered A days ago and open. A channel that waits without limit has column 1 alone.
- `returns_due_D` (stores), and `mail_due_D` where returns go by mail: announced to come back in D
  days, from 0, today.
- `inspection_queue`: waits for inspection, where its capacity is limited.
- `confirmed_D` (DCs), where supply cuts are announced: share of an order placed in D days, from 0,
  that the supplier confirms; empty: all of it. The lowest share in a DC's rows counts.
- `smoothed_CHANNEL` (stores): smoothed demand a day, season taken out; empty: the forecast's own.
- `last_demand_CHANNEL` (stores): yesterday's units; empty: the smoothed demand.

Only the first four are needed; what is empty or left out is 0 unless a default is named.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property

import numpy as np

from envs.errors import InputError
from envs.omnichannel.types import FloatArray, IntArray
from envs.omnichannel.world.demand.traces import TraceDemand
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.simulator import Simulator
from envs.spreadsheet import read_name, write_name
from marl.planning.stock_cells import (
    KEYS,
    Cell,
    CellTable,
    Cures,
    Row,
    check_day,
    is_empty,
    is_wrong,
    read_cells,
    refuse_amount,
)
from marl.planning.stock_columns import (
    NODES,
    Column,
    count_slots,
    list_columns,
    refuse_column,
)

_TEMPLATE_RETURNS = 7  # columns of announced returns that a template shows; more may be given


@dataclass(frozen=True, kw_only=True)
class StockCount:
    """The arrays of `State` for one copy, and what is known of demand."""

    day: int
    units: dict[str, IntArray]  # field of `State` -> (slots, nodes, K); nodes are N or S
    smoothed: FloatArray  # (C, S, K); NaN: not given
    last_demand: FloatArray  # (C, S, K); NaN: not given
    confirmed: FloatArray  # (H, W) announced shares of supplier orders; H is 0 without cuts
    spent: FloatArray | None = None  # (J,) money by supplier since Monday; None: nothing is known
    read: str = ""  # the totals of what was read
    notes: tuple[str, ...] = ()  # what a planner should know of it


class StockCountSchema:
    """The rows and columns that the stock count of a simulator's scenario has."""

    def __init__(self, simulator: Simulator) -> None:
        scenario = simulator.scenario
        self.simulator = simulator
        self.nodes, self.skus = scenario.node_names, scenario.sku_names
        self.num_dcs = len(scenario.network.dcs)
        self.channels = scenario.channels
        demand = simulator.demand
        # Of day 0; drawn demand has no dates.
        self.first_day = demand.first_day if isinstance(demand, TraceDemand) else None
        self.step = scenario.days_a_period
        columns = list_columns(simulator)
        self.columns = {column.name: column for column in columns}
        self._rows = {name: self._get_rows(column) for name, column in self.columns.items()}
        self._slots = count_slots(columns)
        self._nodes = NODES
        carried, shape = simulator.network.carried, (len(self.nodes), len(self.skus))
        self._carried = np.ones(shape, np.bool_) if carried is None else carried
        self._node_index = {name: i for i, name in enumerate(self.nodes)}
        self._sku_index = {name: i for i, name in enumerate(self.skus)}

    def parse(
        self,
        rows: Iterable[Row],
        source: str,
        day: int | None = None,
        cures: Cures | None = None,
    ) -> StockCount:
        """Builds the stock count from rows, every node and SKU exactly once.

        Args:
            rows: in any order.
            source: what to call the whole in messages.
            day: where the rows have no column for it.
            cures: takes down what is wrong and cured; None: nothing is.

        Raises:
            InputError: names the row, the column, the value and what is allowed.
        """
        tables: dict[tuple[str, ...], CellTable] = {}
        seen: dict[tuple[int, int], str] = {}
        strangers: list[InputError] = []
        try:
            for where, values in rows:
                try:
                    node, sku = (
                        self._find(where, "node", values.get("node"), self._node_index),
                        self._find(where, "sku", values.get("sku"), self._sku_index),
                    )
                except InputError as stranger:
                    if cures is None:
                        raise
                    strangers.append(stranger)
                    continue
                if (node, sku) in seen:
                    raise InputError(
                        f"{where}: {self.nodes[node]!r} and {self.skus[sku]!r} stand in "
                        f"{seen[node, sku]} already; one row each is allowed"
                    )
                if "day" in values:
                    day = check_day(where, values["day"], day, self.first_day, self.step)
                names = tuple(values)
                if names not in tables:
                    tables[names] = CellTable([name for name in names if name not in KEYS])
                tables[names].add(len(seen), where, node, sku, values)
                seen[node, sku] = where
        finally:  # what is wrong in the cells of an earlier row is told first
            arrays = self._fill(tables.values(), cures)
        self._check_complete(seen, source, strangers, cures)
        assert day is not None, "rows without a day need one beside them"
        count = self._collect(arrays, day, source)
        notes = () if cures is None else cures.list_notes(len(strangers))
        if (count.units["on_hand"][0] == self.assumed).all():
            notes += (
                "on_hand is the template's, which the scenario assumes; fill in what you counted",
            )
        return replace(count, notes=notes, read=self._tell_totals(count, len(seen)))

    def _collect(self, arrays: dict[str, FloatArray], day: int, source: str) -> StockCount:
        """The arrays as a stock count: what is due today is on hand before the day opens."""
        smoothed, last_demand = arrays.pop("smoothed"), arrays.pop("last_demand")
        confirmed = arrays.pop("confirmed").min(axis=2)
        old, counted = arrays["expires"].sum(axis=0), arrays["on_hand"][0, self.num_dcs :]
        for store, sku in np.argwhere(old > counted):
            raise InputError(
                f"{source}: the expires columns of {self.nodes[self.num_dcs + store]!r} and "
                f"{self.skus[sku]!r} sum to {old[store, sku]:.0f}; at most on_hand, "
                f"{counted[store, sku]:.0f}, is allowed"
            )
        arrays["on_hand"] += arrays.pop("due_today")
        return StockCount(
            day=day,
            units={field: array.astype(np.int64) for field, array in arrays.items()},
            smoothed=smoothed,
            last_demand=last_demand,
            confirmed=confirmed,
        )

    @cached_property
    def assumed(self) -> IntArray:
        """Units on hand that the scenario's episodes begin with, (N, K): nobody counted them."""
        return self.simulator.make_state(make_seeds("template", 0, 1)).on_hand[0]

    def make_template(self, *, empty: bool = False, day: date | None = None) -> str:
        """Returns a stock count as CSV text: nothing is on its way.

        It is that of the scenario's first day, or of the first morning after its record, whose
        demand the forecast knows better than a table.

        Args:
            empty: whether on_hand is left empty; else it is what the scenario assumes.
            day: that it is filled in for instead.
        """
        chosen = self._choose_day() if day is None else day
        mean = self.simulator.demand.mean
        shown = [
            column
            for column in self.columns.values()
            if column.field not in {"due_today", "expires"}
            and (column.field not in {"returns_due", "mail_due"} or column.slot < _TEMPLATE_RETURNS)
        ]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*KEYS, *(column.name for column in shown)])
        for n, node in enumerate(self.nodes):
            for k, sku in enumerate(self.skus):
                if not self._carried[n, k]:
                    continue
                cells: list[Cell] = []
                for column in shown:
                    if n not in self._get_rows(column):
                        cells.append("")
                    elif column.field == "confirmed":
                        cells.append(1)
                    elif column.field == "on_hand":
                        cells.append("" if empty else int(self.assumed[n, k]))
                    elif self.first_day and column.field in {"smoothed", "last_demand"}:
                        cells.append("")
                    elif column.field == "smoothed":
                        cells.append(f"{mean[n - self.num_dcs, k, column.slot]:.4g}")
                    elif column.field == "last_demand":
                        cells.append(round(mean[n - self.num_dcs, k, column.slot]))
                    else:
                        cells.append(0)
                writer.writerow([chosen, write_name(node), write_name(sku), *cells])
        return text.getvalue()

    def _choose_day(self) -> int | date:
        """The day that a template is filled in for."""
        demand = self.simulator.demand
        if not isinstance(demand, TraceDemand):
            return 0
        return demand.find_date(demand.num_days)

    def _make_arrays(self) -> dict[str, FloatArray]:
        count = {"all": len(self.nodes), "dcs": self.num_dcs}
        count["stores"] = count["all"] - count["dcs"]
        arrays = {
            field: np.zeros((slots, count[self._nodes[field]], len(self.skus)))
            for field, slots in self._slots.items()
        }
        arrays["confirmed"][:] = 1
        arrays["smoothed"][:] = arrays["last_demand"][:] = np.nan
        return arrays

    def _fill(self, tables: Iterable[CellTable], cures: Cures | None) -> dict[str, FloatArray]:
        """The arrays of all cells by field, (slots, nodes, K).

        Raises:
            InputError: on the first cell, row by row, that is wrong.
        """
        arrays = self._make_arrays()
        wrong = [self._put(arrays, table, cures) for table in tables]
        first = min((found for found in wrong if found is not None), default=None)
        if first is not None:
            raise first[2]
        return arrays

    def _put(
        self, arrays: dict[str, FloatArray], table: CellTable, cures: Cures | None
    ) -> tuple[int, int, InputError] | None:
        """Puts cells where they belong; returns the first wrong one: row, column and error."""
        place, amounts = table.read()
        number, node, sku = place.T
        wrong = np.zeros(amounts.shape, bool)
        for c, name in enumerate(table.names):
            column = self.columns.get(name)
            if column is None:
                wrong[:, c] = True
                continue
            rows, own = self._rows[name], amounts[:, c]
            has_one = (node >= rows.start) & (node < rows.stop)
            wrong[:, c] = is_wrong(own, column.field) | (~has_one & (own > 0))
            if name == "on_hand":
                if cures is not None:
                    own = amounts[:, c] = cures.raise_negative(own)
                    wrong[:, c] = is_wrong(own, column.field)
                wrong[:, c] |= np.isnan(own)
            put = has_one & ~np.isnan(own)
            arrays[column.field][column.slot, node[put] - rows.start, sku[put]] = own[put]
        if not wrong.any():
            return None
        r, c = np.argwhere(wrong)[0]
        error = self._refuse(table.where[r], table.names[c], table.cells[r][c], node[r])
        return int(number[r]), int(c), error

    def _refuse(self, where: str, name: str, cell: Cell, node: int) -> InputError:
        """What is wrong with a cell."""
        column = self.columns.get(name)
        if column is None:
            return refuse_column(where, name, self.columns)
        if is_empty(cell):
            return InputError(f"{where}, column on_hand: empty; a whole number is needed")
        if is_wrong(read_cells([[cell]])[0], column.field).any():
            return refuse_amount(where, name, cell, column.field)
        return InputError(
            f"{where}, column {name}: {cell!r} is not allowed for {self.nodes[node]!r}; "
            f"leave it empty, only {'DCs' if column.nodes == 'dcs' else 'stores'} have it"
        )

    def _get_rows(self, column: Column) -> range:
        """The nodes that have values in a column."""
        first = self.num_dcs if column.nodes == "stores" else 0
        return range(first, self.num_dcs if column.nodes == "dcs" else len(self.nodes))

    def _find(self, where: str, column: str, value: Cell, index: dict[str, int]) -> int:
        name = "" if value is None else str(value).strip()
        if name not in index:
            name = read_name(name)  # of a template of ours
        if name not in index:
            names = ", ".join(list(index)[:20]) + (", ..." if len(index) > 20 else "")
            raise InputError(
                f"{where}, column {column}: {name[:60]!r} is not in the scenario; allowed: {names}"
            )
        return index[name]

    def _check_complete(
        self,
        seen: Mapping[tuple[int, int], str],
        source: str,
        strangers: list[InputError],
        cures: Cures | None,
    ) -> None:
        """Refuses a count that lacks rows; a name that is not known may be the reason."""
        places = (tuple(place) for place in np.argwhere(self._carried).tolist())
        missing = [place for place in places if place not in seen]
        if not missing:
            return
        if cures is not None and cures.fix and seen:
            cures.missing = len(missing)
            return
        if strangers:
            raise strangers[0]
        n, k = missing[0]
        hint = "" if cures is None else "; --fix takes it for empty"
        raise InputError(
            f"{source}: the row of node {self.nodes[n]!r} and sku {self.skus[k]!r} is missing; "
            f"{self._carried.sum()} rows are needed, one for each of them{hint}"
        )

    def _tell_totals(self, count: StockCount, rows: int) -> str:
        """What was read, for comparison with the system that it comes from."""
        demand = self.simulator.demand
        when = demand.find_date(count.day) if isinstance(demand, TraceDemand) else count.day
        sums = {field: int(array.sum()) for field, array in count.units.items()}
        return (
            f"{rows} rows of {'' if isinstance(when, date) else 'day '}{when}, {sums['on_hand']} "
            f"units on hand, {sums['in_transit']} on their way, {sums['backorders']} owed"
        )
