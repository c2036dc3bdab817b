"""The one reader of files that are not ours: checked before anything of their size is allocated.

A file must be a regular one (a pipe or a device may never end) and no larger than its kind may be.
Sizes that it declares inside are held against what is there. docs/limits.md lists the limits.
"""

from __future__ import annotations

import gzip
import io
import json
import math
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

from envs.errors import InputError
from envs.yaml_events import MOST_DEPTH

if TYPE_CHECKING:
    from numpy.typing import NDArray

MEGABYTE = 1_000_000
MOST_TEXT = 50 * MEGABYTE  # of a JSON or YAML file
MOST_TABLE = 200 * MEGABYTE  # of a CSV file, unpacked
MOST_ENTRIES = 10_000  # arrays in an .npz file

_GZIP_MAGIC = b"\x1f\x8b"
_DAMAGE = (
    ValueError, KeyError, OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError,
    RuntimeError, MemoryError, SyntaxError, TypeError,
)  # what zipfile and NumPy raise about what they cannot read  # fmt: skip


@contextmanager
def open_file(
    path: Path,
    field: str,
    most: int | None = None,
    inside: Path | None = None,
    name: str | None = None,
) -> Iterator[io.BufferedReader]:
    """Opens a regular file for reading.

    Args:
        path: of the file.
        field: what messages call it.
        most: bytes allowed; None: any number.
        inside: a folder that the path and its links may not lead out of; None: anywhere.
        name: of the file in messages; None: its path.

    Raises:
        InputError: if it is missing, no regular file, too large or not readable.
    """
    shown = name or str(path)
    try:
        if inside is not None and not path.resolve().is_relative_to(inside.resolve()):
            raise InputError(
                f"{field}: '{shown}' is not allowed; only files in '{inside}' are read"
            )
        # Without O_NONBLOCK a pipe that nobody writes to would block here.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise InputError(
            f"{field}: file '{shown}' does not exist; give the path of a file"
        ) from None
    except (OSError, ValueError, RuntimeError) as error:  # a NUL in the name; links in a circle
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{field}: '{shown}' cannot be read ({reason})") from None
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        if stat.S_ISDIR(found.st_mode):
            raise InputError(f"{field}: '{shown}' cannot be read (Is a directory)")
        raise InputError(f"{field}: '{shown}' is a pipe or a device; a file is needed")
    with os.fdopen(descriptor, "rb") as file:
        if most is not None and found.st_size > most:
            raise InputError(f"{field}: '{shown}' is too large; at most {most:,} bytes are allowed")
        yield file


def read_bytes(
    path: Path,
    field: str,
    most: int = MOST_TEXT,
    inside: Path | None = None,
    name: str | None = None,
) -> bytes:
    """Reads a file; arguments and errors as of `open_file`."""
    with open_file(path, field, most, inside, name) as file:
        try:
            content = file.read(most + 1)  # files in /proc have a size of 0
        except OSError as error:
            reason = error.strerror
            raise InputError(f"{field}: '{name or path}' cannot be read ({reason})") from None
    if len(content) > most:
        raise InputError(
            f"{field}: '{name or path}' is too large; at most {most:,} bytes are allowed"
        )
    return content


def read_text(path: Path, field: str, most: int = MOST_TEXT, inside: Path | None = None) -> str:
    """Reads a UTF-8 text file; arguments and errors as of `open_file`."""
    try:
        return read_bytes(path, field, most, inside).decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{field}: '{path}' cannot be read (not UTF-8 text)") from None


def unpack(content: bytes, source: str, most: int = MOST_TABLE) -> bytes:
    """Returns what a .gz file holds, or the content itself if it is none.

    Raises:
        InputError: if it is damaged, or holds more than `most` bytes.
    """
    if not content.startswith(_GZIP_MAGIC):
        return content
    try:
        with gzip.open(io.BytesIO(content)) as stream:
            unpacked = stream.read(most + 1)
    except (OSError, EOFError, zlib.error):
        raise InputError(f"{source} cannot be read (a damaged .gz file)") from None
    if len(unpacked) > most:
        raise InputError(f"{source} holds more than {most:,} bytes, which are allowed")
    return unpacked


def parse_json(text: str | bytes, source: str, *, finite: bool = True) -> Any:
    """Parses JSON.

    Args:
        text: to parse.
        source: what messages call it.
        finite: whether NaN and infinities are refused; a run's own measurements may hold them.

    Raises:
        InputError: names the source.
    """

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not allowed")

    try:
        data = json.loads(text, parse_constant=refuse if finite else None)
    except RecursionError:
        raise InputError(f"{source}: not valid JSON (nested too deeply)") from None
    except ValueError as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else error
        raise InputError(f"{source}: not valid JSON ({reason})") from None
    _check_depth(data, source)
    return data


def parse_object(text: str | bytes, source: str, *, finite: bool = True) -> dict[str, Any]:
    """Parses a JSON object; arguments and errors as of `parse_json`."""
    data = parse_json(text, source, finite=finite)
    if not isinstance(data, dict):
        raise InputError(f"{source}: a {type(data).__name__} found; a JSON object is needed")
    return data


def _check_depth(data: Any, source: str) -> None:
    inner = [data]
    for _ in range(MOST_DEPTH + 1):
        inner = [
            child
            for group in inner
            if isinstance(group, dict | list)
            for child in (group.values() if isinstance(group, dict) else group)
        ]
        if not inner:
            return
    raise InputError(f"{source}: nested too deeply; at most {MOST_DEPTH} levels are allowed")


def read_arrays(path: Path, field: str, inside: Path | None = None) -> dict[str, NDArray[Any]]:
    """Returns the arrays of an .npz file that `numpy.savez` wrote.

    They are stored as they are, so none is larger than the file: what is compressed, or declares
    more than follows, is refused before it is allocated. Args and errors as of `open_file`.
    """
    import numpy as np

    with open_file(path, field, inside=inside) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                _check_archive(archive, os.fstat(file.fileno()).st_size)
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                return dict(arrays)
        except _DAMAGE as error:
            raise InputError(f"{field}: '{path}' is damaged ({type(error).__name__})") from None


def _check_archive(archive: zipfile.ZipFile, size: int) -> None:
    entries = archive.infolist()
    if len(entries) > MOST_ENTRIES or sum(entry.file_size for entry in entries) > size:
        raise ValueError("more than the file can hold")
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED:
            raise ValueError("compressed arrays are not allowed")
        with archive.open(entry) as file:
            _check_header(file, entry.file_size)


def _check_header(file: IO[bytes], size: int) -> None:
    """Refuses an array whose header declares other bytes than follow it."""
    import numpy as np

    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(np.lib.format.read_magic(file))
    if read is None:
        raise ValueError("a version that is not known")
    shape, _, kind = read(file)
    if kind.hasobject or math.prod(shape) * kind.itemsize + file.tell() != size:
        raise ValueError("declared and actual size differ")
