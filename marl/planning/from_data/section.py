"""A field of the scenario's file, with its origin."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Section:
    """A top-level field of the scenario's file with the remarks above it."""

    name: str
    value: Any
    measured: list[str] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)
