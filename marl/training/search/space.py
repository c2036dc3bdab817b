"""The fields of `TrainConfig` that a search may vary, each with a distribution.

A dimension is written `learner.lr=loguniform(1e-4, 3e-3)`; a YAML file holds them under `search:`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from envs.errors import InputError
from envs.untrusted import read_text
from envs.validation import parse_yaml, validate_model
from marl.config import TrainConfig, apply_overrides
from marl.runs.changes import FIXED_FIELDS

ALLOWED = "uniform(low, high), loguniform(low, high), randint(low, high), choice(a, b, ...)"

_DIMENSION = re.compile(r"\s*([\w.]+)\s*=\s*(\w+)\s*\((.*)\)\s*", re.DOTALL)
_RANGES = ("uniform", "loguniform", "randint")
# Trials are compared by these, so they are the same for all.
_COMMON = ("stop", "evaluation", "checkpoints")


@dataclass(frozen=True)
class Dimension:
    """A field and its distribution.

    Attributes:
        path: such as `learner.lr`.
        kind: `uniform`, `loguniform`, `randint` (high is excluded) or `choice`.
        values: low and high, or the values to choose from.
    """

    path: str
    kind: str
    values: tuple[Any, ...]

    def list_extremes(self) -> tuple[Any, ...]:
        """Values that are allowed if all of the dimension are."""
        if self.kind == "randint":
            return self.values[0], self.values[1] - 1
        return self.values

    def __str__(self) -> str:
        """As `parse_space` reads it."""
        # `[1, 2]` without the brackets.
        content = yaml.safe_dump(list(self.values), default_flow_style=True, width=10_000)
        return f"{self.path}={self.kind}({content.strip()[1:-1]})"

    def clip(self, value: Any) -> Any:
        """Returns the nearest value of the dimension, in its type."""
        if self.kind == "choice":
            return value
        low, high = self.list_extremes()
        clipped = min(max(value, low), high)
        return round(clipped) if self.kind == "randint" else clipped


Space = tuple[Dimension, ...]


def parse_space(texts: list[str]) -> Space:
    """Returns the dimensions of `a.b=distribution(...)` strings and of YAML files.

    Raises:
        InputError: if one is not of that form, or a field is given twice.
    """
    space: list[Dimension] = []
    for text in texts:
        if Path(text).suffix in {".yaml", ".yml"}:
            space += _read_file(text)
        else:
            space.append(_parse_dimension(text))
    paths = [dimension.path for dimension in space]
    for path in paths:
        if paths.count(path) > 1:
            raise InputError(f"--space: {path} is given twice; give each field once")
    if not space:
        raise InputError("--space: nothing to vary; give at least one a.b=distribution(...)")
    return tuple(space)


def check_space(space: Space, base: TrainConfig, *, mutable: bool) -> None:
    """Builds a configuration for the ends of every dimension.

    Args:
        space: what varies.
        base: where everything else comes from.
        mutable: whether fields change while a trial trains (PBT).

    Raises:
        InputError: names the field that does not exist, or the value that is not allowed.
    """
    for dimension in space:
        path = dimension.path
        if path.split(".")[0] in _COMMON:
            raise InputError(f"--space: {path} is not allowed; it must be the same for all trials")
        if mutable and path in (*FIXED_FIELDS, "seed"):
            raise InputError(
                f"--space: {path} is not allowed with --scheduler pbt, which changes fields while "
                "a trial trains; use --scheduler asha"
            )
        for value in dimension.list_extremes():
            apply_values({path: value}, base)


def apply_values(values: Mapping[str, Any], base: TrainConfig) -> TrainConfig:
    """Returns the configuration with a trial's values, by path.

    Raises:
        InputError: if one is not allowed.
    """
    overrides = [
        f"{path}={yaml.safe_dump(v, default_flow_style=True)}" for path, v in values.items()
    ]
    data = apply_overrides(base.model_dump(mode="json"), overrides)
    return validate_model(TrainConfig, data, "--space")


def _read_file(name: str) -> list[Dimension]:
    data = parse_yaml(read_text(Path(name), "--space"), name)
    dimensions = data.get("search")
    if data.keys() != {"search"} or not isinstance(dimensions, dict):
        raise InputError(f"{name}: one key `search` is needed, with a.b: distribution(...) below")
    return [_parse_dimension(f"{path}={value}") for path, value in dimensions.items()]


def _parse_dimension(text: str) -> Dimension:
    match = _DIMENSION.fullmatch(text)
    if match is None or match[2] not in (*_RANGES, "choice"):
        raise InputError(f"--space: {text!r} is not allowed; write a.b=D where D is {ALLOWED}")
    path, kind, content = match.groups()
    try:
        values = yaml.safe_load(f"[{content}]")
    except yaml.YAMLError:
        values = []
    if kind == "choice":
        if len(values) < 2:
            raise InputError(f"--space: {text!r} is not allowed; choice needs two values or more")
        return Dimension(path, kind, tuple(values))
    return Dimension(path, kind, _parse_range(text, kind, values))


def _parse_range(text: str, kind: str, values: list[Any]) -> tuple[float, float]:
    """Low and high; YAML reads 1e-4 as a string."""
    number = int if kind == "randint" else float
    try:
        low, high = (number(str(value)) for value in values)
    except ValueError:
        raise InputError(f"--space: {text!r} is not allowed; {kind} needs two numbers") from None
    if not low < high or (kind == "loguniform" and low <= 0):
        bound = "0 < low < high" if kind == "loguniform" else "low < high"
        raise InputError(f"--space: {text!r} is not allowed; {bound} is needed")
    return low, high
