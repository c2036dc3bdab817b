"""Start states as CSV files: the columns of a stock count that speak of stock."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from envs.errors import InputError
from envs.omnichannel.scenario.start import Start
from envs.spreadsheet import read_name
from envs.untrusted import MOST_TABLE, read_bytes, unpack

_FIELD = "start.file"
_REQUIRED = ("node", "sku", "on_hand")
_TRANSIT = re.compile(r"in_transit_([1-9]\d{0,2})")
# Columns of a stock count that say nothing of stock.
_IGNORED = re.compile(r"day|(smoothed|last_demand|confirmed)_\w+")
_LONGEST, _MOST = 180, 100_000_000  # periods; units of a cell


def read_start(
    path: Path, nodes: Sequence[str], skus: Sequence[str], inside: Path | None, name: str
) -> Start:
    """Reads a start state: a row a location and SKU; those without a row have nothing.

    Comma, semicolon or tab separated, UTF-8. The columns are `node`, `sku`, `on_hand` and
    `in_transit_D`, units that arrive in D periods. A whole stock count will do, as long as its
    other columns hold no units.

    Args:
        path: of the file.
        nodes: of the scenario.
        skus: of the scenario.
        inside: a folder that the file must lie in; None: anywhere.
        name: of the file in messages.

    Raises:
        InputError: names the file, the line, the column and what is allowed.
    """
    content = unpack(read_bytes(path, _FIELD, MOST_TABLE, inside, name), f"{_FIELD}: '{name}'")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{_FIELD}: '{name}' cannot be read (not UTF-8 text)") from None
    separator = max(",;\t", key=text.partition("\n")[0].count)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    known = {"node": frozenset(nodes), "sku": frozenset(skus)}
    on_hand: dict[str, dict[str, int]] = {}
    in_transit: dict[str, dict[str, dict[int, int]]] = {}
    try:
        header = [column.strip() for column in next(lines, [])]
        _check_header(f"{name}, line 1", header)
        for cells in lines:
            where = f"{name}, line {lines.line_num}"
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                raise InputError(f"{where}: {len(cells)} cells found; {len(header)} are needed")
            row = dict(zip(header, cells, strict=True))
            node, sku = (_read_place(where, key, row[key], known[key]) for key in known)
            if sku in on_hand.setdefault(node, {}):
                raise InputError(f"{where}: {node!r} and {sku!r} are there twice; once is allowed")
            for column, units in _read_units(where, row):
                if column == "on_hand":
                    on_hand[node][sku] = units
                elif units:
                    ways = in_transit.setdefault(node, {}).setdefault(sku, {})
                    ways[int(column.rpartition("_")[2])] = units
    except csv.Error as error:
        raise InputError(f"{name}, line {lines.line_num}: not a CSV line ({error})") from None
    return Start(on_hand=on_hand, in_transit=in_transit or None)


def _check_header(where: str, header: list[str]) -> None:
    for column in _REQUIRED:
        if header.count(column) != 1:
            found = "missing" if column not in header else "it stands there twice"
            raise InputError(f"{where}, column {column}: {found}; once is needed")
    for column in header:
        match = _TRANSIT.fullmatch(column)
        if header.count(column) > 1 or (match and int(match[1]) > _LONGEST):
            raise InputError(
                f"{where}, column {column[:60]!r}: not allowed; in_transit_1 to "
                f"in_transit_{_LONGEST} are, each once"
            )


def _read_place(where: str, key: str, cell: str, known: frozenset[str]) -> str:
    name = cell.strip()
    name = name if name in known else read_name(name)
    if name not in known:
        names = ", ".join(sorted(known)[:20]) + (", ..." if len(known) > 20 else "")
        raise InputError(
            f"{where}, column {key}: {name[:60]!r} is not in the scenario; allowed: {names}"
        )
    return name


def _read_units(where: str, row: dict[str, str]) -> Iterator[tuple[str, int]]:
    """The units of each column that speaks of stock, empty cells as 0."""
    for column, cell in row.items():
        if column in {"node", "sku"} or _IGNORED.fullmatch(column):
            continue
        text = cell.strip() or "0"
        if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) > _MOST:
            raise InputError(
                f"{where}, column {column[:60]}: {text[:60]!r} is not allowed; a whole number from "
                f"0 to {_MOST} is needed"
            )
        if column == "on_hand" or _TRANSIT.fullmatch(column):
            yield column, int(text)
        elif int(text):
            raise InputError(
                f"{where}, column {column[:60]}: {text} is not allowed; a start state has units on "
                "hand and in transit alone, so 0 is needed"
            )
