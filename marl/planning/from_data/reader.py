"""The reader of a planner's CSV file: columns as dates, numbers, names and choices, checked.

A reader owns the file, its rows and the problems found in them. Every check looks at the distinct
texts of a column only, so a million rows cost no more than their thousand different values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from envs.omnichannel.types import FloatArray, IntArray
from marl.planning.from_data.cells import (
    DAY_FIRST,
    EITHER,
    FIRST_DATE,
    LAST_DATE,
    MONTH_FIRST,
    NO_DATE,
    ORIGIN,
    classify_date,
    classify_number,
    count_days,
)
from marl.planning.from_data.problems import Findings, Problem
from marl.planning.from_data.tables import BoolArray, read_table

LONGEST_NAME = 100
MOST_UNITS = 1_000_000  # a day in a store; more is a slip of the keyboard


class Reader:
    """Reads one file.

    Args:
        path: of the file.
        required: columns that it must have; upper and lower case do not matter.
        optional: columns that it may have; all others are ignored.
        findings: takes down what is wrong, with what other files hold.

    Raises:
        InputError: names the file, line and column of what cannot be read.
    """

    def __init__(
        self, path: Path, required: Sequence[str], optional: Sequence[str], findings: Findings
    ) -> None:
        self.table = read_table(path, required, optional, findings)
        self.findings = findings

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.table)

    def has(self, column: str) -> bool:
        """Whether the file has an optional column."""
        return column in self.table.columns

    def note(
        self, wrong: IntArray | BoolArray, column: str, message: str, fix: str | None = None
    ) -> None:
        """Takes down a problem of some rows, if there are any.

        Args:
            wrong: the rows, or a mark for each row.
            column: their column.
            message: `{}` stands for the first row's text.
            fix: what --fix does about it; None: nothing.
        """
        rows = np.flatnonzero(wrong) if wrong.dtype == bool else wrong.astype(np.int64)
        if len(rows):
            self.findings.add(self.table.find_problem(rows, column, message, fix))

    def note_missing(self, row: int, column: str, message: str, count: int, fix: str) -> None:
        """Takes down rows that are not there, beside the row after which the first belongs."""
        line = self.table.find_line(row)
        self.findings.add(Problem(self.table.file, line, column, message, count, fix))

    def check(self) -> None:
        """Ends the work if a problem is open.

        Raises:
            InputError: one line on the first problem, and how many more there are.
        """
        self.findings.check()

    def date(self, column: str, *, blank: bool = False) -> IntArray:
        """Returns a column's dates as days since 1970-01-01, (rows,), `NO_DATE` where none is.

        Takes down what is no date, mixed forms, and days that may be months; empty cells too,
        unless `blank` allows them.
        """
        texts = self.table.columns[column]
        forms = np.array([classify_date(text) for text in texts.values], dtype=object)
        counts = np.bincount(texts.codes, minlength=len(forms))
        if DAY_FIRST in forms and MONTH_FIRST not in forms:
            forms[forms == EITHER] = DAY_FIRST
        elif MONTH_FIRST in forms and DAY_FIRST not in forms:
            forms[forms == EITHER] = MONTH_FIRST
        if not blank:
            message = "this cell is empty; a date YYYY-MM-DD is needed"
            self._note_texts(column, forms == "blank", message)
        self._note_texts(column, forms == "text", "{} is not a date; YYYY-MM-DD is needed")
        message = "{} may be day/month or month/day; write dates as YYYY-MM-DD"
        self._note_texts(column, forms == EITHER, message)
        known = [f for f in dict.fromkeys(forms) if f not in {"blank", "text", EITHER}]
        if len(known) > 1:
            most = max(known, key=lambda f: int(counts[forms == f].sum()))
            both = DAY_FIRST in known and MONTH_FIRST in known
            self._note_texts(
                column,
                np.isin(forms, [f for f in known if f != most]),
                f"{{}} mixes date formats; most rows have {most}",
                None if both else "reads every date in its own format",
            )
        days = np.full(len(forms), NO_DATE)
        for i, (text, form) in enumerate(zip(texts.values, forms, strict=True)):
            if form in known:
                days[i] = count_days(text, form)
        message = "{} is not a day of the calendar; YYYY-MM-DD is needed"
        self._note_texts(column, np.isin(forms, known) & (days == NO_DATE), message)
        first, last = ((day - ORIGIN).days for day in (FIRST_DATE, LAST_DATE))
        outside = (days != NO_DATE) & ((days < first) | (days > last))
        message = f"{{}} is not allowed; {FIRST_DATE} to {LAST_DATE} are"
        self._note_texts(column, outside, message)
        days[outside] = NO_DATE
        return days[texts.codes]

    def number(
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
    ) -> FloatArray:
        """Returns a column's numbers, (rows,).

        Args:
            column: its name.
            least: the smallest that is allowed.
            most: the largest.
            whole: whether fractions are refused.
            blank: stands for an empty cell; None: not allowed.
            fix_low: how --fix describes raising to `least`.
            fix_fraction: how --fix describes rounding.
            fix_blank: what --fix takes for an empty cell, and how it describes that.
        """
        texts = self.table.columns[column]
        values = np.full(len(texts.values), np.nan)
        kinds = np.array([classify_number(text, self.table.separator) for text in texts.values])
        for i in np.flatnonzero(kinds == "number"):
            values[i] = float(texts.values[i].replace(",", "."))
        kind = "whole numbers" if whole else "numbers"
        allowed = f"{kind} from {least:g} to {most:,.0f} are allowed"

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
            empty = note(kinds == "blank", f"this cell is empty; {allowed}", how)
            values[empty] = number
        finite = np.nan_to_num(values, nan=least)
        note(finite > most, f"{{}} is not allowed; {allowed}")
        values[note(finite < least, f"{{}} is not allowed; {allowed}", fix_low)] = least
        if whole:
            fraction = (finite != np.rint(finite)) & (finite >= least)
            cured = note(fraction, f"{{}} is not allowed; {allowed}", fix_fraction)
            values[cured] = np.rint(values[cured])
        return values[texts.codes]

    def units(self, column: str) -> FloatArray:
        """Returns a column of units of a day, whole, (rows,)."""
        return self.number(
            column,
            most=MOST_UNITS,
            whole=True,
            fix_low="counts it as 0",
            fix_fraction="rounds it",
            fix_blank=(0.0, "counts it as 0"),
        )

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
        return self.number(
            column,
            least=least,
            most=most,
            whole=whole,
            blank=np.nan,
            fix_fraction="rounds it" if whole else None,
        )

    def names(self, column: str) -> tuple[list[str], IntArray]:
        """Returns a column's distinct names, and each row's position among them, (rows,)."""
        texts = self.table.columns[column]

        def note(is_wrong: Callable[[str], bool], message: str) -> None:
            self._note_texts(column, np.array([is_wrong(t) for t in texts.values]), message)

        note(lambda text: not text, "this cell is empty; a name is needed")
        message = f"{{}} is too long; {LONGEST_NAME} characters are"
        note(lambda text: len(text) > LONGEST_NAME, message)
        message = "{} has a control character, which is not allowed"
        note(lambda text: not text.isprintable(), message)
        return texts.values, texts.codes

    def unique_names(self, column: str) -> tuple[list[str], list[int]]:
        """Returns each row's name, and the rows on which a name stands for the first time."""
        values, codes = self.names(column)
        first = np.unique(codes, return_index=True)[1]
        again = np.setdiff1d(np.arange(len(codes)), first)
        self.note(again, column, "{} is there twice; each is allowed once", "keeps the first row")
        return [values[code] for code in codes.tolist()], sorted(first.tolist())

    def choice(self, column: str, allowed: tuple[str, ...]) -> IntArray:
        """Returns each row's position in `allowed`, (rows,); -1 for what is not in it."""
        texts = self.table.columns[column]
        lowered = [text.lower() for text in texts.values]
        positions = np.array([allowed.index(t) if t in allowed else -1 for t in lowered], np.int64)
        message = f"{{}} is not known; allowed: {', '.join(filter(None, allowed))}"
        self._note_texts(column, positions < 0, message)
        return positions[texts.codes]

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
