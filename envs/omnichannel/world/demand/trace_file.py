"""Trace files: a user's recorded demand beside the scenario that replays it.

A CSV file, plain or .gz, with the columns `date`, `store`, `channel` and one column of whole units
per SKU; a row for every day, store and channel, sorted by date, with the same stores and channels
in the same order on every day. Where the dates are seven days apart, a row is a week's. Rows of
a last channel `in_stock` hold 1 where there was anything to sell, and 0 where there was not. Large
records are compact files instead, whose names end in .npz.
"""

from __future__ import annotations

import csv
import gzip
import io
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from envs.errors import InputError
from envs.omnichannel.types import WEEK
from envs.omnichannel.world.demand.compact_file import SUFFIX, load_compact
from envs.omnichannel.world.demand.recorded import CHANNEL_NAMES, RecordedDemand, narrow
from envs.spreadsheet import read_name, write_name
from envs.untrusted import MOST_TABLE, read_bytes, unpack
from envs.validation import LARGEST

if TYPE_CHECKING:  # its import takes half a second, which scenarios without a file need not wait
    import pandas as pd

KEYS = ("date", "store", "channel")
IN_STOCK = "in_stock"  # stands where a channel does
MOST_TEXT_CELLS = 30_000_000  # days x stores x SKUs x channels; beyond, a file is compact
MOST_TEXT_ROWS = 2_000_000  # of forty bytes before the first unit


def name_trace(stem: str, cells: int) -> str:
    """Returns the name of a trace file: text that anybody can read, while that is not too large.

    Args:
        stem: of the name.
        cells: of the record.
    """
    return f"{stem}.demand{SUFFIX if cells > MOST_TEXT_CELLS else '.csv.gz'}"


@lru_cache(maxsize=2)
def load_trace(path: Path, digest: str | None) -> RecordedDemand:
    """Reads a trace file; `digest` keeps what is remembered of a changed file apart.

    A scenario from elsewhere may name any file as its trace, so no message repeats what is in it.

    Raises:
        InputError: names the file, and the line and column where there is one.
    """
    del digest
    return load_compact(path) if path.suffix == SUFFIX else _load_text(path)


def _load_text(path: Path) -> RecordedDemand:
    import pandas as pd

    try:
        content = unpack(read_bytes(path, "demand.file", MOST_TABLE), f"demand.file: '{path}'")
        text = content.decode("utf-8-sig")
        header = next(csv.reader(io.StringIO(text)), [])
        if tuple(header[:3]) != KEYS or len(set(header[3:])) < max(len(header) - 3, 1):
            raise InputError(
                f"{path}, line 1: not the columns of a trace; {', '.join(KEYS)} and then one "
                "column per SKU are needed, each once"
            )
        types = dict.fromkeys(range(3), str) | dict.fromkeys(range(3, len(header)), np.int64)
        table = pd.read_csv(
            io.StringIO(text), skiprows=1, header=None, dtype=types, keep_default_na=False
        )
    except (csv.Error, ValueError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"demand.file: '{path}' cannot be read (not UTF-8, or a cell that is no whole number)"
        ) from None
    return _shape(path, table, header)


def encode_trace(recorded: RecordedDemand) -> bytes:
    """Returns the content of a .gz trace file; the same data, the same bytes."""
    import pandas as pd

    units, names = recorded.units, recorded.channels
    if recorded.in_stock is not None:
        units = np.concatenate([units, recorded.in_stock[..., None].astype(np.int64)], axis=3)
        names = [*names, IN_STOCK]
    days, stores, skus, channels = units.shape
    dates = [str(recorded.first_day + timedelta(d * recorded.step)) for d in range(days)]
    table = pd.DataFrame(
        units.transpose(0, 1, 3, 2).reshape(-1, skus),
        columns=pd.Index([write_name(sku) for sku in recorded.skus]),
    )
    keys = {
        "date": np.repeat(dates, stores * channels),
        "store": np.tile(np.repeat([*map(write_name, recorded.stores)], channels), days),
        "channel": np.tile(names, days * stores),
    }
    for i, (key, values) in enumerate(keys.items()):
        table.insert(i, key, values, allow_duplicates=True)
    text = table.to_csv(index=False, lineterminator="\n")
    # No time stamp in the header: the file must not differ from one run to the next.
    return gzip.compress(text.encode(), 6, mtime=0)


def _shape(path: Path, table: pd.DataFrame, header: list[str]) -> RecordedDemand:
    """The table as arrays, once its rows are known to be complete and in order."""
    if table.empty:
        raise InputError(f"{path}, line 2: no rows found; one per day, store and channel is needed")
    if table.shape[1] != len(header):
        raise InputError(f"{path}, line 2: {table.shape[1]} values; {len(header)} are needed")
    dates, stores, channels = (table[i].to_numpy(object) for i in range(3))
    per_day = max(int((dates == dates[0]).sum()), 1)
    names = list(dict.fromkeys(stores[:per_day].tolist()))
    found = [c for c in (*CHANNEL_NAMES, IN_STOCK) if c in set(channels[:per_day])]
    try:
        first = date.fromisoformat(dates[0])
    except ValueError:
        raise InputError(f"{path}, line 2, column date: not a date; YYYY-MM-DD is needed") from None
    days, step = -(-len(table) // per_day), 1
    if str(first + timedelta(WEEK)) in dates[per_day : per_day + 1]:
        step = WEEK
    expected = [
        np.repeat([str(first + timedelta(d * step)) for d in range(days)], per_day),
        np.tile(np.repeat(names, len(found)), days),
        np.tile(found, days * len(names)),
    ]
    for key, values, needed in zip(KEYS, (dates, stores, channels), expected, strict=True):
        size = min(len(values), len(needed))
        wrong = np.flatnonzero(values[:size] != needed[:size].astype(object))
        if len(wrong) or len(values) != len(needed):
            row = int(wrong[0]) if len(wrong) else size - 1
            raise InputError(
                f"{path}, line {row + 2}, column {key}: this row is out of order or the "
                "last day is not complete; a row per day, store and channel, sorted, is needed"
            )
    units = table.loc[:, 3:].to_numpy(np.int64)
    outside = np.argwhere((units < 0) | (units > LARGEST))
    if len(outside):
        row, sku = outside[0]
        raise InputError(
            f"{path}, line {row + 2}, column {sku + 4}: this number is not allowed; "
            f"0 to {LARGEST} units are needed"
        )
    shape = (days, len(names), len(found), len(header) - 3)
    cells = np.ascontiguousarray(units.reshape(shape).transpose(0, 1, 3, 2))
    has_stock = len(found) > 1 and found[-1] == IN_STOCK
    return RecordedDemand(
        first_day=first,
        stores=[read_name(name) for name in names],
        skus=[read_name(name) for name in header[3:]],
        channels=found[:-1] if has_stock else found,
        units=narrow(np.ascontiguousarray(cells[..., :-1]) if has_stock else cells),
        step=step,
        in_stock=cells[..., -1] > 0 if has_stock else None,
    )
