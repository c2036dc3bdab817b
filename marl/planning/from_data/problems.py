"""Problems of a user's files, and their cures."""

from __future__ import annotations

from dataclasses import dataclass, field

from envs.errors import InputError


@dataclass(frozen=True)
class Problem:
    """Cells of one file with the same kind of mistake."""

    file: str
    line: int  # of the first of them, counted from 1 with the header
    column: str
    message: str  # about the first of them: the value, and what is allowed
    count: int = 1
    fix: str | None = None  # what --fix does about it; None: nothing
    place: str = "line"  # what a row of the file is called

    def __str__(self) -> str:
        return f"{self.file}, {self.place} {self.line}, column {self.column}: {self.message}"


@dataclass
class Findings:
    """All problems met so far; those that `fix` cures become a report, the others a refusal."""

    fix: bool
    fixed: list[Problem] = field(default_factory=list)
    _open: list[Problem] = field(default_factory=list)

    def add(self, problem: Problem) -> None:
        """Takes down a problem; under `fix` the caller cures what has a cure."""
        if self.fix and problem.fix is not None:
            self.fixed.append(problem)
        else:
            self._open.append(problem)

    def cure(self, problem: Problem) -> None:
        """Takes down what the file's layout cures without being asked to."""
        self.fixed.append(problem)

    def check(self) -> None:
        """Ends the work if a problem is open.

        Raises:
            InputError: one line: file, line and column of the first problem, and how many more.
        """
        if not self._open:
            return
        files = list(dict.fromkeys(problem.file for problem in self._open))
        first = min(self._open, key=lambda problem: (files.index(problem.file), problem.line))
        total = sum(problem.count for problem in self._open)
        more = f" (and {total - 1} more)" if total > 1 else ""
        curable = all(problem.fix for problem in self._open)
        hint = f"; --fix: {first.fix}" if curable else ""
        raise InputError(f"{first}{more}{hint}")
