"""Validated input from YAML: every mistake becomes one line for the person who made it."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from yaml.reader import ReaderError

from envs.errors import InputError
from envs.yaml_events import load_yaml

# No retailer counts above this, and products of a few such numbers stay whole numbers.
LARGEST = 1_000_000_000

Share = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0, le=LARGEST)]
Positive = Annotated[float, Field(gt=0, le=LARGEST)]
Count = Annotated[int, Field(ge=1, le=LARGEST)]
CountOrZero = Annotated[int, Field(ge=0, le=LARGEST)]

ModelT = TypeVar("ModelT", bound=BaseModel)


class StrictModel(BaseModel):
    """Base of all validated input: unknown keys, NaN and infinities are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def check_ordered(settings: StrictModel, lower: str, upper: str) -> None:
    """Refuses a setting that is above another.

    Raises:
        ValueError: names both and what is allowed.
    """
    low, high = getattr(settings, lower), getattr(settings, upper)
    if low > high:
        raise ValueError(
            f"{lower} {low:g} is above {upper} {high:g}; {lower} <= {upper} is allowed"
        )


def parse_yaml(content: str, source: str) -> dict[str, Any]:
    """Parses a YAML mapping, naming line and column when that fails."""
    try:
        data = load_yaml(content)
    except yaml.YAMLError as error:
        raise InputError(f"{source}: not valid YAML{_locate(error, content)}") from None
    except ValueError as error:  # looks like a date or a number, and is none
        raise InputError(f"{source}: not valid YAML ({error})") from None
    if not isinstance(data, dict):
        found = "nothing" if data is None else f"a {type(data).__name__}"
        raise InputError(f"{source}: {found} found; a mapping of fields is needed")
    return data


def _locate(error: yaml.YAMLError, content: str) -> str:
    """Line and column, counted from 1."""
    if isinstance(error, ReaderError):  # a character that YAML does not allow
        before = content[: error.position]
        line, column = before.count("\n"), error.position - (before.rfind("\n") + 1)
    else:
        mark = getattr(error, "problem_mark", None)
        if mark is None:
            return ""
        line, column = mark.line, mark.column
        if line == content.count("\n") + 1:  # libyaml's end of a text without a last line break
            line, column = line - 1, len(content) - (content.rfind("\n") + 1)
    return f" at line {line + 1}, column {column + 1}"


def validate_model(model: type[ModelT], data: dict[str, Any], source: str) -> ModelT:
    """Builds `model`, turning the first validation error into one line.

    Raises:
        InputError: names the source, the field, the value and what is allowed.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise InputError(f"{source}: {describe_error(error, model)}") from None


def describe_error(error: ValidationError, model: type[BaseModel]) -> str:
    """One line for the first of the errors: field, value, what is allowed."""
    first = error.errors(include_url=False)[0]
    path, models = _follow(model, first["loc"])
    kind, context = first["type"], first.get("ctx", {})
    problem = (
        first["msg"]
        .removeprefix("Value error, ")
        .replace("Input should", "must")
        .replace("List should", "must")
    )
    problem = f"{problem[0].lower()}{problem[1:]}"
    if kind == "extra_forbidden":
        problem = f"unknown key; allowed: {', '.join(_field_names(models))}"
    elif kind == "missing":
        problem = "missing; this field is required"
    elif kind == "union_tag_not_found":
        path = f"{path}.{context['discriminator'].strip(chr(39))}"
        tags = [repr(tag) for m in models for tag in _tags(m)]
        problem = f"missing; allowed: {', '.join(tags)}"
    elif kind == "union_tag_invalid":
        path = f"{path}.{context['discriminator'].strip(chr(39))}"
        problem = f"{context['tag']!r} is not allowed; allowed: {context['expected_tags']}"
    elif kind != "value_error":
        value = repr(first["input"])
        value = value if len(value) <= 60 else f"{value[:57]}..."
        needed = _NEEDED.get(kind, problem)
        problem = f"{value} is not allowed; {needed}"
    return f"{path}: {problem}" if path else problem


# Where pydantic speaks of Python's types.
_NEEDED = {
    "model_type": "a mapping of fields is needed",
    "model_attributes_type": "a mapping of fields is needed",
    "dict_type": "a mapping of fields is needed",
    "list_type": "a list is needed",
}


def _follow(
    model: type[BaseModel], loc: tuple[int | str, ...]
) -> tuple[str, list[type[BaseModel]]]:
    """Returns the path as the user wrote it, without union tags, and the models it leads to.

    The models are those that hold the last part of the path where that part is not a field.
    """
    models: list[type[BaseModel]] = [model]
    path: list[str] = []
    for part in loc:
        owner = next((m for m in models if part in m.model_fields), None)
        tagged = [m for m in models if part in _tags(m)]
        if owner is not None:
            models = _models_in(owner.model_fields[str(part)].annotation)
        elif tagged:
            models = tagged
            continue
        if part != "[key]":
            path.append(str(part))
    return ".".join(path), models


def _tags(model: type[BaseModel]) -> tuple[str, ...]:
    """The value of the field that tells the members of a union apart."""
    kinds = (model.model_fields.get(name) for name in ("process", "kind"))
    return tuple(tag for field in kinds if field for tag in get_args(field.annotation))


def _field_names(models: list[type[BaseModel]]) -> list[str]:
    return list(dict.fromkeys(name for m in models for name in m.model_fields))


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Every model class inside a type such as `list[Store]` or `A | B`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for arg in get_args(annotation) for m in _models_in(arg)]
