"""The columns of a stock count: where their values go in the arrays of a state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from envs.errors import InputError
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.simulator import Simulator
from marl.planning.stock_cells import KEYS

Nodes = Literal["all", "dcs", "stores"]  # which rows have values in a column

_EVERYWHERE = ("on_hand", "due_today", "in_transit", "inspection_queue")
_STORES = (
    "expires", "in_inspection", "backorders", "returns_due", "mail_due", "smoothed", "last_demand",
)  # fmt: skip
# Field -> the rows that have it.
NODES: dict[str, Nodes] = {
    **dict.fromkeys(_EVERYWHERE, "all"),
    **dict.fromkeys(_STORES, "stores"),
    "confirmed": "dcs",
}


@dataclass(frozen=True)
class Column:
    """A column of units."""

    name: str
    field: str
    slot: int
    nodes: Nodes


def list_columns(simulator: Simulator) -> list[Column]:
    """Returns the columns that the stock count of a simulator's scenario may have."""
    scenario = simulator.scenario
    state = simulator.make_state(make_seeds("template", 0, 1))
    cuts, delays = scenario.supply_cuts, state.returns_due.shape[1]
    longest = max((sku.shelf_life or 0 for sku in scenario.skus), default=0)
    waiting = [channel for channel in ("online", "store", "pickup") if channel in scenario.channels]
    names = {
        "on_hand": ["on_hand"],
        "due_today": ["in_transit_0"],
        "in_transit": _number("in_transit", state.in_transit.shape[1], first=1),
        "expires": _number("expires", longest, first=0),
        "in_inspection": _number("in_inspection", state.in_inspection.shape[1], first=1),
        "backorders": [
            name
            for channel in waiting
            for name in _number(
                f"{channel}_backorders", scenario.fulfillment.count_slots(channel), first=1
            )
        ],
        "returns_due": _number("returns_due", delays, first=0),
        "mail_due": _number("mail_due", delays if state.mail_due is not None else 0, first=0),
        "inspection_queue": ["inspection_queue"] * (state.inspection_queue is not None),
        "confirmed": _number("confirmed", cuts.notice + 1 if cuts else 0, first=0),
        "smoothed": [f"smoothed_{channel}" for channel in scenario.channels],
        "last_demand": [f"last_demand_{channel}" for channel in scenario.channels],
    }
    return [
        Column(name, field, slot, NODES[field])
        for field, own in names.items()
        for slot, name in enumerate(own)
    ]


def count_slots(columns: Sequence[Column]) -> dict[str, int]:
    """Returns how many columns each field has, in the order of `NODES`."""
    found = Counter(column.field for column in columns)
    return {field: found[field] for field in NODES}


def check_columns(where: str, names: Iterable[str], columns: Mapping[str, Column]) -> None:
    """Refuses unknown, repeated and missing columns.

    Raises:
        InputError: names the column and what is allowed.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(f"{where}, column {name}: it stands there twice; once is allowed")
        seen.add(name)
        if name not in KEYS and name not in columns:
            raise refuse_column(where, name, columns)
    for name in (*KEYS, "on_hand"):
        if name not in seen:
            raise InputError(f"{where}, column {name}: missing; this column is required")


def refuse_column(where: str, name: str, columns: Mapping[str, Column]) -> InputError:
    """Returns the error of an unknown column; allowed ones with many slots are told as a range."""
    by_field: dict[str, list[str]] = {}
    for column in columns.values():
        by_field.setdefault(column.field, []).append(column.name)
    allowed = [
        text
        for own in by_field.values()
        for text in (own if len(own) <= 4 else [f"{own[0]} to {own[-1]}"])
    ]
    return InputError(
        f"{where}, column {name[:60]!r}: unknown; allowed: {', '.join([*KEYS, *allowed])}"
    )


def _number(name: str, count: int, first: int) -> list[str]:
    return [f"{name}_{slot}" for slot in range(first, first + count)]
