"""Columns that are read: dates and numbers, a few different ones in millions of rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

from envs.omnichannel.types import FloatArray
from envs.omnichannel.world.demand.recorded import Counts
from marl.planning.from_data.texts import Rows


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """A column of numbers: the few that are different, and which of them each row has."""

    values: FloatArray  # (values,)
    codes: Counts  # (rows,)

    @property
    def rows(self) -> FloatArray:
        """The number of each row, (rows,)."""
        return self.values[self.codes]

    def select(self, rows: Rows) -> Numbers:
        """Returns the numbers of some rows."""
        return self if isinstance(rows, range) else replace(self, codes=self.codes[rows])


@dataclass(frozen=True, kw_only=True)
class Dates:
    """A column of dates."""

    days: Counts  # (rows,) since 1970-01-01; `NO_DATE` where none is
    form: str  # that most of them have
    has_times: bool  # of day
    zones: frozenset[str]  # that the times name
