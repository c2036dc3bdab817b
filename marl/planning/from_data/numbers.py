"""Numbers as they are found in files: decimal points and commas, thousands, missing values."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from envs.omnichannel.types import FloatArray

# What stands for a value that is not there. Names may be NA: a place, or initials.
MISSING = frozenset({"", "-", "--", "null", "nan", "#n/a", "n/a", "<na>"})
_LONGEST = 40

_SIGN = r"[+-]?"
_PLAIN = re.compile(rf"{_SIGN}\d+", re.ASCII)
_POINT = re.compile(rf"{_SIGN}(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{{1,3}})?", re.ASCII)
_COMMA = re.compile(rf"{_SIGN}(\d+(,\d*)?|,\d+)", re.ASCII)
_GROUPED_BY_COMMA = re.compile(rf"{_SIGN}\d{{1,3}}(,\d{{3}})+(\.\d*)?", re.ASCII)
_GROUPED_BY_POINT = re.compile(rf"{_SIGN}\d{{1,3}}(\.\d{{3}})+(,\d*)?", re.ASCII)
_MAYBE_THOUSANDS = re.compile(rf"{_SIGN}[1-9]\d{{0,2}}([.,]\d{{3}})+", re.ASCII)


def is_missing(text: str) -> bool:
    """Whether a text stands for a value that is not there."""
    return text.lower() in MISSING


def read_numbers(
    texts: Sequence[str], separator: str, decimals: int | None = None
) -> tuple[FloatArray, list[str]]:
    """Reads the distinct texts of a column, on all of which the decimal mark is decided.

    Args:
        texts: of the column.
        separator: of the file's columns; beside a comma, a point can only be the decimal one.
        decimals: that all numbers of the file's layout have; None: not known.

    Returns:
        The numbers, NaN where there is none, and what each text is: `number`, `text`, `blank`, or
        `ambiguous` for what may be thousands.
    """
    texts = [_move_sign(text) for text in texts]
    decimal = None if decimals is None else _find_last_mark(texts, decimals)
    if decimal is None:
        decimal = "." if separator == "," else _find_mark(texts)
    values, kinds = np.full(len(texts), np.nan), []
    for i, text in enumerate(texts):
        kind, plain = _read(text, separator, decimal)
        kinds.append(kind)
        if kind == "number":
            values[i] = float(plain)
    return values, kinds


def _move_sign(text: str) -> str:
    """The number with its sign before it: ledgers write `3-`."""
    return f"-{text[:-1]}" if len(text) > 1 and text[-1] == "-" and text[0] != "-" else text


def _find_last_mark(texts: Sequence[str], decimals: int) -> str | None:
    """The mark before the decimals that every number has; None if one has others."""
    places = {text[-decimals - 1 : -decimals] for text in texts if not is_missing(text)}
    return places.pop() if places in ({"."}, {","}) else None


def _find_mark(texts: Sequence[str]) -> str | None:
    """The decimal mark of the texts that are clear; None if none is or they contradict."""
    marks = set()
    for text in texts:
        if "." not in text and "," not in text:
            continue
        if "." in text and "," in text:
            marks.add("." if text.rindex(".") > text.rindex(",") else ",")
        elif not _MAYBE_THOUSANDS.fullmatch(text):
            if _COMMA.fullmatch(text):
                marks.add(",")
            elif _POINT.fullmatch(text):
                marks.add(".")
    return marks.pop() if len(marks) == 1 else None


def _read(text: str, separator: str, decimal: str | None) -> tuple[str, str]:
    """What a text is, and its number as Python writes it."""
    if is_missing(text):
        return "blank", ""
    if len(text) > _LONGEST:
        return "text", ""
    if _PLAIN.fullmatch(text):
        return "number", text
    if decimal == ",":
        if _COMMA.fullmatch(text) or _GROUPED_BY_POINT.fullmatch(text):
            return "number", text.replace(".", "").replace(",", ".")
    elif decimal == "." and "," in text and "." in text and _GROUPED_BY_COMMA.fullmatch(text):
        return "number", text.replace(",", "")
    elif _MAYBE_THOUSANDS.fullmatch(text) and (decimal is None or "," in text):
        return "ambiguous", ""
    elif _COMMA.fullmatch(text):
        return "number", text.replace(",", ".")
    if _POINT.fullmatch(text) and (decimal != "," or not _MAYBE_THOUSANDS.fullmatch(text)):
        return "number", text
    return "text", ""
