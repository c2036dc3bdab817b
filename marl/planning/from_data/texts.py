"""Files as texts: what is written in their columns, before anything is made of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.errors import InputError
from envs.omnichannel.types import BoolArray, IntArray
from marl.planning.from_data.problems import Problem


@dataclass(frozen=True)
class Texts:
    """A column as its distinct texts, each used, and the number of each row's text."""

    values: list[str]  # stripped of blanks around them
    codes: IntArray  # (rows,)

    @classmethod
    def number(cls, values: Sequence[str], codes: NDArray[np.integer[Any]]) -> Texts:
        """Returns the column of some texts: blanks around them and those without a row go."""
        position: dict[str, int] = {}
        recode = np.zeros(len(values), np.int64)
        for code in np.flatnonzero(np.bincount(codes, minlength=len(values))).tolist():
            recode[code] = position.setdefault(values[code].strip(), len(position))
        return cls([*position], recode[codes])

    @classmethod
    def collect(cls, cells: Iterable[str]) -> Texts:
        """Returns the column of some cells."""
        position: dict[str, int] = {}
        codes = np.fromiter((position.setdefault(cell, len(position)) for cell in cells), np.int64)
        return cls.number([*position], codes)

    @classmethod
    def repeat(cls, value: str, rows: int) -> Texts:
        """Returns a column of one text."""
        return cls([value] if rows else [], np.zeros(rows, np.int64))

    def __getitem__(self, row: int) -> str:
        return self.values[self.codes[row]]

    def select(self, rows: IntArray) -> Texts:
        """Returns the column of some rows, without the texts that they do not have."""
        return Texts.number(self.values, self.codes[rows])

    @property
    def not_blank(self) -> BoolArray:
        """Which of the values hold anything, (values,)."""
        return np.array([value != "" for value in self.values], bool)


@dataclass(frozen=True, kw_only=True)
class Raw:
    """A file's columns as they are, whatever kind of file it is."""

    file: str  # as the user wrote it
    header: list[str]  # as it is written
    read: Callable[[int], Texts]  # a column by its position in the header
    separator: str = ","  # of columns, which numbers cannot hold
    text: str | None = None  # of a CSV file
    first_line: int = 2  # of the first row, where there is no text
    place: str = "line"  # what a row is called

    def find_line(self, record: int) -> int:
        """Returns the line on which a record begins, counted from 1; the header is record 0."""
        if self.text is None:
            return record - 1 + self.first_line
        return find_line(self.text, self.separator, record)

    def refuse(self, message: str, column: str = "1", line: int = 1) -> InputError:
        """Returns the refusal of the whole file."""
        return refuse(self.file, line, column, message)


@dataclass(frozen=True, kw_only=True)
class Table:
    """The columns that are read, under the names of this program."""

    raw: Raw
    columns: dict[str, Texts]
    rows: IntArray  # (rows,) number of the record below the header, blank ones counted
    shown: Mapping[str, str] = field(default_factory=dict)  # a column's name in the file
    by_date: bool = False  # a column a date: messages name the date's column

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def file(self) -> str:
        """The file as the user wrote it."""
        return self.raw.file

    @property
    def separator(self) -> str:
        """What parts the file's columns."""
        return self.raw.separator

    def select(self, rows: IntArray) -> Table:
        """Returns the table of some rows."""
        columns = {name: column.select(rows) for name, column in self.columns.items()}
        return replace(self, columns=columns, rows=self.rows[rows])

    def find_line(self, row: int) -> int:
        """Returns the line on which a row of `columns` begins, counted from 1."""
        return self.raw.find_line(int(self.rows[row]) + 1)

    def find_problem(
        self, wrong: IntArray, column: str, message: str, fix: str | None = None
    ) -> Problem:
        """Returns the problem of some rows; `{}` in the message is the first row's text."""
        row = int(wrong[0])
        text = repr(self.columns[column][row]) if column in self.columns else ""
        shown = self.shown.get(column, column)
        if self.by_date and column == "units":
            shown = self.columns["date"][row]
        message = message.replace("{}", shorten(text, 60))
        line, place = self.find_line(row), self.raw.place
        return Problem(self.file, line, shown, message, len(wrong), fix, place)


def find_line(text: str, separator: str, record: int) -> int:
    """Returns the line on which a CSV record begins, counted from 1; the header is record 0."""
    if '"' not in text:
        return record + 1
    reader = csv.reader(io.StringIO(text), delimiter=separator)
    try:
        for _ in range(record):
            next(reader)
    except (csv.Error, StopIteration):
        return reader.line_num
    return reader.line_num + 1


def name_column(text: str) -> str:
    """Returns the name by which a column is looked for: case and blanks do not matter."""
    return "_".join(text.lower().split())


def shorten(text: str, width: int = 80) -> str:
    """Returns a text that is no longer than a line."""
    return text if len(text) <= width else f"{text[: width - 3]}..."


def refuse(file: str, line: int, column: str, message: str) -> InputError:
    """Returns the refusal of a file at a place in it."""
    return InputError(f"{file}, line {line}, column {column}: {message}")
