"""A policy that learns, on windows before the origin, how far to order beside the best rule.

A small network shifts the rule's order-up-to level by so many standard deviations. It is trained
by pathwise gradients: costs are differentiated through the protocol itself, whose rounding passes
gradients on unchanged. The shift is regularised towards none, and its size is chosen on the last
windows before the origin, which the network has not seen; none is among the choices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from envs.omnichannel.types import FloatArray
from scripts.reproduction.vn2_choice import Chooser, list_windows
from scripts.reproduction.vn2_files import Contest
from scripts.reproduction.vn2_paths import PathRule
from scripts.reproduction.vn2_protocol import HOLDING, ORDERS, SHORTAGE, WEEKS, Known, replay

if TYPE_CHECKING:
    from torch import Tensor, nn

VALIDATION = 4  # windows that choose the size of the shifts
TAUGHT_STEP = 2  # weeks from one window of the training to the next
LEAST_TAUGHT = 10  # windows, for a training
STEPS, RATE, HIDDEN = 100, 0.01, 16
MOST_SHIFT = 0.5  # standard deviations
TIGHTNESS = 1.0  # of the regularisation, in costs of the rule for a shift of one deviation
SIZES = (0.5, 1.0)  # of the shifts that were learnt; the rule itself is the third choice


@dataclass(frozen=True, kw_only=True)
class Window:
    """What the rule saw and wanted in a window, and the demand that came."""

    features: FloatArray  # (6, N, F)
    levels: FloatArray  # (6, N) order-up-to levels of the inventory position, units
    deviations: FloatArray  # (6, N) units
    demand: FloatArray  # (8, N) units
    on_hand: FloatArray  # (N,) units at the origin
    coming: FloatArray  # (N, 2) units


@dataclass(frozen=True, kw_only=True, eq=False)
class LearnedRule:
    """The rule's order, shifted by the network."""

    rule: PathRule
    network: nn.Module
    size: float

    def __call__(self, known: Known) -> FloatArray:
        """Returns whole units, (N,)."""
        import torch

        with torch.no_grad():
            inputs = torch.as_tensor(describe(known, self.rule), dtype=torch.float32)
            shift = MOST_SHIFT * self.size * self.network(inputs)[:, 0].numpy()
        missing = self.rule.find_missing(known) + shift * find_deviation(known, self.rule)
        return np.rint(np.maximum(missing, 0)).astype(np.float64)


def learn(past: Contest, rule: PathRule, chooser: Chooser) -> PathRule | LearnedRule:
    """Returns the learnt policy, or the rule itself where there are too few windows to learn.

    Args:
        past: the weeks to the origin, and nothing later.
        rule: the best one, chosen on windows before the origin.
        chooser: scores the sizes of the shifts.
    """
    last = past.sold.shape[1] - WEEKS
    unseen = list_windows(last, VALIDATION)
    taught = list_windows(unseen[-1] - WEEKS, 1000, TAUGHT_STEP) if unseen else []
    if len(taught) < LEAST_TAUGHT:
        return rule
    network = train([record(past, known, rule) for known in taught])
    learned = [LearnedRule(rule=rule, network=network, size=size) for size in SIZES]
    rules: list[PathRule | LearnedRule] = [rule, *learned]
    return chooser.choose(rules, past, windows=VALIDATION)


def describe(known: Known, rule: PathRule) -> FloatArray:
    """Returns what the network sees of each pair, (N, 13), about 1 in size.

    It is how fast the pair sells, whether its season rises, what the correction says, which of the
    six orders it is, the recent weeks over the forecast, the noise and the share of zero weeks.
    """
    outlook = rule.forecaster.look(known)
    means = rule.forecaster.forecast(known, rule.correction)
    total = np.maximum(means.sum(1), 0.05)
    order = known.sold.shape[1] - known.in_stock.shape[1]
    columns = [
        np.log(total),
        np.log(np.maximum(means[:, 2], 0.02) * 3 / total),
        np.log(total / np.maximum(outlook.means.sum(1), 0.05)),
        np.full(len(total), order / (ORDERS - 1) - 0.5),
        *outlook.features[:, :7].T,
        outlook.features[:, 8] - 1,
        outlook.features[:, 9] - 0.5,
    ]
    return np.clip(np.stack(columns, 1), -3, 3)


def find_deviation(known: Known, rule: PathRule) -> FloatArray:
    """Returns the standard deviation of Poisson demand to the week of arrival, units, (N,)."""
    return np.sqrt(rule.forecaster.forecast(known, rule.correction).sum(1))


def record(past: Contest, known_weeks: int, rule: PathRule) -> Window:
    """Returns a window as the rule goes through it."""
    features, levels, deviations = [], [], []

    def order(known: Known) -> FloatArray:
        missing = rule.find_missing(known)
        features.append(describe(known, rule))
        levels.append(known.position + missing)
        deviations.append(find_deviation(known, rule))
        return np.maximum(missing, 0)

    replay(past, known_weeks, order)
    return Window(
        features=np.stack(features),
        levels=np.stack(levels),
        deviations=np.stack(deviations),
        demand=past.sold[:, known_weeks : known_weeks + WEEKS].T,
        on_hand=past.on_hand,
        coming=past.coming,
    )


def train(windows: Sequence[Window]) -> nn.Module:
    """Returns the network that costs least in the windows, tied to the rule."""
    import torch

    torch.set_num_threads(1)  # the same digits on every machine
    features, levels, deviations, demand = (
        torch.as_tensor(np.stack([getattr(w, name) for w in windows]), dtype=torch.float32)
        for name in ("features", "levels", "deviations", "demand")
    )
    stock = (windows[0].on_hand, *windows[0].coming.T)
    start = [torch.as_tensor(units, dtype=torch.float32) for units in stock]
    network = make_network(features.shape[-1])
    reference = simulate(levels, demand, start)
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    for _ in range(STEPS):
        shift = MOST_SHIFT * network(features)[..., 0]
        costs = simulate(levels + shift * deviations, demand, start)
        loss = (costs / reference).mean() + TIGHTNESS * shift.square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network


def make_network(inputs: int) -> nn.Module:
    """Returns a network that shifts nothing yet; its output is between -1 and 1."""
    import torch
    from torch import nn

    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, last = nn.Linear(inputs, HIDDEN), nn.Linear(HIDDEN, 1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(first, nn.Tanh(), last, nn.Tanh())


def simulate(levels: Tensor, demand: Tensor, start: Sequence[Tensor]) -> Tensor:
    """Returns the scores of orders up to given levels, (W,), differentiable.

    Args:
        levels: of the position, units, (W, 6, N).
        demand: units, (W, 8, N).
        start: units on hand, arriving in the next week and in the one after it, (N,) each.
    """
    import torch

    on_hand, *pipeline = (units.expand(len(levels), -1) for units in start)
    costs = torch.zeros(len(levels))
    for week in range(WEEKS):
        if week < ORDERS:
            order = torch.relu(levels[:, week] - on_hand - pipeline[0] - pipeline[1])
            pipeline.append(order + (order.round() - order).detach())
        else:
            pipeline.append(torch.zeros_like(on_hand))
        stock, wanted = on_hand + pipeline.pop(0), demand[:, week]
        on_hand = torch.relu(stock - wanted)
        if week >= WEEKS - ORDERS:
            costs = costs + HOLDING * on_hand.sum(1) + SHORTAGE * torch.relu(wanted - stock).sum(1)
    return costs
