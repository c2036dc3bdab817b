"""Losses of value learning; names carry the time index."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def average_groups(values: Tensor, group: Tensor) -> Tensor:
    """Returns each cell's mean over its group, in the shape of the values.

    Args:
        values: (M, N, Q).
        group: number of the cell's group among the module's, in [0, N), (M, N).
    """
    index = group[..., None].expand_as(values)
    totals = torch.zeros_like(values).scatter_add(1, index, values)
    counts = torch.zeros_like(values).scatter_add(1, index, torch.ones_like(values))
    return (totals / counts.clamp(min=1)).gather(1, index)


def compute_quantile_loss(quantiles_tm1: Tensor, target: Tensor, kappa: float) -> Tensor:
    """Returns the quantile Huber loss of each transition, (...).

    Source: Dabney et al. 2018, eq. 10 and algorithm 1: every quantile against every sample of the
    target; summed over the quantiles, averaged over the samples.

    Args:
        quantiles_tm1: of the taken action's return, (..., Q); the i-th is that of (i + 1/2) / Q.
        target: samples of the return, (..., Q').
        kappa: errors beyond it count linearly.
    """
    count = quantiles_tm1.shape[-1]
    level = ((torch.arange(count) + 0.5) / count)[:, None]
    error = target[..., None, :] - quantiles_tm1[..., :, None]  # (..., Q, Q')
    huber = functional.huber_loss(error, torch.zeros_like(error), reduction="none", delta=kappa)
    weight = (level - (error < 0).float()).abs()
    return (weight * huber).sum(dim=-2).mean(dim=-1)
