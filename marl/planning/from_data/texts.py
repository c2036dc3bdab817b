"""Files as texts: what is written in their columns, before anything is made of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from envs.errors import InputError
from envs.omnichannel.types import BoolArray, IntArray
from envs.omnichannel.world.demand.recorded import Counts, choose_kind
from marl.planning.from_data.problems import Problem

Rows = Counts | range  # positions of rows; a range is all of them, which takes no memory
_BLOCK = 1 << 22  # rows at once, where NumPy would make eight bytes of each


def pick(rows: Rows, which: Counts) -> Counts:
    """Returns some of the rows, by their positions among them."""
    return which if isinstance(rows, range) else rows[which]


def count_codes(codes: Counts, size: int) -> IntArray:
    """Returns how often each of the codes 0 to `size` is there, (size,)."""
    counts = np.zeros(size, np.int64)
    for start in range(0, len(codes), _BLOCK):
        counts += np.bincount(codes[start : start + _BLOCK], minlength=size)
    return counts


def find_first(codes: Counts, size: int) -> IntArray:
    """Returns the row on which each code is there for the first time, (size,)."""
    first = np.full(size, len(codes))
    for start in range(0, len(codes), _BLOCK):
        found, where = np.unique(codes[start : start + _BLOCK], return_index=True)
        np.minimum.at(first, found, start + where)
    return first


@dataclass(frozen=True)
class Texts:
    """A column as its distinct texts, each used, and the number of each row's text."""

    values: list[str]  # stripped of blanks around them
    codes: Counts  # (rows,) in the narrowest integers

    @classmethod
    def number(cls, values: Sequence[str], codes: Counts) -> Texts:
        """Returns the column of some texts: blanks around them and those without a row go."""
        position: dict[str, int] = {}
        recode = np.zeros(len(values), choose_kind(len(values)))
        for code in np.flatnonzero(count_codes(codes, len(values))).tolist():
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
        return cls([value] if rows else [], np.zeros(rows, np.int16))

    def __getitem__(self, row: int) -> str:
        return self.values[self.codes[row]]

    def select(self, rows: Counts) -> Texts:
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
    parts: Sequence[tuple[int, Raw]] = ()  # of a folder: records before each file's, and the file

    def locate(self, record: int) -> tuple[str, int]:
        """Returns the file, and the line on which a record begins, counted from 1.

        The header is record 0.
        """
        for first, part in reversed(self.parts):
            if record > first:
                return part.locate(record - first)
        if self.text is None:
            return self.file, record - 1 + self.first_line
        return self.file, find_line(self.text, self.separator, record)

    def refuse(self, message: str, column: str = "1", line: int = 1) -> InputError:
        """Returns the refusal of the whole file."""
        return refuse(self.file, line, column, message)


@dataclass(frozen=True, kw_only=True)
class Table:
    """The columns that are read, under the names of this program."""

    raw: Raw
    columns: dict[str, Texts]
    rows: Rows  # number of each record below the header, blank ones counted
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

    def select(self, rows: Counts) -> Table:
        """Returns the table of some rows, each once and in their order."""
        if len(rows) == len(self):
            return self
        columns = {name: column.select(rows) for name, column in self.columns.items()}
        return replace(self, columns=columns, rows=pick(self.rows, rows))

    def locate(self, row: int) -> tuple[str, int]:
        """Returns the file, and the line on which a row of `columns` begins, counted from 1."""
        return self.raw.locate(int(self.rows[row]) + 1)

    def find_problem(
        self, wrong: Counts, column: str, message: str, fix: str | None = None
    ) -> Problem:
        """Returns the problem of some rows; `{}` in the message is the first row's text."""
        row = int(wrong[0])
        text = repr(self.columns[column][row]) if column in self.columns else ""
        shown = self.shown.get(column, column)
        if self.by_date and column == "units":
            shown = self.columns["date"][row]
        message = message.replace("{}", shorten(text, 60))
        file, line = self.locate(row)
        return Problem(file, line, shown, message, len(wrong), fix, self.raw.place)


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
