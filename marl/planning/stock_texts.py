"""Texts of stock counts as systems write them: dates and numbers in the forms of their country."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta

import numpy as np

from marl.planning.from_data.dates import (
    EITHER,
    ISO_WEEK,
    MONTH,
    NO_DATE,
    ORIGIN,
    SERIAL,
    count_days,
    find_date,
)
from marl.planning.from_data.numbers import read_numbers

_PLAIN = re.compile(r"(-?\d+)?", re.ASCII)
_POINT = re.compile(r"-?[\d.]+([eE]\d+)?", re.ASCII)  # which every reader of numbers takes
# A day of the calendar is a number too, and a period is no part of a date.
_NO_DAYS = {EITHER, ISO_WEEK, MONTH, SERIAL, "YYYYMMDD"}


def translate(name: str, cells: Sequence[str], separator: str) -> Sequence[str]:
    """Returns a column's cells as a stock count has them; what is not understood stays as it is.

    Args:
        name: of the column.
        cells: one a row.
        separator: of the file's columns.
    """
    if name in {"node", "sku"}:
        return cells
    odd = [text for text in dict.fromkeys(cells) if not _PLAIN.fullmatch(text)]
    if all(_POINT.fullmatch(text) for text in odd) and name != "day":
        return cells
    known = _read_dates(odd) if name == "day" else _read_amounts(name, odd, separator)
    return [known.get(cell, cell) for cell in cells]


def _read_dates(texts: list[str]) -> dict[str, str]:
    """Dates as YYYY-MM-DD; those whose day may be a month are left."""
    known = {}
    for text in texts:
        found = find_date(text.strip())
        if found is not None and found.form not in _NO_DAYS:
            days = count_days(found, found.form)
            if days != NO_DATE:
                known[text] = str(ORIGIN + timedelta(days))
    return known


def _read_amounts(name: str, texts: list[str], separator: str) -> dict[str, str]:
    """Numbers as Python writes them, and nothing for what is missing; stock on hand never is."""
    values, kinds = read_numbers([text.strip() for text in texts], separator)
    known = {}
    for text, value, kind in zip(texts, values.tolist(), kinds, strict=True):
        if kind == "number" and np.isfinite(value):
            known[text] = str(int(value)) if value.is_integer() else repr(value)
        elif kind == "blank" and name != "on_hand":
            known[text] = ""
    return known
