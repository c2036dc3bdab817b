"""Which days are held back for the back-test, and how long its episodes are."""

from __future__ import annotations

from datetime import date

from envs.errors import InputError
from envs.omnichannel.world.demand.traces import count_least_known
from marl.planning.from_data.dataset import DemandRecords

FEWEST_TRAIN = 14  # days or weeks
LONGEST_HORIZON = {"day": 84, "week": 26}
_SHARE = 0.2  # of the record


def choose_train_days(demand: DemandRecords, held_back: str | None) -> int:
    """Returns the number of training days, or weeks of a record of weeks.

    Args:
        demand: the record.
        held_back: `30`, `30 days`, or the first held-back day as YYYY-MM-DD; `0`: none; None: the
            last fifth.

    Raises:
        InputError: if too little is left on either side.
    """
    days = demand.num_days
    if held_back is None:
        return days - _count_default(demand)
    words = held_back.split()
    units: list[list[str]] = [[], [demand.period], [f"{demand.period}s"]]
    if words and words[0].isascii() and words[0].isdecimal() and words[1:] in units:
        train = days - int(words[0])
    else:
        train = _count_before(demand, held_back)
    least = count_least_known(demand.cycle)
    if train != days and not FEWEST_TRAIN <= train <= days - least:
        raise InputError(
            f"--held-back: {held_back!r} leaves {train} of {days} {demand.period}s to train on; "
            f"{FEWEST_TRAIN} to {days - least}, or all {days}, are allowed"
        )
    return train


def choose_horizon(demand: DemandRecords, train_days: int) -> int:
    """Returns the length of an episode: four fifths of the held-back days, in whole weeks.

    Where nothing is held back, it is what it would be by default.
    """
    held_back = demand.num_days - train_days or _count_default(demand)
    longest = min(held_back * 4 // 5, train_days - count_least_known(demand.cycle))
    weeks = max(longest // demand.cycle, 1)
    return min(weeks * demand.cycle, LONGEST_HORIZON[demand.period])


def _count_default(demand: DemandRecords) -> int:
    return max(round(_SHARE * demand.num_days), count_least_known(demand.cycle))


def _count_before(demand: DemandRecords, text: str) -> int:
    try:
        return (date.fromisoformat(text) - demand.first_day).days // demand.step
    except ValueError:
        raise InputError(
            f"--held-back: {text!r} is not allowed; a number of {demand.period}s or a date "
            "YYYY-MM-DD is needed"
        ) from None
