"""The packer: what a load of so many units holds. Rules and agents share it.

A load is filled on continuous gaps first and rounded last, jointly (`make_feasible`), so that the
units of m full trucks pay for m trucks.
"""

from __future__ import annotations

import numpy as np

from envs.compiler import compiled
from envs.omnichannel.types import FloatArray


def fill_to_total(gap: FloatArray, rate: FloatArray, total: FloatArray) -> FloatArray:
    """Moves all gaps by the same number of days, so that what is sent comes to `total`.

    The days x solve sum(max(gap + x rate, 0)) = total: what is added or left out is an equal cover
    for all that is sent. This is water filling: the left side is convex and piecewise linear in x,
    and bends where a gap becomes positive.

    Args:
        gap: order-up-to target - inventory position, units, signed, (..., G).
        rate: units a day, > 0, (..., G).
        total: units to send, (...), >= 0; 0 sends nothing.

    Returns:
        Gaps, signed, (..., G); those above zero sum to `total`.
    """
    groups = gap.shape[-1]
    filled = np.empty(gap.shape)
    _fill_rows(
        np.ascontiguousarray(gap, np.float64).reshape(-1, groups),
        np.ascontiguousarray(rate, np.float64).reshape(-1, groups),
        np.ascontiguousarray(total, np.float64).reshape(-1),
        filled.reshape(-1, groups),
    )
    return filled


def limit_total(gap: FloatArray, rate: FloatArray, most: FloatArray) -> FloatArray:
    """Lowers the gaps to equal cover where they ask for more than `most`, else leaves them.

    Args:
        gap: units, signed, (..., G).
        rate: units a day, > 0, (..., G).
        most: units that can be sent, (...), >= 0.
    """
    wanted = np.maximum(gap, 0).sum(axis=-1)
    over = wanted > most
    if not over.any():
        return gap
    limited = gap.copy()
    limited[over] = fill_to_total(gap[over], rate[over], most[over])
    return limited


@compiled
def _fill_rows(gap: FloatArray, rate: FloatArray, total: FloatArray, filled: FloatArray) -> None:
    """Solves each row for its days by Newton's method, which is exact after at most G steps.

    With all entries the line lies below the convex left side, so the first days are too many; each
    step then drops the entries that are not sent, until none is.

    Args:
        gap: units, signed, (R, G).
        rate: units a day, > 0, (R, G).
        total: units to send, (R,).
        filled: gaps, (R, G), written in place.
    """
    rows, groups = gap.shape
    for row in range(rows):
        if total[row] <= 0:
            for g in range(groups):
                filled[row, g] = min(gap[row, g], 0.0)
            continue
        days, sent = np.inf, groups + 1
        while True:
            gaps, rates, count = 0.0, 0.0, 0
            for g in range(groups):
                if gap[row, g] + days * rate[row, g] > 0:
                    gaps += gap[row, g]
                    rates += rate[row, g]
                    count += 1
            if count in (0, sent):
                break
            fewer, sent = (total[row] - gaps) / rates, count
            # An entry that is sent zero units may come and go with the last digit of the days.
            if fewer >= days:
                break
            days = fewer
        for g in range(groups):
            filled[row, g] = gap[row, g] + days * rate[row, g]
