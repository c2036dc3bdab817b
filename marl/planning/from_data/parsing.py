"""Texts to dates, numbers and names.

Every function looks at the distinct texts of a column only, so a million rows cost no more than
their thousand different values.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np

from envs.omnichannel.types import FloatArray, IntArray
from marl.planning.from_data.problems import Findings
from marl.planning.from_data.tables import BoolArray, Table

FIRST_DATE, LAST_DATE = date(1970, 1, 1), date(2100, 12, 31)
LONGEST_NAME = 100
NO_DATE = np.iinfo(np.int64).min

_YEAR_FIRST = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ]00:00(?::00(?:\.0+)?)?)?")
_SHAPES = {
    "YYYY-MM-DD": _YEAR_FIRST,
    "YYYY/MM/DD": re.compile(r"(\d{4})/(\d{1,2})/(\d{1,2})"),
    "YYYYMMDD": re.compile(r"(\d{4})(\d{2})(\d{2})"),
    "DD.MM.YYYY": re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})"),
}
_SLASHED = re.compile(r"(\d{1,2})[/-](\d{1,2})[/-](\d{4})")
_DAY_FIRST, _MONTH_FIRST, _EITHER = "DD/MM/YYYY", "MM/DD/YYYY", "DD/MM/YYYY or MM/DD/YYYY"

_POINT_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")
_COMMA_NUMBER = re.compile(r"[+-]?(\d+(,\d*)?|,\d+)")
_MAYBE_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}([.,]\d{3})+")


@dataclass(frozen=True)
class NumberRule:
    """What a column of numbers may hold, and what --fix does about the rest."""

    low: float
    high: float
    whole: bool = False
    blank: float | None = None  # stands for an empty cell; None: not allowed
    fix_low: str | None = None  # how --fix describes raising to `low`
    fix_fraction: str | None = None
    fix_blank: tuple[float, str] | None = None  # value, how --fix describes it

    @property
    def allowed(self) -> str:
        """The range in words."""
        kind = "whole numbers" if self.whole else "numbers"
        return f"{kind} from {self.low:g} to {self.high:,.0f} are allowed"


def parse_numbers(
    table: Table, column: str, rule: NumberRule, findings: Findings
) -> tuple[FloatArray, BoolArray]:
    """Returns a column's numbers, (rows,), and which rows hold a usable one, (rows,)."""
    texts = table.columns[column]
    values = np.full(len(texts.values), np.nan)
    kinds = np.array([_classify_number(text, table.separator) for text in texts.values])
    for i in np.flatnonzero(kinds == "number"):
        values[i] = float(texts.values[i].replace(",", "."))

    def note(wrong: BoolArray, message: str, fix: str | None = None) -> BoolArray:
        """Takes down the rows of the wrong texts; returns those that are now cured."""
        rows = np.flatnonzero(wrong[texts.codes]) if wrong.any() else np.empty(0, np.int64)
        if len(rows):
            findings.add(table.find_problem(rows, column, message, fix))
        return wrong & (fix is not None)

    note(kinds == "text", f"{{}} is not a number; {rule.allowed}")
    note(kinds == "ambiguous", "{} may be a fraction or thousands; write it without separators")
    if rule.blank is not None:
        values[kinds == "blank"] = rule.blank
    elif rule.fix_blank is not None:
        number, how = rule.fix_blank
        values[note(kinds == "blank", f"this cell is empty; {rule.allowed}", how)] = number
    else:
        note(kinds == "blank", f"this cell is empty; {rule.allowed}")
    finite = np.nan_to_num(values, nan=rule.low)
    note(finite > rule.high, f"{{}} is not allowed; {rule.allowed}")
    low = note(finite < rule.low, f"{{}} is not allowed; {rule.allowed}", rule.fix_low)
    values[low] = rule.low
    if rule.whole:
        fraction = (finite != np.rint(finite)) & (finite >= rule.low)
        cured = note(fraction, f"{{}} is not allowed; {rule.allowed}", rule.fix_fraction)
        values[cured] = np.rint(values[cured])
    usable = np.isfinite(values) & (values >= rule.low) & (values <= rule.high)
    return values[texts.codes], usable[texts.codes]


