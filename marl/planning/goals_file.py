"""The goals that high-level agents hold from day to day, in a small JSON file.

It keeps the goals of the last review and those before it, so that a day can be run twice: the
second time begins as the first one did.
"""

from __future__ import annotations

from pathlib import Path

from envs.untrusted import parse_object, read_text
from envs.validation import StrictModel, validate_model
from marl.planning.recommendation import Goals
from marl.runs.files import write_file


class GoalsFile(StrictModel):
    """The goals known, oldest first."""

    goals: list[Goals]


def read_goals(path: Path, day: int) -> Goals | None:
    """Returns the latest goals from before the day; None where the file is not there yet.

    Raises:
        InputError: if it is not such a file.
    """
    try:
        path.stat()
    except FileNotFoundError:
        return None
    except OSError:
        pass  # links in a circle: reading says so, before orders are written
    data = parse_object(read_text(path, "--goals"), f"--goals: '{path}'")
    known = validate_model(GoalsFile, data, str(path)).goals
    return max((g for g in known if g.day < day), key=lambda g: g.day, default=None)


def write_goals(path: Path, before: Goals | None, after: Goals) -> None:
    """Writes today's goals and those that today began with."""
    known = [after] if before is None or before.day == after.day else [before, after]
    write_file(path, GoalsFile(goals=known).model_dump_json(indent=2), "--goals")
