"""The packer: what a load of so many units holds. Rules and agents share it.

A load is filled on continuous gaps first and rounded last, jointly (`make_feasible`), so that the
units of m full trucks pay for m trucks.
"""

from __future__ import annotations

import numpy as np

from envs.omnichannel.types import FloatArray


def fill_to_total(gap: FloatArray, rate: FloatArray, total: FloatArray) -> FloatArray:
    """Moves all gaps by the same number of days, so that what is sent comes to `total`.

    The days x solve sum(max(gap + x rate, 0)) = total: what is added or left out is an equal cover
    for all that is sent. This is water filling: the left side is piecewise linear in x, and bends
    where a gap becomes positive.

    Args:
        gap: order-up-to target - inventory position, units, signed, (..., G).
        rate: units a day, > 0, (..., G).
        total: units to send, (...), >= 0; 0 sends nothing.

    Returns:
        Gaps, signed, (..., G); those above zero sum to `total`.
    """
    bend = -gap / rate  # the days from which on an entry is sent
    order = np.argsort(bend, axis=-1)
    rates = np.cumsum(np.take_along_axis(rate, order, -1), axis=-1)
    gaps = np.cumsum(np.take_along_axis(gap, order, -1), axis=-1)
    bends = np.take_along_axis(bend, order, -1)
    sent_at_bend = gaps + bends * rates  # by the entries up to this one
    entries = np.maximum((sent_at_bend < total[..., None]).sum(axis=-1, keepdims=True), 1)
    last = entries - 1
    days = (total[..., None] - np.take_along_axis(gaps, last, -1)) / np.take_along_axis(
        rates, last, -1
    )
    return np.where(total[..., None] > 0, gap + days * rate, np.minimum(gap, 0))


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