def parse_dates(
    table: Table, column: str, findings: Findings, *, blank: bool = False
) -> tuple[IntArray, BoolArray]:
    """Returns a column's dates as days since 1970-01-01, (rows,), and which rows hold one.

    Args:
        table: what was read.
        column: its name.
        findings: takes down what is no date, mixed forms, and days that may be months.
        blank: whether empty cells are allowed.
    """
    texts = table.columns[column]
    forms = np.array([_classify_date(text) for text in texts.values], dtype=object)
    counts = np.bincount(texts.codes, minlength=len(forms))
    if _DAY_FIRST in forms and _MONTH_FIRST not in forms:
        forms[forms == _EITHER] = _DAY_FIRST
    elif _MONTH_FIRST in forms and _DAY_FIRST not in forms:
        forms[forms == _EITHER] = _MONTH_FIRST

    def note(wrong: BoolArray, message: str, fix: str | None = None) -> None:
        if wrong.any():
            rows = np.flatnonzero(wrong[texts.codes])
            findings.add(table.find_problem(rows, column, message, fix))

    if not blank:
        note(forms == "blank", "this cell is empty; a date YYYY-MM-DD is needed")
    note(forms == "text", "{} is not a date; YYYY-MM-DD is needed")
    note(forms == _EITHER, "{} may be day/month or month/day; write dates as YYYY-MM-DD")
    known = [f for f in dict.fromkeys(forms) if f not in {"blank", "text", _EITHER}]
    if len(known) > 1:
        most = max(known, key=lambda f: int(counts[forms == f].sum()))
        both = _DAY_FIRST in known and _MONTH_FIRST in known
        note(
            np.isin(forms, [f for f in known if f != most]),
            f"{{}} mixes date formats; most rows have {most}",
            None if both else "reads every date in its own format",
        )
    days = np.full(len(forms), NO_DATE)
    for i, (text, form) in enumerate(zip(texts.values, forms, strict=True)):
        if form in known:
            days[i] = _to_day(text, form)
    dated = np.isin(forms, known)
    note(dated & (days == NO_DATE), "{} is not a day of the calendar; YYYY-MM-DD is needed")
    first, last = (int(np.datetime64(d, "D").astype(int)) for d in (FIRST_DATE, LAST_DATE))
    outside = (days != NO_DATE) & ((days < first) | (days > last))
    note(outside, f"{{}} is not allowed; {FIRST_DATE} to {LAST_DATE} are")
    usable = (days != NO_DATE) & ~outside
    return days[texts.codes], usable[texts.codes]


def parse_names(table: Table, column: str, findings: Findings) -> tuple[list[str], IntArray]:
    """Returns a column's distinct names and each row's, (rows,)."""
    texts = table.columns[column]

    def note(is_wrong: Callable[[str], bool], message: str) -> None:
        wrong = np.array([is_wrong(text) for text in texts.values])
        if wrong.any():
            findings.add(table.find_problem(np.flatnonzero(wrong[texts.codes]), column, message))

    note(lambda text: not text, "this cell is empty; a name is needed")
    note(lambda text: len(text) > LONGEST_NAME, f"{{}} is too long; {LONGEST_NAME} characters are")
    note(lambda text: not text.isprintable(), "{} has a control character, which is not allowed")
    return texts.values, texts.codes


def parse_choice(
    table: Table, column: str, allowed: tuple[str, ...], findings: Findings
) -> IntArray:
    """Returns each row's position in `allowed`, (rows,); -1 for what is not in it."""
    texts = table.columns[column]
    lowered = [text.lower() for text in texts.values]
    positions = np.array([allowed.index(t) if t in allowed else -1 for t in lowered], np.int64)
    chosen = positions[texts.codes]
    wrong = np.flatnonzero(chosen < 0)
    if len(wrong):
        message = f"{{}} is not known; allowed: {', '.join(filter(None, allowed))}"
        findings.add(table.find_problem(wrong, column, message))
    return chosen


def _classify_number(text: str, separator: str) -> str:
    if not text:
        return "blank"
    # Beside a comma as separator, a point can only be the decimal one.
    if _MAYBE_THOUSANDS.fullmatch(text) and (separator != "," or "," in text):
        return "ambiguous"
    if _POINT_NUMBER.fullmatch(text) or _COMMA_NUMBER.fullmatch(text):
        return "number" if len(text) <= 40 else "text"
    return "text"


def _classify_date(text: str) -> str:
    if not text:
        return "blank"
    for form, pattern in _SHAPES.items():
        if pattern.fullmatch(text):
            return form
    slashed = _SLASHED.fullmatch(text)
    if slashed is None:
        return "text"
    first, second = int(slashed[1]), int(slashed[2])
    if first > 12:
        return _DAY_FIRST
    return _MONTH_FIRST if second > 12 else _EITHER


def _to_day(text: str, form: str) -> int:
    """Days since 1970-01-01; `NO_DATE` for the 31st of February."""
    pattern = _SHAPES.get(form, _SLASHED)
    found = pattern.fullmatch(text)
    if found is None:
        return NO_DATE
    parts = [int(part) for part in found.groups()]
    order = {"DD.MM.YYYY": (2, 1, 0), _DAY_FIRST: (2, 1, 0), _MONTH_FIRST: (2, 0, 1)}
    year, month, day = (parts[i] for i in order.get(form, (0, 1, 2)))
    try:
        return date(year, month, day).toordinal() - date(1970, 1, 1).toordinal()
    except ValueError:
        return NO_DATE
