"""Which rules `textbook`, `best` and `learned` choose from."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from scripts.reproduction.vn2_boost import can_boost
from scripts.reproduction.vn2_choice import Chooser
from scripts.reproduction.vn2_files import Contest
from scripts.reproduction.vn2_forecast import Forecaster
from scripts.reproduction.vn2_learned import learn
from scripts.reproduction.vn2_paths import PathRule, Spread
from scripts.reproduction.vn2_protocol import OrderRule
from scripts.reproduction.vn2_rules import SafetyStock

# The first of each list is taken where no window fits before the origin.
TEXTBOOK = [SafetyStock(z, window) for window in (26, 13, 52) for z in (0.2, 0.0, 0.1, 0.4, 0.97)]
SPREADS = [
    Spread(excess=excess, cv=cv, level_cv=level_cv)
    for excess, cv, level_cv in (
        (1.0, 0.0, 0.25),
        (1.0, 0.0, 0.0),
        (1.3, 0.2, 0.2),
        (1.3, 0.3, 0.3),
    )
]
RATIOS = (0.75, 0.7, 0.8, 0.8333)  # the last is 1 / (1 + holding cost)
WEIGHTS = (0.5, 0.0, 1.0)  # of the learnt correction


def choose_textbook(past: Contest, chooser: Chooser) -> SafetyStock:
    """Returns the plain rule with its own window and safety factor."""
    return chooser.choose(TEXTBOOK, past)


def choose_path_rule(past: Contest, chooser: Chooser, forecaster: Forecaster) -> PathRule:
    """Returns the rule by sample paths: first its forecast is chosen, then spread and quantile."""
    weights = WEIGHTS if can_boost() else (0.0,)
    rules = [
        PathRule(forecaster=forecaster, correction=weight, spread=SPREADS[0], ratio=RATIOS[0])
        for weight in weights
    ]
    chosen = chooser.choose(rules, past)
    pairs = product(SPREADS, RATIOS)
    return chooser.choose([replace(chosen, spread=s, ratio=r) for s, r in pairs], past)


def choose_best(past: Contest, chooser: Chooser, forecaster: Forecaster) -> OrderRule:
    """Returns the best of all rules on the windows before the origin."""
    paths, textbook = choose_path_rule(past, chooser, forecaster), choose_textbook(past, chooser)
    rules: list[OrderRule] = [paths, textbook]
    return chooser.choose(rules, past)


def learn_beside_best(past: Contest, chooser: Chooser, forecaster: Forecaster) -> OrderRule:
    """Returns what was learnt beside the rule by sample paths."""
    return learn(past, choose_path_rule(past, chooser, forecaster), chooser)
