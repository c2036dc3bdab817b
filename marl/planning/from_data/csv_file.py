"""CSV files: bytes to texts, in UTF-8 or UTF-16, parted by `,` `;` or tab."""

from __future__ import annotations

import csv
import io
import re

import pandas as pd

from envs.errors import InputError
from marl.planning.from_data.problems import Findings, Problem
from marl.planning.from_data.texts import Raw, Texts, find_line, name_column, refuse

MOST_COLUMNS = 5000
_WIDE = 100  # columns from which on pandas is three times as fast on the whole file at once
_SEPARATORS = ",;\t"
_FALLBACK = "cp1252"  # what Excel writes in Western Europe when it does not write UTF-8
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def read_csv(content: bytes, file: str, findings: Findings) -> Raw:
    """Reads a CSV file.

    Args:
        content: of the file, unpacked.
        file: what messages call it.
        findings: takes down an encoding that had to be guessed.

    Raises:
        InputError: names the file, line and column of what cannot be read.
    """
    text = _decode(content, file, findings)
    findings.check()
    nul = text.find("\x00")
    if nul >= 0:
        raise refuse(file, text.count("\n", 0, nul) + 1, "1", "a NUL character is not allowed")
    if not text.strip():
        raise refuse(file, 1, "1", "the file is empty; a header and rows are needed")
    separator, header = read_header(text, file)
    data = _parse(text, separator, len(header), file)

    def read(position: int) -> Texts:
        column = data[position].cat
        return Texts.number([str(value) for value in column.categories], column.codes.to_numpy())

    return Raw(file=file, header=header, read=read, separator=separator, text=text)


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


def read_header(text: str, file: str) -> tuple[str, list[str]]:
    """Returns the separator and the names of the columns, checked.

    Raises:
        InputError: names the file and the column.
    """
    separator = max(_SEPARATORS, key=text.partition("\n")[0].count)
    try:
        header = next(csv.reader(io.StringIO(text), delimiter=separator))
    except csv.Error as error:
        raise refuse(file, 1, "1", f"no CSV header ({error})") from None
    check_header(header, file)
    return separator, header


def check_header(header: list[str], file: str) -> None:
    """Refuses a header of which columns could not be told apart.

    Raises:
        InputError: names the file and the column.
    """
    if len(header) > MOST_COLUMNS:
        message = f"{len(header)} columns are not allowed; at most {MOST_COLUMNS} are"
        raise refuse(file, 1, "1", message)
    seen = set()
    for name in filter(None, map(name_column, header)):
        if name in seen:
            raise refuse(file, 1, name, "this column is there twice; each is allowed once")
        seen.add(name)


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
            low_memory=num_columns < _WIDE,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise _explain(str(error), text, separator, file) from None
    if data.shape[1] != num_columns:
        raise refuse(file, 1, "1", "not readable as CSV; the header needs one line") from None
    return data.iloc[1:]


def _explain(error: str, text: str, separator: str, file: str) -> InputError:
    """The refusal of what the parser did not take."""
    found = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", error)
    if found:
        expected, record, saw = (int(number) for number in found.groups())
        line = find_line(text, separator, record - 1)
        message = f"{saw} values are not allowed; {expected} are needed, as in the header"
        return refuse(file, line, str(expected + 1), message)
    row = re.search(r"row (\d+)", error)
    line = find_line(text, separator, int(row.group(1))) if row else 1
    return refuse(file, line, "1", "not readable as CSV; is a quote left open?")
