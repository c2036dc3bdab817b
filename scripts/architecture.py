"""Writes docs/architecture.md, the map of all files, from the first lines of their docstrings.

How to run, from the repository root, after a module was added, moved or described anew:

    .venv/bin/python scripts/architecture.py

The order of the folders is that of the import contracts in pyproject.toml, lowest layer first. A
test writes the page again and compares.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
PACKAGES = ("envs", "marl")
HEADER = """# The file map

<!-- Written by scripts/architecture.py from the modules' docstrings; change those, then run it. -->

Imports go one way: a file imports only from lower layers. The layers, lowest first, are
"""
FOOTER = """`envs` imports nothing from `marl`, Ray or torch. `lint-imports` checks all of that
against the contracts in `pyproject.toml`, and a change of a contract needs a reason there."""


def read_layers() -> dict[str, dict[str, int]]:
    """Returns container -> child -> its layer, 0 for the lowest, of all contracts on layers."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    layers: dict[str, dict[str, int]] = {}
    for contract in contracts:
        for container in contract.get("containers", ()):
            for height, names in enumerate(reversed(contract["layers"])):
                for name in names.replace(":", "|").split("|"):
                    layers.setdefault(container, {})[name.strip(" ()")] = height
    return layers


def read_summary(module: Path) -> str:
    """Returns the first line of a module's docstring.

    Raises:
        ValueError: if it has none.
    """
    docstring = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))
    if not docstring:
        raise ValueError(
            f"{module.relative_to(ROOT)}: has no docstring; one line at least is needed"
        )
    return docstring.splitlines()[0]


def list_sections(package: Path, layers: dict[str, dict[str, int]]) -> Iterator[Path]:
    """Yields the package and the packages below it, lowest layer first, parents before children."""
    yield package
    heights = layers.get(".".join(package.relative_to(ROOT).parts), {})
    children = [path.parent for path in package.glob("*/__init__.py")]
    for child in sorted(children, key=lambda path: (heights.get(path.name, -1), path.name)):
        yield from list_sections(child, layers)


def make_section(package: Path) -> str:
    """Returns the heading of a package, its summary, and a table of its modules."""
    name = package.relative_to(ROOT).as_posix()
    lines = [f"## {name}", "", read_summary(package / "__init__.py")]
    modules = sorted(path for path in package.glob("*.py") if path.name != "__init__.py")
    if modules:
        lines += ["", "| file | content |", "|---|---|"]
        lines += [
            f"| `{path.name}` | {read_summary(path).replace('|', '&#124;')} |" for path in modules
        ]
    return "\n".join(lines)


def list_layers(layers: dict[str, dict[str, int]]) -> str:
    """Returns a line for every container that a contract orders; equal layers share a slash."""
    lines = []
    for container, heights in layers.items():
        rows: dict[int, list[str]] = {}
        for name, height in heights.items():
            rows.setdefault(height, []).append(f"`{name}`")
        ordered = ", ".join(" / ".join(names) for _, names in sorted(rows.items()))
        lines.append(f"- in `{container}`: {ordered}")
    return "\n".join(lines)


def make_page() -> str:
    """Returns the page."""
    layers = read_layers()
    sections = [
        make_section(folder) for name in PACKAGES for folder in list_sections(ROOT / name, layers)
    ]
    return "\n\n".join([HEADER.rstrip("\n"), list_layers(layers), FOOTER, *sections]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(make_page(), encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)} written")
