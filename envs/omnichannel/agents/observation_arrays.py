"""The arrays that observations are made of, as compiled loops take them."""

from __future__ import annotations

from typing import NamedTuple

from envs.omnichannel.types import FloatArray, IntArray


class Rows(NamedTuple):
    """What is constant, by row."""

    parent: IntArray  # (S,)
    upper: IntArray  # (R,) of a store its DC's row, else the row itself
    lead_time: FloatArray  # (R,) periods
    base: FloatArray  # (R, K) mean demand, units a period


class Units(NamedTuple):
    """What loops read of a view, without gaps, and the inventory positions by row."""

    on_hand: IntArray
    in_transit: IntArray
    in_inspection: IntArray
    backorders: IntArray
    returns_due: IntArray
    shelf: IntArray
    last_demand: IntArray
    forecast: FloatArray
    smoothed: FloatArray
    positions: IntArray  # (B, R, K)


class Context(NamedTuple):
    """What a period's features tell besides stock, orders and forecasts."""

    season: FloatArray  # (B, K) of the day
    season_ahead: FloatArray  # (B, K) of the same day a week on
    to_review: FloatArray  # (B,) share of the review period until the next one
    cuts: FloatArray  # (B, R, 0 or 2) announced supply cuts
    spread: FloatArray  # (B, R, K, 0 or 5) how demand scatters
    held: IntArray  # (B, M, K) options that the high-level modules hold


class Shown(NamedTuple):
    """Where goals and cuts are shown, and what is shown of an option that is held."""

    # (G,) place among `observation_kernels.BY_SKU`; goals of further decisions come after those.
    goal: IntArray
    module: IntArray  # (G,) whose options it tells, an index of `Context.held`
    value: FloatArray  # (G, L) by option
    first_cut: int  # column; goals of further decisions come before the cuts
