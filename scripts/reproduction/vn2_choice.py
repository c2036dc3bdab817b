"""Chooses an ordering rule by its cost on windows that end before the origin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from scripts.reproduction.vn2_files import Contest
from scripts.reproduction.vn2_protocol import WEEKS, OrderRule, compute_score, replay

RuleT = TypeVar("RuleT", bound=OrderRule)
STEP = 6  # weeks from window to window: their scored weeks do not overlap
CHOICE_WINDOWS = 8
LEAST_KNOWN = 60  # weeks of the shortest history: each week of the year was there once


def cut(contest: Contest, known_weeks: int) -> Contest:
    """Returns what is known at an origin: no week after it is there."""
    return replace(
        contest,
        sold=contest.sold[:, :known_weeks],
        in_stock=contest.in_stock[:, :known_weeks],
    )


def list_windows(last: int, most: int, step: int = STEP) -> list[int]:
    """Returns the known weeks of rolling windows, latest first; the last one is `last`."""
    return [*range(last, LEAST_KNOWN - 1, -step)][:most]


class Chooser:
    """Scores rules on rolling windows, and remembers each score.

    A window's score depends on the weeks to its end alone, so it serves every later origin.
    """

    def __init__(self) -> None:
        self._scores: dict[tuple[OrderRule, int], float] = {}

    def choose(self, rules: Sequence[RuleT], past: Contest, windows: int = CHOICE_WINDOWS) -> RuleT:
        """Returns the rule with the least cost in the last windows of `past`.

        Each window counts by its cost over the mean cost of all rules in it, so that weeks before
        Christmas do not decide alone.

        Args:
            rules: hashable ones; the first wins a tie, and where no window fits.
            past: the weeks to the origin, and nothing later.
            windows: at most so many count, the latest.
        """
        origins = list_windows(past.sold.shape[1] - WEEKS, windows)
        if not origins:
            return rules[0]
        costs = np.array([[self._score(rule, past, known) for known in origins] for rule in rules])
        return rules[int((costs / costs.mean(0)).mean(1).argmin())]

    def _score(self, rule: OrderRule, past: Contest, known: int) -> float:
        key = (rule, known)
        if key not in self._scores:
            self._scores[key] = compute_score(replay(past, known, rule))
        return self._scores[key]
