"""Names in CSV files: none is a formula, whatever it begins with.

A spreadsheet runs a cell that begins with one of a few characters. An apostrophe before it makes it
a text. Reading takes that apostrophe away, so that a file of ours can be read again.

Source: owasp.org/www-community/attacks/CSV_Injection.
"""

from __future__ import annotations

_APOSTROPHE = "'"
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # what a spreadsheet would run


def write_name(name: str) -> str:
    """Returns a name as a cell that is no formula."""
    return f"{_APOSTROPHE}{name}" if _is_formula(name) else name


def read_name(cell: str) -> str:
    """Returns the name of a cell that `write_name` wrote."""
    marked = cell.startswith(_APOSTROPHE) and _is_formula(cell)
    return cell.removeprefix(_APOSTROPHE) if marked else cell


def _is_formula(name: str) -> bool:
    """Whether it is one, or would be one without the apostrophes before it."""
    return name.lstrip(_APOSTROPHE).startswith(_FORMULA)
