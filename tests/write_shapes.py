"""The same rows in every kind of file that is read."""

import gzip
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import escape

from tests.make_shapes import Shape

_PARTS = {
    "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/'
    'content-types"><Default Extension="xml" ContentType="application/xml"/><Default '
    'Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-'
    'officedocument.spreadsheetml.sheet.main+xml"/></Types>',
    "_rels/.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/'
    'relationships"><Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/'
    '2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": '<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    ' xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets>'
    '<sheet name="Sales" sheetId="1" r:id="r1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/'
    '2006/relationships"><Relationship Id="r1" Type="http://schemas.openxmlformats.org/'
    'officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/>'
    "</Relationships>",
}


def write_csv(shape: Shape, path: Path) -> Path:
    path = path.with_suffix(".csv")
    path.write_text(shape.text, encoding="utf-8")
    return path


def write_gz(shape: Shape, path: Path) -> Path:
    path = path.with_suffix(".csv.gz")
    path.write_bytes(gzip.compress(shape.text.encode()))
    return path


def write_zip(shape: Shape, path: Path) -> Path:
    path = path.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("export/sales.csv", shape.text)
        archive.writestr("__MACOSX/export/._sales.csv", "x")
    return path


def write_excel(shape: Shape, path: Path) -> Path:
    """A workbook of texts and numbers."""
    path = path.with_suffix(".xlsx")
    lines = []
    for row in shape.rows:
        cells = [
            f"<c><v>{cell}</v></c>"
            if cell.lstrip("-").replace(".", "", 1).isdecimal()
            else f'<c t="inlineStr"><is><t>{escape(cell)}</t></is></c>'
            for cell in row
        ]
        lines.append(f"<row>{''.join(cells)}</row>")
    sheet = (
        '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
        f"{''.join(lines)}</sheetData></worksheet>"
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (_PARTS | {"xl/worksheets/sheet1.xml": sheet}).items():
            archive.writestr(name, content)
    return path


def _copy(shape: Shape, path: Path, target: str) -> None:
    import duckdb

    source = write_csv(shape, path)
    with duckdb.connect() as connection:
        connection.execute(
            f"COPY (SELECT * FROM read_csv('{source}', header = true)) TO '{target}' "
            "(FORMAT parquet)"
        )
    source.unlink()


def write_parquet(shape: Shape, path: Path) -> Path:
    """Types as DuckDB finds them in the CSV file: dates, times and numbers."""
    path = path.with_suffix(".parquet")
    _copy(shape, path, str(path))
    return path


def write_folder(shape: Shape, path: Path) -> Path:
    folder = path.with_suffix(".d")
    (folder / "2024").mkdir(parents=True)
    middle = len(shape.rows) // 2
    header = shape.rows[:1]
    for i, rows in enumerate((shape.rows[1:middle], shape.rows[middle:])):
        part = Shape(header + rows, shape.layout, 0, separator=shape.separator)
        _copy(part, folder / "2024" / f"{i}.parquet", str(folder / "2024" / f"{i}.parquet"))
    return folder


def write_sqlite(shape: Shape, path: Path) -> Path:
    path = path.with_suffix(".db")
    connection = sqlite3.connect(path)
    columns = ", ".join(f'"{name}"' for name in shape.rows[0])
    connection.execute(f"CREATE TABLE sales ({columns})")
    marks = ", ".join("?" * len(shape.rows[0]))
    connection.executemany(f"INSERT INTO sales VALUES ({marks})", shape.rows[1:])
    connection.commit()
    connection.close()
    return path


KINDS: dict[str, Callable[[Shape, Path], Path]] = {
    "csv": write_csv,
    "gz": write_gz,
    "zip": write_zip,
    "excel": write_excel,
    "parquet": write_parquet,
    "folder": write_folder,
    "sqlite": write_sqlite,
}
