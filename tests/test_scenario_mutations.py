"""Two hundred broken scenario files: each ends in exit code 2 and one line that names the field."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from envs.omnichannel.scenario import list_scenarios, load_scenario
from marl.commands.cli import main

NUM_FILES = 200
HUGE = 10**30
Key = str | int
Place = tuple[Key, ...]

FREE_TEXT = {"name", "description", "caveat", "parent", "category"}
SIGNED = {"season_phase", "store_cover", "dc_cover", "push_cover"}
REQUIRED = {"network", "skus", "categories", "dcs", "stores", "name", "parent", "category"}
NEVER_EMPTY = {"dcs", "stores", "skus", "store_cover", "dc_cover", "push_cover", "disposition"}
CHOICES = {
    "store_unmet", "online_unmet", "pickup_unmet", "rationing", "process", "method", "kind",
    "basis", "strategy", "source",
}  # fmt: skip
# Mappings whose keys are the user's own.
OPEN_MAPPINGS = {"categories", "random_lead_time", "role_weights", "level_weights"}


@dataclass(frozen=True)
class Mutation:
    """One broken file."""

    label: str
    content: bytes
    named: str  # must stand in the line


def walk(node: Any, path: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every node below a scenario's top, parents first."""
    children: Iterator[tuple[Key, Any]] = iter(())
    if isinstance(node, dict):
        children = iter(node.items())
    elif isinstance(node, list):
        children = iter(enumerate(node))
    for key, child in children:
        yield (*path, key), child
        yield from walk(child, (*path, key))


def find_name(path: Place) -> str:
    """The last word of a path: the field of a value in a list."""
    return next(part for part in reversed(path) if isinstance(part, str))


def change(data: Any, path: Place, value: object) -> Any:
    changed = deepcopy(data)
    node = changed
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value
    return changed


def delete(data: Any, path: Place) -> Any:
    changed = deepcopy(data)
    node = changed
    for part in path[:-1]:
        node = node[part]
    del node[path[-1]]
    return changed


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# Kind of mistake -> which nodes it fits and what stands there instead.
Fits = Callable[[Place, Any], bool]
REPLACEMENTS: dict[str, tuple[Fits, object]] = {
    "text for a number": (lambda p, v: is_number(v), "many"),
    "list for a number": (lambda p, v: is_number(v), [1, 2]),
    "mapping for a number": (lambda p, v: is_number(v), {"value": 1}),
    "nothing for a number": (lambda p, v: is_number(v), None),
    "negative": (lambda p, v: is_number(v) and find_name(p) not in SIGNED, -1),
    "huge": (lambda p, v: is_number(v), HUGE),
    "huge and negative": (lambda p, v: is_number(v), -HUGE),
    "not a number": (lambda p, v: is_number(v), float("nan")),
    "infinite": (lambda p, v: is_number(v), float("inf")),
    "text for an option": (lambda p, v: v is None, "nonsense"),
    "number for text": (lambda p, v: isinstance(v, str) and find_name(p) in FREE_TEXT, 5),
    "empty name": (lambda p, v: find_name(p) in {"name", "parent"} and isinstance(v, str), ""),
    "unknown choice": (lambda p, v: find_name(p) in CHOICES and v is not None, "nonsense"),
    "text for yes or no": (lambda p, v: isinstance(v, bool), "perhaps"),
    "list for a mapping": (lambda p, v: isinstance(v, dict), [1, 2]),
    "text for a mapping": (lambda p, v: isinstance(v, dict), "nonsense"),
    "mapping for a list": (lambda p, v: isinstance(v, list), {"value": 1}),
    "number for a list": (lambda p, v: isinstance(v, list), 3),
    "nested list": (lambda p, v: isinstance(v, list) and bool(v), [["deeper"]]),
    "empty list": (lambda p, v: isinstance(v, list) and p[-1] in NEVER_EMPTY, []),
}


def dump(data: Any) -> bytes:
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True).encode()


def make_replacement(kind: str, data: Any, rng: random.Random) -> Mutation | None:
    fits, value = REPLACEMENTS[kind]
    places = [path for path, node in walk(data) if fits(path, node)]
    if not places:
        return None
    path = rng.choice(places)
    dotted = ".".join(map(str, path))
    return Mutation(f"{kind} at {dotted}", dump(change(data, path, value)), dotted)


def make_missing(data: Any, rng: random.Random) -> Mutation:
    places = [p for p, _ in walk(data) if p[-1] in REQUIRED]
    path = rng.choice(places)
    dotted = ".".join(map(str, path))
    return Mutation(f"no {dotted}", dump(delete(data, path)), f"{dotted}: missing")


def make_unknown_key(data: Any, rng: random.Random) -> Mutation:
    places = [p for p, node in walk(data) if isinstance(node, dict) and p[-1] not in OPEN_MAPPINGS]
    path = (*rng.choice([(), *places]), "colour")
    dotted = ".".join(map(str, path))
    content = dump(change(data, path, "red"))
    return Mutation(f"unknown {dotted}", content, f"{dotted}: unknown key; allowed: ")


