"""Layouts: which columns of a file are read as what, by the names in its header.

A layout is known by columns that stand together in no other system's export. Files of no known one
have the columns of docs/your-data.md, or `--columns` names them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from envs.errors import InputError
from marl.planning.from_data.dates import find_date
from marl.planning.from_data.texts import name_column, shorten

REQUIRED = ("date", "store", "sku", "units")
OPTIONAL = ("channel", "promotion", "price", "in_stock")
LEAST_DATES = 14  # columns named by dates, or nobody meant a column a date


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What the columns of a file are read as."""

    name: str
    columns: Mapping[str, str]  # a column of ours: its name in the file, or 'a constant' in quotes
    known_by: Sequence[str] = ()  # further columns that the layout has
    about: str = ""  # what is to be known of it, a clause
    fallback: Mapping[str, str] = field(default_factory=dict)  # for empty cells, as `columns`
    dates: Sequence[int] = ()  # positions of the columns that are a date each
    day_one: date | None = None  # of columns d_1, d_2 ...
    has_lines: bool = False  # rows are lines of orders or tills: they add up, and are returned
    movements: Mapping[str, int] = field(default_factory=dict)  # type of a row: 1 sold, -1 returned
    decimals: int | None = None  # that all its numbers have, where that is known

    @property
    def is_wide(self) -> bool:
        """Whether there is a column for each date."""
        return bool(self.dates)


_LEDGER = Layout(
    name="SAP ledger",
    columns=dict.fromkeys(("date", "store", "sku", "units", "movement"), ""),
    about="movement types 601 and 251 are sales, 602, 252, 651 and 653 come back; all other rows "
    "are left out",
    has_lines=True,
    movements={"601": 1, "251": 1, "602": -1, "252": -1, "651": -1, "653": -1},
    decimals=3,
)
_KNOWN = (
    Layout(
        name="M5",
        columns={"sku": "item_id", "store": "store_id"},
        known_by=("dept_id", "cat_id", "state_id"),
        about="d_1 is 2011-01-29",
        day_one=date(2011, 1, 29),
    ),
    Layout(
        name="Favorita",
        columns={
            "date": "date",
            "store": "store_nbr",
            "sku": "item_nbr",
            "units": "unit_sales",
            "promotion": "onpromotion",
        },
        about="negative unit_sales are returns",
        has_lines=True,
    ),
    Layout(
        name="Rossmann",
        columns={
            "date": "date",
            "store": "store",
            "sku": "'all'",
            "units": "sales",
            "promotion": "promo",
        },
        known_by=("dayofweek", "customers", "open"),
        about="there are no SKUs: one, all, whose units are the turnover",
    ),
    Layout(
        name="Shopify",
        columns={
            "date": "created_at",
            "store": "location",
            "sku": "lineitem_sku",
            "units": "lineitem_quantity",
            "channel": "'online'",
            "price": "lineitem_price",
        },
        known_by=("lineitem_name",),
        about="order lines, all ordered online, on the local day that they were created",
        fallback={"store": "'online shop'", "sku": "lineitem_name"},
        has_lines=True,
    ),
    *(
        replace(_LEDGER, columns=dict(zip(_LEDGER.columns, names, strict=True)))
        for names in (
            ("posting_date", "plant", "material", "quantity", "movement_type"),
            ("posting_date", "plant", "material", "qty_in_unit_of_entry", "movement_type"),
            ("buchungsdatum", "werk", "material", "menge_in_erfassme", "bewegungsart"),
        )
    ),
)
_WEEKLY = Layout(name="VN2", columns={"store": "store", "sku": "product"}, about="a column a week")


def choose_layout(header: Sequence[str], asked: Mapping[str, str], place: str) -> Layout:
    """Returns the layout of a file.

    Args:
        header: of the file.
        asked: columns that the user names: ours, and theirs.
        place: the file and line, for messages.

    Raises:
        InputError: if columns that are needed are not there.
    """
    names = [name_column(name) for name in header]
    for ours, theirs in asked.items():
        if not _is_constant(theirs) and name_column(theirs) not in names:
            raise InputError(
                f"{place}, column {theirs}: missing, though --columns names it for {ours}; found: "
                f"{shorten(', '.join(header))}"
            )
    dates = _find_dates(header)
    known = _find_known(names, dates) if not asked else None
    if known is not None:
        return known
    columns = {name: name for name in (*REQUIRED, *OPTIONAL) if name in names}
    if "date" not in columns and "week" in names:
        columns["date"] = "week"
    columns |= {ours: theirs if _is_constant(theirs) else name_column(theirs)
                for ours, theirs in asked.items()}  # fmt: skip
    wide = bool(dates) and not {"date", "units"} & set(columns)
    needed = ("store", "sku") if wide else REQUIRED
    for name in needed:
        if name not in columns:
            example = ", ".join(f"{missing}=..." for missing in needed if missing not in columns)
            raise InputError(
                f"{place}, column {name}: missing; found: {shorten(', '.join(names))}; needed: "
                f'{", ".join(needed)}; say which columns they are: --columns "{example}"'
            )
    return Layout(
        name="wide" if wide else "long",
        columns=columns,
        about="a column a date" if wide else "",
        dates=dates if wide else (),
    )


def parse_columns(text: str | None) -> dict[str, str]:
    """Returns what `--columns "date=Posting Date, sku=Material"` names, ours and theirs.

    Raises:
        InputError: names what is not understood.
    """
    asked: dict[str, str] = {}
    for part in (text or "").split(",") if text else ():
        ours, _, theirs = (word.strip() for word in part.partition("="))
        if ours not in {*REQUIRED, *OPTIONAL} or not theirs:
            raise InputError(
                f"--columns: '{part.strip()}' is not allowed; NAME=COLUMN is needed, where NAME is "
                f"one of {', '.join((*REQUIRED, *OPTIONAL))} and COLUMN one of the file, or a "
                "'text' in quotes for all rows"
            )
        asked[ours] = theirs
    return asked


def read_constant(text: str) -> str | None:
    """Returns the text that stands for all rows; None: it is the name of a column."""
    return text[1:-1] if _is_constant(text) else None


def _is_constant(text: str) -> bool:
    return len(text) > 2 and text[0] == text[-1] == "'"


def _find_known(names: Sequence[str], dates: Sequence[int]) -> Layout | None:
    """The known layout all of whose columns are there."""
    for layout in _KNOWN:
        needed = [*layout.columns.values(), *layout.known_by]
        if all(_is_constant(name) or name in names for name in needed):
            if layout.day_one is None:
                return layout
            days = [i for i, name in enumerate(names) if name.startswith("d_")]
            if days:
                return replace(layout, dates=days)
    if dates and set(names[: dates[0]]) == {"store", "product"}:
        return replace(_WEEKLY, dates=dates)
    return None


def _find_dates(header: Sequence[str]) -> list[int]:
    """The columns that are named by dates, if there are many."""
    found = [i for i, name in enumerate(header) if find_date(name.strip()) is not None]
    return found if len(found) >= LEAST_DATES else []
