"""Folders: files of one kind with the same columns, read as one table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from envs.errors import InputError
from envs.untrusted import MOST_TABLE, open_file
from marl.planning.from_data.database import read_parquet
from marl.planning.from_data.large_csv import (
    is_large,
    read_large_csv,
    refuse_columns,
    refuse_separator,
)
from marl.planning.from_data.texts import Raw, Texts, name_column

_MOST_FILES = 10_000
_PARQUET = ".parquet"
_TABLES = (".csv", ".tsv", ".txt", ".gz", ".zip", ".xlsx", ".xls")
_TEXTS = (".csv", ".tsv", ".txt", ".gz")


def read_folder(folder: Path, read_file: Callable[[Path], Raw]) -> Raw:
    """Reads the files of a folder and those within it, by their paths in order.

    Where one is a Parquet file, those are read alone; else all tables.

    Args:
        folder: that they are in.
        read_file: reads one.

    Raises:
        InputError: names the file that does not fit the others.
    """
    found = [path for path in sorted(folder.rglob("*")) if not path.name.startswith((".", "_"))]
    tables = _choose(found, (_PARQUET,)) or _choose(found, _TABLES)
    if not tables or len(tables) > _MOST_FILES:
        count = f"more than {_MOST_FILES}" if tables else "no"
        raise InputError(
            f"{folder}: this is a folder with {count} tables; a folder of Parquet or CSV files or "
            "the path of a file is needed"
        )
    sizes = [_check(path, folder) for path in tables]
    if tables[0].suffix.lower() == _PARQUET:
        return read_parquet(tables, str(folder))
    if sum(sizes) > MOST_TABLE or any(is_large(path) for path in _choose(tables, _TEXTS)):
        if len(_choose(tables, _TEXTS)) < len(tables):
            raise InputError(
                f"{folder}: more than {MOST_TABLE:,} bytes; CSV or Parquet files alone are needed"
            )
        return read_large_csv(tables, str(folder))
    return _join([read_file(path) for path in tables], str(folder))


def _choose(paths: Sequence[Path], suffixes: tuple[str, ...]) -> list[Path]:
    return [path for path in paths if path.suffix.lower() in suffixes and not path.is_dir()]


def _check(path: Path, folder: Path) -> int:
    """The size of a file, which is inside the folder and what its name says."""
    with open_file(path, "--demand", inside=folder) as opened:
        if path.suffix.lower() == _PARQUET and opened.read(4) != b"PAR1":
            raise InputError(f"{path}: this is no Parquet file; take it out of the folder")
        return opened.seek(0, 2)


def _join(parts: list[Raw], file: str) -> Raw:
    """The tables as one; they have the same columns, maybe in another order."""
    names = [name_column(name) for name in parts[0].header]
    position = []
    for part in parts:
        own = {name_column(name): i for i, name in enumerate(part.header)}
        if set(own) != set(names):
            raise refuse_columns(part.file, parts[0].file, parts[0].header)
        if part.separator != parts[0].separator:
            raise refuse_separator(part.file, parts[0].file)
        position.append([own[name] for name in names])

    def read(column: int) -> Texts:
        values: list[str] = []
        codes = []
        for part, own in zip(parts, position, strict=True):
            texts = part.read(own[column])
            codes.append(texts.codes.astype(np.int32) + np.int32(len(values)))
            values += texts.values
        return Texts.number(values, np.concatenate(codes))

    first = np.cumsum([0, *(len(part.read(0).codes) for part in parts)]).tolist()
    return Raw(
        file=file,
        header=parts[0].header,
        read=read,
        separator=parts[0].separator,
        parts=[*zip(first, parts, strict=False)],
    )
