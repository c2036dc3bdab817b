"""Arrays in a JSON file: their bytes, compressed, in base 64."""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from envs.errors import InputError
from envs.omnichannel.forecast.learner import NEVER
from envs.omnichannel.types import FloatArray, IntArray
from envs.validation import StrictModel

_MOST = 1e15  # of any number in an array


class ArrayFile(StrictModel):
    """An array as text."""

    kind: Literal["float64", "int64"]
    shape: Annotated[list[Annotated[int, Field(ge=0, le=1_000_000)]], Field(max_length=4)]
    data: str


def encode(array: FloatArray | IntArray) -> ArrayFile:
    """Returns an array as text."""
    data = base64.b64encode(zlib.compress(np.ascontiguousarray(array).tobytes(), 1)).decode("ascii")
    kind: Literal["float64", "int64"] = "int64" if array.dtype == np.int64 else "float64"
    return ArrayFile(kind=kind, shape=list(array.shape), data=data)


def decode(
    found: ArrayFile | None, own: FloatArray | IntArray, source: str
) -> FloatArray | IntArray:
    """Returns an array of the shape and kind of one's own.

    Args:
        found: in the file; None: nothing.
        own: an array of the shape and kind that is needed.
        source: what messages call it.

    Raises:
        InputError: names the array and what is wrong with it.
    """
    if found is None:
        raise InputError(f"{source} is missing; the file is not whole")
    if (found.kind, tuple(found.shape)) != (own.dtype.name, own.shape):
        raise InputError(
            f"{source}: {found.kind} of shape {found.shape} found; {own.dtype.name} of shape "
            f"{list(own.shape)} is needed"
        )
    try:
        packed = zlib.decompressobj()
        raw = packed.decompress(base64.b64decode(found.data, validate=True), own.nbytes + 1)
    except (binascii.Error, ValueError, zlib.error):
        raise InputError(f"{source}: the data are damaged") from None
    if len(raw) != own.nbytes:
        raise InputError(f"{source}: the data are damaged; {own.nbytes} bytes are needed")
    array = np.frombuffer(raw, own.dtype).reshape(own.shape).copy()
    least = NEVER if array.dtype == np.int64 else 0
    if not ((array >= least) & (array <= _MOST)).all():  # NaN is neither
        raise InputError(f"{source}: numbers from {least} to {_MOST:g} are needed")
    return array  # type: ignore[return-value]
