"""The reader of a planner's table: columns as dates, numbers, names and choices, checked.

A reader owns the file, its rows and the problems found in them. Every check looks at the distinct
texts of a column only, so a million rows cost no more than their thousand different values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from envs.omnichannel.types import BoolArray, FloatArray, IntArray
from envs.omnichannel.world.demand.recorded import Counts
from marl.planning.from_data.columns import Dates, Numbers
from marl.planning.from_data.dates import (
    DAY_FIRST,
    EITHER,
    FIRST_DATE,
    ISO_WEEK,
    LAST_DATE,
    MONTH,
    MONTH_FIRST,
    NO_DATE,
    ORIGIN,
    SERIAL,
    FoundDate,
    count_days,
    find_date,
)
from marl.planning.from_data.numbers import is_missing, read_numbers
from marl.planning.from_data.problems import Findings, Problem
from marl.planning.from_data.sources import Source
from marl.planning.from_data.tables import read_table
from marl.planning.from_data.texts import Table, count_codes, find_first

LONGEST_NAME = 100
MOST_UNITS = 1_000_000  # a day in a store; more is a slip of the keyboard
_FLAGS = {
    "": None, **dict.fromkeys(("0", "no", "false", "f"), False),
    **dict.fromkeys(("1", "yes", "true", "t"), True),
}  # t and f are what PostgreSQL writes  # fmt: skip


class Reader:
    """Reads the columns of one table.

    Args:
        table: of the file.
        findings: takes down what is wrong, with what other files hold.
    """

    def __init__(self, table: Table, findings: Findings) -> None:
        self.table, self.findings = table, findings

    @classmethod
    def open(
        cls, path: Path, required: Sequence[str], optional: Sequence[str], findings: Findings
    ) -> Self:
        """Returns a reader of a file whose columns have the names of this program.

        Raises:
            InputError: names the file, line and column of what cannot be read.
        """
        return cls(read_table(Source(path), required, optional, findings), findings)

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.table)

    def has(self, column: str) -> bool:
        """Whether the file has an optional column."""
        return column in self.table.columns

    def note(
        self, wrong: Counts | BoolArray, column: str, message: str, fix: str | None = None
    ) -> None:
        """Takes down a problem of some rows, if there are any.

        Args:
            wrong: the rows, or a mark for each row.
            column: their column.
            message: `{}` stands for the first row's text.
            fix: what --fix does about it; None: nothing.
        """
        rows: Counts = np.flatnonzero(wrong) if wrong.dtype == bool else wrong  # type: ignore[assignment]
        if len(rows):
            self.findings.add(self.table.find_problem(rows, column, message, fix))

    def cure(self, rows: Counts, column: str, message: str, fix: str) -> None:
        """Takes down what the file's layout cures by itself; as of `note`."""
        if len(rows):
            self.findings.cure(self.table.find_problem(rows, column, message, fix))

    def note_missing(self, row: int, column: str, message: str, count: int, fix: str) -> None:
        """Takes down rows that are not there, beside the row after which the first belongs."""
        file, line = self.table.locate(row)
        self.findings.add(Problem(file, line, column, message, count, fix))

    def check(self) -> None:
        """Ends the work if a problem is open.

        Raises:
            InputError: one line on the first problem, and how many more there are.
        """
        self.findings.check()

    def date(self, column: str, *, blank: bool = False) -> IntArray:
        """Returns a column's dates as days since 1970-01-01, (rows,); see `dates`."""
        return self.dates(column, blank=blank).days.astype(np.int64)

    def dates(self, column: str, *, blank: bool = False, zone: ZoneInfo | None = None) -> Dates:
        """Returns a column's dates.

        Takes down what is no date, mixed forms, and days that may be months; empty cells too,
        unless `blank` allows them.

        Args:
            column: its name.
            blank: whether a date may be missing.
            zone: whose days are counted where times name a zone; None: days as they are written.
        """
        texts = self.table.columns[column]
        found = [None if is_missing(text) else find_date(text) for text in texts.values]
        forms = self._decide_forms(column, texts.values, found, blank=blank)
        known = self._list_forms(column, forms)
        days = np.full(len(forms), NO_DATE)
        for i, (one, form) in enumerate(zip(found, forms, strict=True)):
            if one is not None and form in known:
                days[i] = count_days(one, form, zone)
        message = "{} is not a day of the calendar; YYYY-MM-DD is needed"
        self._note_texts(column, np.isin(forms, known) & (days == NO_DATE), message)
        first, last = ((day - ORIGIN).days for day in (FIRST_DATE, LAST_DATE))
        outside = (days != NO_DATE) & ((days < first) | (days > last))
        message = f"{{}} is not allowed; {FIRST_DATE} to {LAST_DATE} are"
        self._note_texts(column, outside, message)
        days[outside] = NO_DATE
        times = [one.time for one in found if one is not None]
        return Dates(
            days=days.astype(np.int32)[texts.codes],
            form=known[0] if known else "",
            has_times=any(set(time[:3]) - {None, "0", "00"} for time in times),
            zones=frozenset(time[-1] for time in times if time[-1] is not None),
        )

    def _decide_forms(
        self, column: str, texts: Sequence[str], found: Sequence[FoundDate | None], *, blank: bool
    ) -> NDArray[np.object_]:
        """The form of each distinct text: `blank`, `text` for what is no date, or a date's."""
        forms = np.array(
            [
                one.form if one else "blank" if is_missing(text) else "text"
                for text, one in zip(texts, found, strict=True)
            ],
            dtype=object,
        )
        if DAY_FIRST in forms and MONTH_FIRST not in forms:
            forms[forms == EITHER] = DAY_FIRST
        elif MONTH_FIRST in forms and DAY_FIRST not in forms:
            forms[forms == EITHER] = MONTH_FIRST
        if not set(forms) <= {SERIAL, "blank", "text"}:
            forms[forms == SERIAL] = "text"  # among dates, a number is no date
        if not blank:
            message = "this cell is empty; a date YYYY-MM-DD is needed"
            self._note_texts(column, forms == "blank", message)
        self._note_texts(column, forms == "text", "{} is not a date; YYYY-MM-DD is needed")
        message = "{} may be day/month or month/day; write dates as YYYY-MM-DD"
        self._note_texts(column, forms == EITHER, message)
        return forms

    def _list_forms(self, column: str, forms: NDArray[np.object_]) -> list[str]:
        """The clear forms, that of most rows first; the others are taken down."""
        counts = count_codes(self.table.columns[column].codes, len(forms))
        known = [f for f in dict.fromkeys(forms) if f not in {"blank", "text", EITHER}]
        known.sort(key=lambda form: -int(counts[forms == form].sum()))
        if len(known) > 1:
            is_clear = not {DAY_FIRST, MONTH_FIRST} <= {*known} and not {ISO_WEEK, MONTH} & {*known}
            self._note_texts(
                column,
                np.isin(forms, known[1:]),
                f"{{}} mixes date formats; most rows have {known[0]}",
                "reads every date in its own format" if is_clear else None,
            )
        return known

    def number(self, column: str, *, most: float = 1e9, whole: bool = False) -> FloatArray:
        """Returns a column's numbers, (rows,), none below 0; see `numbers`."""
        return self.numbers(column, most=most, whole=whole).rows

    def numbers(
        self,
        column: str,
        *,
        least: float = 0,
        most: float = 1e9,
        whole: bool = False,
        blank: float | None = None,
        fix_low: str | None = None,
        fix_fraction: str | None = None,
        fix_blank: tuple[float, str] | None = None,
        decimals: int | None = None,
        allowed: str | None = None,
    ) -> Numbers:
        """Returns a column's numbers.

        Args:
            column: its name.
            least: the smallest that is allowed.
            most: the largest.
            whole: whether fractions are refused.
            blank: stands for an empty cell; None: not allowed.
            fix_low: how --fix describes raising to `least`.
            fix_fraction: how --fix describes rounding.
            fix_blank: what --fix takes for an empty cell, and how it describes that.
            decimals: that all numbers have, where it is known.
            allowed: how messages describe what is allowed; None: by the limits.
        """
        texts = self.table.columns[column]
        values, found = read_numbers(texts.values, self.table.separator, decimals)
        kinds = np.array(found, dtype=object)
        kind = "whole numbers" if whole else "numbers"
        allowed = allowed or f"{kind} from {least:g} to {most:,.0f} are allowed"

        def note(wrong: BoolArray, message: str, fix: str | None = None) -> BoolArray:
            """Returns the texts that are now cured."""
            self._note_texts(column, wrong, message, fix)
            return wrong & (fix is not None)

        note(kinds == "text", f"{{}} is not a number; {allowed}")
        message = "{} may be a fraction or thousands; write it without separators"
        note(kinds == "ambiguous", message)
        if blank is not None:
            values[kinds == "blank"] = blank
        else:
            number, how = fix_blank or (np.nan, None)
            empty = kinds == "blank"
            named = np.array([text != "" for text in texts.values], bool)
            cured = note(empty & ~named, f"this cell is empty; {allowed}", how)
            cured |= note(empty & named, f"{{}} is a missing value; {allowed}", how)
            values[cured] = number
        finite = np.nan_to_num(values, nan=least)
        note(finite > most, f"{{}} is not allowed; {allowed}")
        values[note(finite < least, f"{{}} is not allowed; {allowed}", fix_low)] = least
        if whole:
            fraction = (finite != np.rint(finite)) & (finite >= least)
            cured = note(fraction, f"{{}} is not allowed; {allowed}", fix_fraction)
            values[cured] = np.rint(values[cured])
        return Numbers(values=values, codes=texts.codes)

    def units(self, column: str) -> FloatArray:
        """Returns a column of units of a day, whole, (rows,)."""
        return self.numbers(
            column,
            most=MOST_UNITS,
            whole=True,
            fix_low="counts it as 0",
            fix_fraction="rounds it",
            fix_blank=(0.0, "counts it as 0"),
        ).rows

    def optional_number(
        self,
        column: str,
        *,
        least: float = 0,
        most: float = 1e9,
        whole: bool = False,
    ) -> FloatArray:
        """Returns a column's numbers, (rows,), NaN in empty cells and where it is left out."""
        if not self.has(column):
            return np.full(len(self), np.nan)
        return self.numbers(
            column,
            least=least,
            most=most,
            whole=whole,
            blank=np.nan,
            fix_fraction="rounds it" if whole else None,
        ).rows

    def names(self, column: str) -> tuple[list[str], Counts]:
        """Returns a column's distinct names, and each row's position among them, (rows,)."""
        texts = self.table.columns[column]

        def note(is_wrong: Callable[[str], bool], message: str) -> None:
            self._note_texts(column, np.array([is_wrong(t) for t in texts.values]), message)

        note(lambda text: not text, "this cell is empty; a name is needed")
        note(
            lambda text: text != "" and is_missing(text), "{} is a missing value; a name is needed"
        )
        message = f"{{}} is too long; {LONGEST_NAME} characters are"
        note(lambda text: len(text) > LONGEST_NAME, message)
        message = "{} has a control character, which is not allowed"
        note(lambda text: not text.isprintable(), message)
        return texts.values, texts.codes

    def unique_names(self, column: str) -> tuple[list[str], list[int]]:
        """Returns each row's name, and the rows on which a name stands for the first time."""
        values, codes = self.names(column)
        first = find_first(codes, len(values))
        again = np.setdiff1d(np.arange(len(codes)), first)
        self.note(again, column, "{} is there twice; each is allowed once", "keeps the first row")
        return [values[code] for code in codes.tolist()], sorted(first.tolist())

    def choice(self, column: str, allowed: tuple[str, ...]) -> Counts:
        """Returns each row's position in `allowed`, (rows,); -1 for what is not in it."""
        texts = self.table.columns[column]
        lowered = [text.lower() for text in texts.values]
        if "" in allowed:
            lowered = ["" if is_missing(text) else text for text in lowered]
        positions = np.array([allowed.index(t) if t in allowed else -1 for t in lowered], np.int16)
        message = f"{{}} is not known; allowed: {', '.join(filter(None, allowed))}"
        self._note_texts(column, positions < 0, message)
        return positions[texts.codes]

    def flag(self, column: str, *, blank: bool) -> BoolArray:
        """Returns a column of yes and no, (rows,); `blank` where it is empty or left out."""
        if not self.has(column):
            return np.full(len(self), blank)
        words = self.choice(column, tuple(_FLAGS))
        return np.array([blank if flag is None else flag for flag in _FLAGS.values()])[words]

    def texts(self, column: str) -> list[str | None]:
        """Returns each row's text; None where there is none."""
        if not self.has(column):
            return [None] * len(self)
        texts = self.table.columns[column]
        return [texts[row] or None for row in range(len(self))]

    def _note_texts(
        self, column: str, wrong: BoolArray, message: str, fix: str | None = None
    ) -> None:
        """Takes down the rows that hold wrong texts; a mark for each distinct text."""
        if wrong.any():
            self.note(wrong[self.table.columns[column].codes], column, message, fix)