def make_bad_key(data: Any, rng: random.Random) -> Mutation:
    """A key that does not fit, in a mapping whose keys are the user's own."""
    places = [p for p, node in walk(data) if isinstance(node, dict) and p[-1] in OPEN_MAPPINGS]
    path = (*rng.choice(places), "colour")
    dotted = ".".join(map(str, path))
    return Mutation(f"bad key {dotted}", dump(change(data, path, "red")), f"{dotted}: ")


def make_duplicate(data: Any, rng: random.Random) -> Mutation:
    path: Place = rng.choice([("network", "dcs"), ("network", "stores"), ("skus",)])
    nodes = data[path[0]] if len(path) == 1 else data["network"][path[1]]
    name = rng.choice(nodes)["name"]
    content = dump(change(data, path, [*nodes, next(n for n in nodes if n["name"] == name)]))
    return Mutation(f"{name} twice", content, f"{path[0]}: name {name!r} is used twice")


def make_bad_reference(data: Any, rng: random.Random) -> Mutation:
    if rng.random() < 0.5:
        i = rng.randrange(len(data["skus"]))
        content = dump(change(data, ("skus", i, "category"), "nowhere"))
        return Mutation("unknown category", content, "skus: category 'nowhere' of ")
    i = rng.randrange(len(data["network"]["stores"]))
    content = dump(change(data, ("network", "stores", i, "parent"), "nowhere"))
    return Mutation("unknown parent", content, "network: parent 'nowhere' of ")


def make_bad_syntax(data: Any, rng: random.Random) -> Mutation:
    lines = dump(data).decode().splitlines()
    i = rng.randrange(1, len(lines))
    while not lines[i].split(":")[0].isidentifier():  # a key at the top, not within a folded text
        i -= 1
    broken = rng.choice(
        ["\tx: 1", "x: [1, 2", "x: 'open", "x: }", "x: @", "? - : [", "x: \0", "x: *y"]
    )
    lines.insert(i, broken)
    return Mutation(
        f"{broken!r} in line {i + 1}", "\n".join(lines).encode(), "not valid YAML at line"
    )


def make_bad_encoding(data: Any, rng: random.Random) -> Mutation:
    encoding = rng.choice(["latin-1", "utf-16", "utf-32"])
    text = dump(data | {"description": "café"}).decode()
    return Mutation(f"as {encoding}", text.encode(encoding), "(not UTF-8 text)")


def make_no_mapping(data: Any, rng: random.Random) -> Mutation:
    content, named = rng.choice(
        [
            (b"", "nothing found"),
            (dump([data]), "a list found"),
            (b"only words", "a str found"),
            (b"date: 2024-13-01", "not valid YAML (month must be"),
            (b"a: " + b"[" * 3000, "not valid YAML (nested too deeply)"),
            (b"horizon: " + b"9" * 5000, "not valid YAML (Exceeds the limit"),
        ]
    )
    return Mutation(f"{content[:20]!r}", content, named)


MAKERS: dict[str, Callable[[Any, random.Random], Mutation | None]] = {
    kind: lambda data, rng, kind=kind: make_replacement(kind, data, rng)  # type: ignore[misc]
    for kind in REPLACEMENTS
}
MAKERS |= {
    "missing": make_missing,
    "unknown key": make_unknown_key,
    "bad key": make_bad_key,
    "duplicate": make_duplicate,
    "bad reference": make_bad_reference,
    "bad syntax": make_bad_syntax,
    "bad encoding": make_bad_encoding,
    "no mapping": make_no_mapping,
}


def make_mutations(seed: int) -> Iterator[Mutation]:
    """Every scenario and every kind of mistake in turn, at places drawn from the seed."""
    rng = random.Random(seed)
    full = {name: load_scenario(name).model_dump(mode="json") for name in list_scenarios()}
    made = 0
    while made < NUM_FILES:
        for maker in MAKERS.values():
            mutation = maker(full[rng.choice(list(full))], rng)
            if mutation is not None and made < NUM_FILES:
                made += 1
                yield mutation


def check(path: Path, mutation: Mutation, capsys: pytest.CaptureFixture[str]) -> str | None:
    """Returns what is wrong with the answer to a broken file."""
    path.write_bytes(mutation.content)
    with pytest.raises(SystemExit) as stop:
        main()
    out, err = capsys.readouterr()
    one_line = err.startswith("error: ") and err.count("\n") == 1 and err.endswith("\n")
    if stop.value.code == 2 and not out and one_line and mutation.named in err:
        return None
    return f"{mutation.label}: wanted {mutation.named!r}, got {stop.value.code} {out}{err}"


def test_scenario_validate__refuses_mutations_in_one_line_that_names_the_field(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.yaml"
    monkeypatch.setattr(sys, "argv", ["omnichannel", "scenario", "validate", str(path)])
    wrong = [check(path, mutation, capsys) for mutation in make_mutations(seed=0)]
    assert len(wrong) == NUM_FILES
    assert not any(wrong), "\n".join(filter(None, wrong))
