"""The updates from branches: regression of savings, and Q-learning on all orders at once."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from marl.config import Learner
from marl.learning.trainee import Losses, Networks, Single, Trainee, clip_single

_BASELINE_RATE = 0.02  # of the running mean of the targets


def make_trainee(name: str, network: nn.Module, settings: Learner, *, bootstraps: bool) -> Trainee:
    """Returns a network that learns by itself, with a slow copy where it bootstraps."""
    slow = Single(copy.deepcopy(network).requires_grad_(False)) if bootstraps else None
    places = {name: ...}
    return Trainee(Single(network), slow, places=places, settings=settings, clip=clip_single)


def compute_saving_losses(
    online: Networks, features: Tensor, savings: Tensor, settings: Learner
) -> Losses:
    """Returns losses of option values against labels, both centred over the options.

    Only differences between options matter, and centring takes the part of a label's noise that all
    options of a recorded state share. All of them are labelled, so nothing is bootstrapped: an
    update is a step of policy improvement over the branches' continuation.

    Source: regression of labels from branches under common random numbers, as in hindsight
    learning (Sinclair et al. 2023).

    Args:
        online: the network of a choice.
        features: (N, K, F) of joint choices, else (N, F).
        savings: of every option, (N, A).
        settings: of the learner.
    """
    assert savings.dim() == 2, "(N, A)"
    assert features.shape[0] == savings.shape[0], "N"
    target = savings - savings.mean(dim=-1, keepdim=True)
    values = online(features)
    values = values - values.mean(dim=-1, keepdim=True)
    total = functional.huber_loss(values, target, delta=settings.huber_threshold)
    return Losses(total=total, errors=(values.detach() - target).abs().mean().view(1, 1))


def compute_order_losses(
    online: Networks,
    slow: Networks,
    features: Tensor,
    returns: Tensor,
    *,
    settings: Learner,
    focus: float,
    baseline: float,
    number: int,
) -> Losses:
    """Returns losses of all orders of recorded states against their branches' returns.

    target(a) = n-step return of branch a + gamma^n max Q(what is seen at its end) - baseline

    Source: the maximum is chosen by the online network and valued by the slow one (double DQN, van
    Hasselt et al. 2016). The baseline is the running mean of the targets, so that values stay
    around zero whatever the mean cost is (relative value iteration, Abounadi et al. 2001). It
    changes no difference between orders.

    Args:
        online: the network of a group.
        slow: its slow copy.
        features: units seen now and after each order, (N, 1 + A, D).
        returns: of the branches, (N, A).
        settings: of the learner.
        focus: orders this much worse than the best count half.
        baseline: before this update.
        number: of this update, from 1.
    """
    assert returns.dim() == 2, "(N, A)"
    assert features.dim() == 3, "(N, 1 + A, D)"
    assert features.shape[1] == returns.shape[1] + 1, "now, and after each order"
    with torch.no_grad():
        seen = features[:, 1:]
        slow_values = slow(seen)  # (N, A, A)
        chooser = online(seen) if settings.double else slow_values
        best = slow_values.gather(-1, chooser.argmax(dim=-1, keepdim=True)).squeeze(-1)
        target = returns + settings.gamma**settings.n_step * best
        rate = max(_BASELINE_RATE, 1 / number)
        baseline += rate * (float(target.mean()) - baseline)
        target -= baseline
    values = online(features[:, 0])
    losses = functional.huber_loss(values, target, reduction="none", delta=settings.huber_threshold)
    return Losses(
        total=(weigh_orders(values.detach(), focus) * losses).mean(),
        errors=(values.detach() - target).abs().mean().view(1, 1),
        baseline=baseline,
    )


def weigh_orders(values: Tensor, focus: float) -> Tensor:
    """Returns how much each order counts, (N, A): half as much where it is `focus` below the best.

    Orders far from the best have large values, which would take most of the network's capacity.
    An order's weight does not depend on its own target's noise, so no value is biased.
    """
    below = values.max(dim=-1, keepdim=True).values - values
    return 1 / (1 + (below / focus) ** 2)
