"""Reading: bytes to a table of texts, with the line of every row.

Accepts UTF-8 and UTF-16 with or without a byte order mark, .gz, and the separators `,` `;` and tab.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from envs.errors import InputError
from envs.omnichannel.types import IntArray
from envs.untrusted import MOST_TABLE, read_bytes, unpack
from marl.planning.from_data.problems import Findings, Problem

_MOST_COLUMNS = 1000
_SEPARATORS = ",;\t"
_FALLBACK = "cp1252"  # what Excel writes in Western Europe when it does not write UTF-8
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Texts:
    """A column as its distinct texts, each used, and the number of each row's text."""

    values: list[str]  # stripped of blanks around them
    codes: IntArray  # (rows,)

    def __getitem__(self, row: int) -> str:
        return self.values[self.codes[row]]

    def select(self, rows: IntArray) -> Texts:
        """Returns the column of some rows, without the texts that they do not have."""
        used, codes = np.unique(self.codes[rows], return_inverse=True)
        return Texts([self.values[code] for code in used.tolist()], codes)

    @property
    def not_blank(self) -> BoolArray:
        """Which of the values hold anything, (values,)."""
        return np.array([value != "" for value in self.values], bool)


@dataclass(frozen=True)
class Table:
    """A file's columns as texts."""

    file: str  # as the user wrote it
    separator: str
    columns: dict[str, Texts]
    rows: IntArray  # (rows,) number of the row below the header, blank ones counted
    text: str

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, rows: IntArray) -> Table:
        """Returns the table of some rows."""
        columns = {name: column.select(rows) for name, column in self.columns.items()}
        return replace(self, columns=columns, rows=self.rows[rows])

    def find_line(self, row: int) -> int:
        """Returns the line on which a row of `columns` begins, counted from 1."""
        return _find_line(self.text, self.separator, int(self.rows[row]) + 1)

    def find_problem(
        self, wrong: IntArray, column: str, message: str, fix: str | None = None
    ) -> Problem:
        """Returns the problem of some rows; `{}` in the message is the first row's text."""
        row = int(wrong[0])
        shown = repr(self.columns[column][row]) if column in self.columns else ""
        message = message.replace("{}", _shorten(shown, 60))
        return Problem(self.file, self.find_line(row), column, message, len(wrong), fix)


def read_table(
    path: Path, required: Sequence[str], optional: Sequence[str], findings: Findings
) -> Table:
    """Reads a file.

    Args:
        path: of the file.
        required: columns that it must have; upper and lower case do not matter.
        optional: columns that it may have; all others are ignored.
        findings: takes down an encoding that had to be guessed.

    Raises:
        InputError: names the file, line and column of what cannot be read.
    """
    file = str(path)
    text = _decode(_read_bytes(path), file, findings)
    findings.check()
    nul = text.find("\x00")
    if nul >= 0:
        raise _refuse(file, text.count("\n", 0, nul) + 1, "1", "a NUL character is not allowed")
    if not text.strip():
        raise _refuse(file, 1, required[0], "the file is empty; a header and rows are needed")
    separator, names = _read_header(text, file, required)
    data = _parse(text, separator, len(names), file)
    columns = {n: _strip(data[i]) for i, n in enumerate(names) if n in {*required, *optional}}
    filled = np.any([t.not_blank[t.codes] for t in columns.values()], axis=0)
    rows = np.flatnonzero(filled)
    if not len(rows):
        raise _refuse(file, 2, required[0], "no rows found; at least one is needed")
    return Table(file, separator, columns, np.arange(len(data)), text).select(rows)


def _read_bytes(path: Path) -> bytes:
    if not path.exists():
        raise InputError(f"{path}: this file does not exist; give the path of a CSV file")
    place = f"{path}, line 1, column 1"
    return unpack(read_bytes(path, place, MOST_TABLE), f"{place}:")


