"""Records of sales: what was sold since the last morning, and the names of its axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from envs.omnichannel.types import BoolArray, IntArray
from marl.planning.from_data.problems import Problem


@dataclass(frozen=True, kw_only=True)
class Names:
    """What the axes of recorded demand stand for."""

    stores: Sequence[str]
    skus: Sequence[str]
    channels: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Sales:
    """Units sold on consecutive days; a store and SKU without a row sold nothing."""

    first_day: date
    units: IntArray  # (D, S, K, C)
    in_stock: BoolArray  # (D, S, K)
    reported: BoolArray  # (D, S) whether the store has a row
    rows: int  # that were counted
    skipped: int  # rows of days that were known already
    unknown: int  # rows of stores and SKUs that the scenario does not have
    fixed: list[Problem]
