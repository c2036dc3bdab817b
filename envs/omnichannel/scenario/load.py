"""Scenarios by name or path, with the files that they name."""

from __future__ import annotations

import hashlib
import os
from contextvars import ContextVar
from importlib import resources
from pathlib import Path

from envs.errors import InputError
from envs.omnichannel.scenario.demand import Trace
from envs.omnichannel.scenario.scenario import Scenario
from envs.omnichannel.scenario.start_file import read_start
from envs.untrusted import MOST_TABLE, read_bytes, read_text
from envs.validation import parse_yaml, validate_model

# Whether the scenarios loaded from now on may name a trace outside of their own folder.
outside_allowed = ContextVar("outside_allowed", default=False)


def list_scenarios() -> list[str]:
    """Names of the built-in scenarios, sorted."""
    folder = resources.files("envs.omnichannel") / "scenarios"
    return sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith("yaml"))


def load_scenario(name_or_path: str | Path) -> Scenario:
    """Reads a built-in scenario by name, or a YAML file by path.

    Raises:
        InputError: if there is no such scenario or file, or a value in it is not allowed.
    """
    text = str(name_or_path)
    if text in list_scenarios():
        source = resources.files("envs.omnichannel") / "scenarios" / f"{text}.yaml"
        content = source.read_text(encoding="utf-8")
        return validate_model(Scenario, parse_yaml(content, text), text)
    path = Path(text)
    if path.suffix not in {".yaml", ".yml"}:
        raise InputError(
            f"scenario: {text!r} is not known; allowed: {', '.join(list_scenarios())}, "
            "or the path of a .yaml file"
        )
    content = read_text(path, "scenario")
    scenario = validate_model(Scenario, parse_yaml(content, text), text)
    return _find_trace(_fill_start(scenario, path), path)


def _fill_start(scenario: Scenario, path: Path) -> Scenario:
    """The scenario with what its start state's file says in place of the file."""
    if scenario.start is None or scenario.start.file is None:
        return scenario
    name = scenario.start.file
    given, inside = path.parent / name, None if outside_allowed.get() else path.parent
    found = read_start(given, scenario.node_names, scenario.sku_names, inside, name)
    return scenario.model_copy(update={"start": found})


def _find_trace(scenario: Scenario, path: Path) -> Scenario:
    """The scenario with its trace file as an absolute path, and with the digest of its bytes."""
    trace = scenario.demand
    if not isinstance(trace, Trace) or trace.file is None:
        return scenario
    field, given = f"{path}: demand.file", path.parent / trace.file
    if not os.path.lexists(given):
        raise InputError(
            f"{field}: '{trace.file}' does not exist; give a path relative to the scenario's file"
        )
    inside = None if outside_allowed.get() else path.parent
    content = read_bytes(given, field, MOST_TABLE, inside, trace.file)
    file, digest = given.resolve(), hashlib.sha256(content).hexdigest()[:16]
    if trace.digest not in {None, digest}:
        raise InputError(
            f"{path}: demand.digest: {trace.digest!r} is not allowed; '{trace.file}' has {digest} "
            "(the file has changed)"
        )
    found = trace.model_copy(update={"file": str(file), "digest": digest})
    return scenario.model_copy(update={"demand": found})