def _decode(data: bytes, file: str, findings: Findings) -> str:
    """The text, its line ends made one kind."""
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        text = _guess_encoding(data, error, file, findings)
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _guess_encoding(data: bytes, error: UnicodeDecodeError, file: str, findings: Findings) -> str:
    """The text in the encoding of old Excel files, which --fix accepts; "" if it is none."""
    try:
        guessed = data.decode(_FALLBACK)
    except UnicodeDecodeError:
        guessed = ""
    if error.encoding.startswith("utf-16") or _CONTROLS.search(guessed):
        guessed = ""  # a binary file
    line_start = data.rfind(b"\n", 0, error.start) + 1
    name = error.encoding.upper()
    findings.add(
        Problem(
            file,
            line=data.count(b"\n", 0, error.start) + 1,
            column=str(data.count(b",", line_start, error.start) + 1),
            message=f"byte 0x{data[error.start]:02x} is not {name} text; save the file as UTF-8",
            fix=f"reads the file as {_FALLBACK}" if guessed else None,
        )
    )
    return guessed


def _read_header(text: str, file: str, required: Sequence[str]) -> tuple[str, list[str]]:
    """The separator and the names of the columns, checked."""
    separator = max(_SEPARATORS, key=text.partition("\n")[0].count)
    try:
        header = next(csv.reader(io.StringIO(text), delimiter=separator))
    except csv.Error as error:
        raise _refuse(file, 1, required[0], f"no CSV header ({error})") from None
    if len(header) > _MOST_COLUMNS:
        message = f"{len(header)} columns are not allowed; at most {_MOST_COLUMNS} are"
        raise _refuse(file, 1, required[0], message)
    names = ["_".join(name.lower().split()) for name in header]
    for name in names:
        if name and names.count(name) > 1:
            raise _refuse(file, 1, name, "this column is there twice; each is allowed once")
    for name in required:
        if name not in names:
            found = _shorten(", ".join(names))
            needed = ", ".join(required)
            raise _refuse(file, 1, name, f"missing; found: {found}; needed: {needed}")
    return separator, names


def _parse(text: str, separator: str, num_columns: int, file: str) -> pd.DataFrame:
    """The rows below the header, each column categorical: a million rows, few distinct texts."""
    try:
        # The header is read as a row too: its texts keep pandas from taking '007' for a number.
        data = pd.read_csv(
            io.StringIO(text),
            sep=separator,
            header=None,
            dtype="category",
            na_filter=False,
            skip_blank_lines=False,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        found = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
        if found:
            expected, record, saw = (int(number) for number in found.groups())
            line = _find_line(text, separator, record - 1)
            message = f"{saw} values are not allowed; {expected} are needed, as in the header"
            raise _refuse(file, line, str(expected + 1), message) from None
        row = re.search(r"row (\d+)", str(error))
        line = _find_line(text, separator, int(row.group(1))) if row else 1
        raise _refuse(file, line, "1", "not readable as CSV; is a quote left open?") from None
    if data.shape[1] != num_columns:
        raise _refuse(file, 1, "1", "not readable as CSV; the header needs one line") from None
    return data.iloc[1:]


def _find_line(text: str, separator: str, record: int) -> int:
    """The line on which a record begins, counted from 1; the header is record 0."""
    if '"' not in text:
        return record + 1
    reader = csv.reader(io.StringIO(text), delimiter=separator)
    try:
        for _ in range(record):
            next(reader)
    except (csv.Error, StopIteration):
        return reader.line_num
    return reader.line_num + 1


def _strip(column: pd.Series[Any]) -> Texts:
    """The column's texts without blanks around them; equal ones become one, unused ones go."""
    codes, used = np.unique(column.cat.codes.to_numpy(), return_inverse=True)
    stripped = [str(value).strip() for value in column.cat.categories[codes]]
    values = list(dict.fromkeys(stripped))
    number = {value: i for i, value in enumerate(values)}
    recode = np.array([number[value] for value in stripped], np.int64)
    return Texts(values, recode[used])


def _shorten(text: str, width: int = 80) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."


def _refuse(file: str, line: int, column: str, message: str) -> InputError:
    return InputError(f"{file}, line {line}, column {column}: {message}")
