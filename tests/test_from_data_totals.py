"""Mutated files of real shapes: refused in one line, or read with the totals of the file."""

import csv
import gzip
import io
import random
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from envs.errors import InputError
from marl.planning.from_data import large_csv
from marl.planning.from_data.make import Sources, load_dataset
from marl.planning.from_data.texts import name_column
from tests.make_shapes import DAILY, WEEKLY, Shape
from tests.test_from_data_mutations import break_grid
from tests.write_shapes import write_excel, write_parquet, write_sqlite, write_zip

SHAPES = DAILY | WEEKLY
UNITS = {"favorita": "unit_sales", "rossmann": "Sales", "ledger": "Quantity",
         "shopify": "Lineitem quantity"}  # fmt: skip
SOLD, RETURNED = ("601", "251"), ("602", "252", "651", "653")
MISSING = {"", "-", "--", "null", "nan", "n/a", "#n/a", "<na>"}
PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
GERMAN = re.compile(r"[+-]?(\d{1,3}(\.\d{3})*|\d+)(,\d*)?", re.ASCII)
COMMA = re.compile(r"[+-]?\d*,\d*", re.ASCII)


def write_text(shape: Shape, path: Path, encode: Callable[[str], bytes] = str.encode) -> Path:
    """Every cell in quotes where it must be, so that the grid is what the file says."""
    text = io.StringIO()
    csv.writer(text, delimiter=shape.separator, lineterminator="\n").writerows(shape.rows)
    path.with_suffix(".csv").write_bytes(encode(text.getvalue()))
    return path.with_suffix(".csv")


def write_packed(shape: Shape, path: Path) -> Path:
    """The text alone in a .zip file."""
    text = write_text(shape, path)
    with zipfile.ZipFile(path.with_suffix(".zip"), "w") as archive:
        archive.write(text, "export.csv")
    return path.with_suffix(".zip")


