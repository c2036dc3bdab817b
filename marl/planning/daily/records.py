"""Records of sales: what was sold since the last morning, and the names of its axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from envs.omnichannel.types import BoolArray, IntArray
from marl.planning.from_data.problems import Problem

if TYPE_CHECKING:  # it brings pandas, which orders need not wait for
    from marl.planning.from_data.reader import Reader


@dataclass(frozen=True, kw_only=True)
class Names:
    """What the axes of recorded demand stand for."""

    stores: Sequence[str]
    skus: Sequence[str]
    channels: Sequence[str]
    carried: BoolArray | None = None  # (S, K) what stores carry; None: everything


@dataclass(frozen=True, kw_only=True)
class Sales:
    """Units sold on consecutive days; a store and SKU without a row sold nothing."""

    first_day: date
    units: IntArray  # (D, S, K, C)
    in_stock: BoolArray  # (D, S, K)
    reported: BoolArray  # (D, S) whether the store has a row
    rows: int  # that were counted
    returned: float  # units that came back, in rows below zero
    skipped: int  # rows of days that were known already
    unknown: int  # rows of stores, SKUs and pairs of them that the scenario does not have
    fixed: list[Problem]
    replaced: int = 0  # days that were known already, and are learnt anew


def find_names(reader: Reader, column: str, known: Sequence[str]) -> IntArray:
    """Returns each row's position among the known names; -1 where it is none of them."""
    values, codes = reader.names(column)
    position = {name: i for i, name in enumerate(known)}
    return np.array([position.get(value, -1) for value in values], np.int64)[codes]
