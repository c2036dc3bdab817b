"""Compact trace files: what was sold, and one bit for each cell that says whether anything was.

Of a large chain most cells sell nothing on a day, and a text with all of them would be too large.
This is an .npz file of arrays as they are, so nothing grows while it is read:

- `about`: UTF-8 JSON with `first_day`, `days`, `step`, `stores`, `skus`, `channels`
- `sold`: a bit for each cell (day, store, SKU, channel), in that order, 1 where a unit was sold
- `units`: of the cells whose bit is 1, in their order
- `in_stock`: a bit for each day, store and SKU, where the record has it
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from envs.errors import InputError
from envs.omnichannel.types import BoolArray, Bytes
from envs.omnichannel.world.demand.recorded import (
    CHANNEL_NAMES,
    MOST_CELLS,
    Counts,
    RecordedDemand,
    choose_kind,
    narrow,
)
from envs.untrusted import MOST_TABLE, open_file, parse_object, read_arrays
from envs.validation import LARGEST, StrictModel

SUFFIX = ".npz"
_BLOCK = 1 << 23  # cells at once: whole bytes of bits
_NEEDED = {"about", "sold", "units"}


class _About(StrictModel):
    """The axes of the arrays."""

    first_day: date
    days: int = Field(ge=1, le=LARGEST)
    step: int = Field(ge=1, le=7)
    stores: list[str] = Field(min_length=1)
    skus: list[str] = Field(min_length=1)
    channels: list[str] = Field(min_length=1)


def encode_compact(recorded: RecordedDemand) -> bytes:
    """Returns the content of a compact trace file; the same data, the same bytes."""
    flat = recorded.units.reshape(-1)
    sold = np.concatenate([part[part > 0] for part in (flat[own] for own in _split(flat.size))])
    about = {
        "first_day": str(recorded.first_day),
        "days": len(recorded.units),
        "step": recorded.step,
        "stores": recorded.stores,
        "skus": recorded.skus,
        "channels": recorded.channels,
    }
    arrays: dict[str, NDArray[Any]] = {
        "about": np.frombuffer(json.dumps(about).encode(), np.uint8),
        "sold": np.concatenate([np.packbits(flat[own] > 0) for own in _split(flat.size)]),
        "units": sold.astype(np.uint8) if sold.max(initial=0) < 256 else narrow(sold),
    }
    if recorded.in_stock is not None:
        arrays["in_stock"] = np.packbits(recorded.in_stock.reshape(-1))
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    return content.getvalue()


def load_compact(path: Path) -> RecordedDemand:
    """Reads a compact trace file.

    Raises:
        InputError: names the file, and what is wrong with it; nothing of its content is repeated.
    """
    with open_file(path, "demand.file", MOST_TABLE):
        pass  # its size is allowed
    arrays = read_arrays(path, "demand.file")
    if not set(arrays) >= _NEEDED or arrays["about"].dtype != np.uint8:
        raise _refuse(path, "the arrays about, sold and units are needed")
    about = _read_about(path, arrays["about"])
    shape = (about.days, len(about.stores), len(about.skus), len(about.channels))
    if math.prod(shape) > MOST_CELLS:
        raise _refuse(path, f"at most {MOST_CELLS:,} cells are allowed")
    _check_bits(path, "sold", arrays["sold"], math.prod(shape))
    in_stock = arrays.get("in_stock")
    if in_stock is not None:
        _check_bits(path, "in_stock", in_stock, math.prod(shape[:3]))
    return RecordedDemand(
        first_day=about.first_day,
        stores=about.stores,
        skus=about.skus,
        channels=about.channels,
        units=_unpack(path, arrays["sold"], arrays["units"].reshape(-1), shape),
        step=about.step,
        in_stock=None if in_stock is None else _unpack_flags(in_stock, shape[:3]),
    )


def _read_about(path: Path, found: Bytes) -> _About:
    try:
        about = _About(**parse_object(found.tobytes(), f"demand.file: '{path}'"))
    except (ValidationError, TypeError):
        raise _refuse(path, "first_day, days, step, stores, skus and channels are needed") from None
    for names in (about.stores, about.skus, about.channels):
        if len(set(names)) < len(names):
            raise _refuse(path, "a name is there twice; each is allowed once")
    if about.channels != [name for name in CHANNEL_NAMES if name in about.channels]:
        raise _refuse(path, f"channels: some of {', '.join(CHANNEL_NAMES)}, in order, are needed")
    return about


def _check_bits(path: Path, name: str, bits: Bytes, size: int) -> None:
    if bits.dtype != np.uint8 or bits.shape != (-(-size // 8),):
        raise _refuse(path, f"{name}: a bit for each cell of stores, SKUs and days is needed")


def _unpack(path: Path, bits: Bytes, sold: Counts, shape: tuple[int, ...]) -> Counts:
    """The units of all cells, once they are known to be as many as their bits say."""
    size = math.prod(shape)
    is_whole = sold.dtype.kind in "iu" and np.bitwise_count(bits).sum(dtype=np.int64) == sold.size
    if not is_whole or np.unpackbits(bits[-1:])[size % 8 or 8 :].any():
        raise _refuse(path, "sold and units do not go together; the file is not whole")
    if sold.size and not 0 < int(sold.min()) <= int(sold.max()) <= LARGEST:
        raise _refuse(path, f"1 to {LARGEST} units are needed in each cell that sold")
    flat = np.zeros(size, choose_kind(int(sold.max(initial=0))))
    done = 0
    for own in _split(size):
        packed = bits[own.start // 8 : -(-own.stop // 8)]
        chosen = np.unpackbits(packed, count=own.stop - own.start).view(np.bool_)
        count = int(np.count_nonzero(chosen))
        flat[own][chosen] = sold[done : done + count]
        done += count
    return flat.reshape(shape)


def _unpack_flags(bits: Bytes, shape: tuple[int, ...]) -> BoolArray:
    return np.unpackbits(bits, count=math.prod(shape)).view(np.bool_).reshape(shape)


def _split(size: int) -> Iterator[slice]:
    """Cells 0 to `size`, a block at a time."""
    for start in range(0, size, _BLOCK):
        yield slice(start, min(start + _BLOCK, size))


def _refuse(path: Path, reason: str) -> InputError:
    return InputError(f"demand.file: '{path}' is no compact trace: {reason}")