def write_parts(shape: Shape, path: Path) -> Path:
    """A folder with two files, each with the header."""
    folder, rows = path.with_suffix(".d"), shape.rows
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for i, own in enumerate((rows[1 : len(rows) // 2], rows[len(rows) // 2 :])):
        write_text(
            Shape(rows[:1] + own, shape.layout, 0, separator=shape.separator), folder / str(i)
        )
    return folder


def write_cells(shape: Shape, path: Path) -> Path:
    """A database, a Parquet file or a workbook of texts; else text, which holds anything."""
    if not shape.rows:
        return write_text(shape, path)
    header, width = shape.rows[0], len(shape.rows[0])
    names = [name_column(name) for name in header]
    rows = [row + [""] * (width - len(row)) for row in shape.rows[1:]]
    is_table = len(set(names)) == width and all(names) and all(len(row) == width for row in rows)
    if (
        not is_table
        or not rows
        or any("\x00" in cell or "\x1b" in cell for row in rows for cell in row)
    ):
        return write_text(shape, path)
    table = Shape([header, *rows], shape.layout, 0)
    kind = sum(map(len, rows[-1])) % 3
    if kind == 0:
        path.with_suffix(".db").unlink(missing_ok=True)
        return write_sqlite(table, path)
    if kind == 1:
        return write_excel(table, path)
    columns = {name: pa.array(cells) for name, *cells in zip(header, *rows, strict=True)}
    pq.write_table(pa.table(columns), path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


WRITERS: tuple[Callable[[Shape, Path], Path], ...] = (
    *(write_text,) * 2,
    write_packed,
    write_parts,
    *(write_cells,) * 3,
    lambda shape, path: write_text(shape, path, lambda text: gzip.compress(text.encode())),
    lambda shape, path: write_text(shape, path, lambda text: b"\xef\xbb\xbf" + text.encode()),
    lambda shape, path: write_text(shape, path, lambda text: text.encode("utf-16")),
    lambda shape, path: write_text(shape, path, lambda text: text.replace("\n", "\r\n").encode()),
)


def read_number(text: str, name: str) -> float | None:
    """What a cell says; None: nothing that a reader may take for a number."""
    text = text.strip()
    if text.lower() in MISSING:
        return 0.0
    if name == "ledger" and GERMAN.fullmatch(text):
        return float(text.replace(".", "").replace(",", "."))
    if PLAIN.fullmatch(text):
        return float(text)
    return float(text.replace(",", ".")) if COMMA.fullmatch(text) and len(text) > 1 else None


def count(rows: list[list[str]], name: str) -> tuple[int, float, float]:
    """Rows with anything in them, and units sold and returned, as a clerk would add them up."""
    header = [cell.strip() for cell in rows[0]]
    body = [row + [""] * (len(header) - len(row)) for row in rows[1:]]
    body = [row for row in body if any(cell.strip() for cell in row)]
    if name in {"m5", "vn2"}:
        columns = [i for i, cell in enumerate(header) if cell.startswith(("d_", "20"))]
    else:
        columns = [header.index(UNITS.get(name, "units"))]
    sold = returned = 0.0
    for row in body:
        if name == "ledger" and row[header.index("Movement type")].strip() not in SOLD + RETURNED:
            continue
        for column in columns:
            number = read_number(row[column], name)
            assert number is not None, f"{row[column]!r} was read as a number"
            if name == "ledger":
                number = abs(number) * (
                    1 if row[header.index("Movement type")].strip() in SOLD else -1
                )
            sold, returned = sold + max(number, 0), returned + max(-number, 0)
    return len(body), sold, returned


def break_and_check(seed: int, folder: Path) -> bool:
    """Breaks a good file; whether it was read all the same."""
    chance = random.Random(seed)
    name = chance.choice([*SHAPES])
    good = SHAPES[name]()
    rows = break_grid([list(row) for row in good.rows], chance)
    separator = chance.choice(",;\t") if name != "ledger" else ";"
    broken = Shape(rows, good.layout, 0, separator=separator)
    path = chance.choice(WRITERS)(broken, folder / "mutated")
    refusal, is_fixed = "", chance.random() < 0.7
    try:
        with pytest.MonkeyPatch.context() as patch:
            if chance.random() < 0.3:  # CSV files are as large as those that are not read at once
                patch.setattr(large_csv, "MOST_TABLE", 100)
            data, _ = load_dataset(Sources(path), fix=is_fixed)
    except InputError as error:
        refusal = str(error)
    if refusal:
        assert "\n" not in refusal
        assert refusal.startswith(str(path)), refusal
        return False
    reading = data.reading
    num_rows, sold, returned = count(rows, name)
    assert reading.rows == num_rows
    assert reading.units == pytest.approx(sold, abs=1e-5)
    assert reading.returned_units == pytest.approx(returned, abs=1e-5)
    series = data.demand.units[0].size
    assert data.demand.units.sum() == pytest.approx(reading.units, abs=series / 2 + 1e-5)
    return True


@pytest.mark.parametrize("seed", range(20))
def test_from_data__a_mutated_file_has_its_own_totals_or_is_refused(
    seed: int, tmp_path: Path
) -> None:
    break_and_check(seed, tmp_path)


@pytest.mark.slow
def test_from_data__three_hundred_mutated_files_have_their_own_totals(tmp_path: Path) -> None:
    read = [break_and_check(seed, tmp_path) for seed in range(300)]
    assert sum(read) > 60


@pytest.mark.parametrize("write", [write_excel, write_zip, write_parquet])
def test_totals__are_those_of_the_file_in_every_kind(
    write: Callable[[Shape, Path], Path], tmp_path: Path
) -> None:
    for name in SHAPES:
        shape = SHAPES[name]()
        reading = load_dataset(Sources(write(shape, tmp_path / name)), fix=False)[0].reading
        assert reading.rows == len(shape.rows) - 1
        assert reading.units == pytest.approx(shape.units)
