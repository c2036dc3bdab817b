"""Tables: the columns that are read, under the names of this program."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

import numpy as np

from envs.errors import InputError
from envs.omnichannel.world.demand.recorded import choose_kind
from marl.planning.from_data.layouts import Layout, read_constant
from marl.planning.from_data.numbers import is_missing
from marl.planning.from_data.problems import Findings
from marl.planning.from_data.sources import Source, read_raw
from marl.planning.from_data.texts import Raw, Table, Texts, name_column, shorten


def read_table(
    source: Source, required: Sequence[str], optional: Sequence[str], findings: Findings
) -> Table:
    """Reads a file whose columns have the names of this program.

    Args:
        source: of the file.
        required: columns that it must have; upper and lower case do not matter.
        optional: columns that it may have; all others are ignored.
        findings: takes down an encoding that had to be guessed.

    Raises:
        InputError: names the file, line and column of what cannot be read.
    """
    raw = read_raw(source, findings)
    names = [name_column(name) for name in raw.header]
    for name in required:
        if name not in names:
            found, needed = shorten(", ".join(names)), ", ".join(required)
            raise raw.refuse(f"missing; found: {found}; needed: {needed}", name)
    columns = {n: raw.read(i) for i, n in enumerate(names) if n in {*required, *optional}}
    return _drop_blank_rows(Table(raw=raw, columns=columns, rows=_count_rows(columns)), required[0])


def read_layout(
    source: Source, choose: Callable[[Sequence[str], str], Layout], findings: Findings
) -> tuple[Table, Layout]:
    """Reads a file in the layout that is chosen by its header.

    Args:
        source: of the file.
        choose: the layout of a header, at a place that messages name.
        findings: as of `read_table`.

    Raises:
        InputError: names the file, line and column of what cannot be read.
    """
    raw = read_raw(source, findings)
    layout = choose(raw.header, f"{raw.file}, line 1")
    position = {name_column(name): i for i, name in enumerate(raw.header)}
    read = {
        ours: raw.read(position[theirs])
        for ours, theirs in layout.columns.items()
        if read_constant(theirs) is None
    }
    size = len(_count_rows(read))
    for ours, theirs in layout.columns.items():
        constant = read_constant(theirs)
        if constant is not None:
            read[ours] = Texts.repeat(constant, size)
    shown = {o: o if t == o else raw.header[position[t]] for o, t in layout.columns.items()
             if t in position}  # fmt: skip
    for ours, theirs in layout.fallback.items():
        constant = read_constant(theirs)
        other = Texts.repeat(constant, size) if constant else raw.read(position[theirs])
        read[ours] = _fill(read[ours], other)
    table = Table(raw=raw, columns=read, rows=range(size), shown=shown)
    table = _drop_blank_rows(table, "date", [ours for ours in read if ours in shown])
    return (_unfold(table, layout) if layout.is_wide else table), layout


def _count_rows(columns: Mapping[str, Texts]) -> range:
    return range(max((len(column.codes) for column in columns.values()), default=0))


def _drop_blank_rows(table: Table, column: str, own: Sequence[str] | None = None) -> Table:
    """The rows in which something is written."""
    columns = [table.columns[name] for name in own or table.columns]
    if columns and any(texts.values and texts.not_blank.all() for texts in columns):
        return table
    filled = np.zeros(len(table), bool)
    for texts in columns:
        filled |= texts.not_blank[texts.codes]
    rows = np.flatnonzero(filled)
    if not len(rows):
        first = 2 if table.raw.text is not None else table.raw.first_line
        raise table.raw.refuse("no rows found; at least one is needed", column, first)
    return table.select(rows)


def _fill(texts: Texts, other: Texts) -> Texts:
    """The column with another one's texts where it is empty."""
    if not any(map(is_missing, texts.values)):
        return texts
    empty = np.array([is_missing(value) for value in texts.values], bool)[texts.codes]
    codes = np.where(empty, len(texts.values) + other.codes.astype(np.int64), texts.codes)
    return Texts.number([*texts.values, *other.values], codes)


def _unfold(table: Table, layout: Layout) -> Table:
    """A row for each cell of the columns that are a date each, row by row."""
    raw, rows, days = table.raw, len(table), len(layout.dates)
    position: dict[str, int] = {}
    codes = np.empty((rows, days), np.int32)
    for i, column in enumerate(layout.dates):
        texts = raw.read(column)
        recode = [position.setdefault(value, len(position)) for value in texts.values]
        codes[:, i] = np.array(recode, np.int32)[
            texts.codes if isinstance(table.rows, range) else texts.codes[table.rows]
        ]
    names = [_name_date(raw, column, layout) for column in layout.dates]
    columns = {
        name: Texts(texts.values, np.repeat(texts.codes, days))
        for name, texts in table.columns.items()
    }
    columns["date"] = Texts(names, np.tile(np.arange(days, dtype=choose_kind(days)), rows))
    columns["units"] = Texts.number([*position], codes.reshape(-1))
    return Table(
        raw=raw,
        columns=columns,
        rows=np.repeat(np.asarray(table.rows, np.int32), days),
        shown=table.shown,
        by_date=True,
    )


def _name_date(raw: Raw, column: int, layout: Layout) -> str:
    """The date of a column, whose name may count the days."""
    name = raw.header[column].strip()
    if layout.day_one is None:
        return name
    number = name[2:]
    if not (number.isascii() and number.isdecimal() and len(number) <= 4):
        raise InputError(f"{raw.file}, line 1, column {name}: d_1, d_2 and so on are needed")
    return str(layout.day_one + timedelta(int(number) - 1))
