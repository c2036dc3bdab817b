"""The update of the 34 agents: double DQN on n-step returns, all modules in one product."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from marl.config import Learner
from marl.learning.dqn.network import QNetwork, StackedQNetworks
from marl.learning.pool.experience_pool import Batch
from marl.learning.trainee import Losses, Networks, Trainee


def make_trainee(networks: Mapping[str, QNetwork], settings: Learner) -> Trainee:
    """Stacks the networks of all modules, which have one shape, so that they learn as one.

    Everything is summed by module, so the result is that of separate learners: the loss, the
    gradient's norm that is clipped, and Adam, which works by element.
    """
    slow = [copy.deepcopy(network).requires_grad_(False) for network in networks.values()]
    online = StackedQNetworks(list(networks.values()), trainable=True)
    return Trainee(
        online,
        StackedQNetworks(slow, trainable=False),
        places=dict(zip(networks, online.places, strict=True)),
        settings=settings,
        clip=clip_stacked,
        fused=True,
    )


def compute_losses(
    online: Networks, slow: Networks, batch: Batch, update: int, settings: Learner
) -> Losses:
    """Returns the Huber losses of temporal differences.

    Source: van Hasselt et al. 2016 (double DQN), target of section "Double DQN"; eq. 5 and 7 of the
    paper; on n-step returns (Sutton & Barto 2018, eq. 7.1), which the pool has summed.

    Args:
        online: of M modules or agents.
        slow: of the same.
        batch: transitions of U updates.
        update: which of them.
        settings: of the learner.
    """
    obs_tm1 = torch.from_numpy(batch.obs_tm1[update]).float()
    obs_t = torch.from_numpy(batch.obs_t[update]).float()
    a_tm1, r_t = torch.from_numpy(batch.a_tm1[update]), torch.from_numpy(batch.r_t[update])
    discount_t = torch.from_numpy(batch.discount_t[update])
    assert obs_tm1.dim() == obs_t.dim() == 3, "(M, N, F)"
    assert a_tm1.shape == r_t.shape == discount_t.shape == obs_t.shape[:2], "(M, N)"
    with torch.no_grad():
        slow_q_t = selector_q_t = slow(obs_t)
        if settings.double:
            selector_q_t = online(obs_t)
        target = r_t + discount_t * take(slow_q_t, selector_q_t.argmax(dim=-1))
    q_a_tm1 = take(online(obs_tm1), a_tm1)
    losses = functional.huber_loss(
        q_a_tm1, target, reduction="none", delta=settings.huber_threshold
    )
    if batch.weight is not None:
        losses = torch.from_numpy(batch.weight[update]) * losses
    errors = (target - q_a_tm1.detach()).abs()
    return Losses(total=losses.sum() / r_t.shape[1], errors=errors)


def take(values: Tensor, action: Tensor) -> Tensor:
    """Returns the values of one action, (M, N), of all, (M, N, A); actions are (M, N)."""
    return values.gather(-1, action[..., None]).squeeze(-1)


def clip_stacked(parameters: list[Tensor], most: float) -> None:
    """Scales the gradient of each of the stacked networks to a norm of at most `most`."""
    grads = [p.grad for p in parameters if p.grad is not None]
    squares = torch.stack([g.flatten(1).square().sum(dim=1) for g in grads])  # (P, M)
    norm = squares.sum(dim=0).sqrt()
    scale = (most / norm.clamp(min=1e-12)).clamp(max=1.0)
    for grad in grads:
        grad.mul_(scale.view(-1, *[1] * (grad.dim() - 1)))
