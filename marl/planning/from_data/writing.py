"""A scenario and its trace as files: both whole, or neither."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

from envs.errors import InputError
from envs.omnichannel.scenario import load_scenario
from envs.omnichannel.world.demand.compact_file import SUFFIX, encode_compact
from envs.omnichannel.world.demand.recorded import Counts, RecordedDemand
from envs.omnichannel.world.demand.trace_file import MOST_TEXT_CELLS, MOST_TEXT_ROWS, encode_trace
from envs.omnichannel.world.simulator import Simulator
from marl.planning.from_data.section import Section
from marl.runs.files import replace_files

WIDTH = 100


_TEXT = ".csv.gz"


def name_trace(stem: str, units: Counts) -> str:
    """Returns the name of the trace file beside a scenario's: text, while that is not too large.

    Args:
        stem: of the scenario's file.
        units: of the record, (days, S, K, C).
    """
    days, stores, _, channels = units.shape
    rows = days * stores * (channels + 1)  # the last one says what was in stock
    is_large = units.size > MOST_TEXT_CELLS or rows > MOST_TEXT_ROWS
    return f"{stem}.demand{SUFFIX if is_large else _TEXT}"


def check_out(out: Path, *, force: bool) -> None:
    """Refuses a scenario file that cannot be written.

    Raises:
        InputError: names the file and what is allowed.
    """
    if out.suffix not in {".yaml", ".yml"}:
        raise InputError(f"--out: '{out}' is not allowed; a name that ends in .yaml is needed")
    if not out.parent.is_dir():
        raise InputError(f"--out: the folder '{out.parent}' does not exist; make it first")
    if out.is_dir():
        raise InputError(f"--out: '{out}' is a folder; the name of a file is needed")
    if out.exists() and not out.is_file():
        raise InputError(f"--out: '{out}' is a device or a pipe; the name of a file is needed")
    traces = [out.with_name(f"{out.stem}.demand{suffix}") for suffix in (_TEXT, SUFFIX)]
    if not force and any(path.exists() for path in (out, *traces)):
        raise InputError(f"--out: '{out}' exists; give another name, or --force to replace it")


def write_scenario(
    out: Path, trace_name: str, sections: Sequence[Section], recorded: RecordedDemand
) -> None:
    """Writes the scenario and its trace beside it, after loading both once.

    Args:
        out: the scenario's file.
        trace_name: of the trace's file, see `name_trace`.
        sections: of the scenario.
        recorded: that the trace holds.

    Raises:
        InputError: if the scenario is not valid or the folder cannot be written.
    """
    trace, text = out.with_name(trace_name), render(sections)
    records = encode_compact(recorded) if trace.suffix == SUFFIX else encode_trace(recorded)
    try:
        with tempfile.TemporaryDirectory(prefix="omnichannel-") as folder:
            draft = Path(folder, out.name)
            draft.write_text(text, encoding="utf-8")
            draft.with_name(trace.name).write_bytes(records)
            _check(draft, out)
        replace_files({trace.resolve(): records, out.resolve(): text})
    except OSError as error:
        raise InputError(f"--out: '{out}' cannot be written ({error.strerror})") from None


def _check(draft: Path, out: Path) -> None:
    """Loads and builds what was written; a refusal names the file that the user asked for."""
    try:
        Simulator(load_scenario(draft))
    except InputError as error:
        raise InputError(str(error).replace(str(draft), str(out))) from None


def render(sections: Sequence[Section]) -> str:
    """Returns the scenario's YAML; what is assumed stands above its field, marked so."""
    lines = [
        "# Made by omnichannel scenario from-data. What is ASSUMED is not in your files: put in",
        "# what you know, then check with: omnichannel scenario validate FILE",
    ]
    for section in sections:
        lines += [f"# {remark}" for remark in section.measured]
        lines += [f"# ASSUMED: {remark}" for remark in section.assumed]
        text = yaml.safe_dump(
            {section.name: section.value},
            sort_keys=False,
            allow_unicode=True,
            # None would put a mapping of nothing but one plain value in braces.
            default_flow_style=None if isinstance(section.value, dict | list) else False,
            width=WIDTH,
        )
        lines += text.splitlines()
    return "\n".join(lines) + "\n"
