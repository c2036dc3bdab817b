"""The Q-network of one module, and the same network for all modules at once.

A row is one agent's view of one SKU: the output is one head per SKU with shared weights, so a
network serves any number of agents and SKUs (Kaynov et al. 2024: A x K outputs, not A^K).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

MASKED = -1e9


class QNetwork(nn.Module):
    """Dueling MLP: features (..., F) to action values (..., A).

    Source: Wang et al. 2016, eq. 9 (dueling, mean over the valid actions). The head starts at zero
    but for a small bias on `initial_level`, so that an untrained agent takes that action.

    Args:
        num_features: F.
        num_levels: valid actions of this module.
        max_levels: A, the widest module's actions; the rest is masked, so that the networks of
            all modules have one shape.
        hidden: sizes of the hidden layers.
        dueling: whether value and advantage are separate.
        initial_level: the action of an untrained agent.
        initial_bias: its head start.
    """

    mask: Tensor

    def __init__(
        self,
        num_features: int,
        num_levels: int,
        max_levels: int,
        hidden: Sequence[int],
        *,
        dueling: bool = True,
        initial_level: int = 0,
        initial_bias: float = 0.0,
    ) -> None:
        super().__init__()
        sizes = [num_features, *hidden]
        self.layers = nn.ModuleList(
            nn.Linear(size, next_size) for size, next_size in pairwise(sizes)
        )
        self.head = nn.Linear(sizes[-1], max_levels + 1)  # the last output is the value
        self.dueling = dueling
        self.num_levels = num_levels
        self.register_buffer("mask", torch.arange(max_levels) < num_levels, persistent=False)
        with torch.no_grad():
            self.head.weight.zero_()
            self.head.bias.zero_()
            self.head.bias[initial_level] = initial_bias

    def forward(self, features: Tensor) -> Tensor:
        """Returns action values; invalid actions are `MASKED`."""
        return combine_heads(self.head(self._encode(features)), self.mask, dueling=self.dueling)

    def rank_actions(self, features: Tensor) -> Tensor:
        """Returns values whose order is that of the valid actions' values, (..., num_levels).

        The state's value and the mean advantage are the same for all actions, so neither is
        needed to find the best one.
        """
        weight, bias = self.head.weight[: self.num_levels], self.head.bias[: self.num_levels]
        return functional.linear(self._encode(features), weight, bias)

    def _encode(self, features: Tensor) -> Tensor:
        hidden = features
        for layer in self.layers:
            hidden = functional.relu(layer(hidden), inplace=True)
        return hidden


def combine_heads(output: Tensor, mask: Tensor, *, dueling: bool) -> Tensor:
    """Turns head outputs (..., A + 1) into action values (..., A), invalid ones masked."""
    values, state_value = output[..., :-1], output[..., -1:]
    if dueling:
        advantage = values.masked_fill(~mask, 0.0)
        mean = advantage.sum(dim=-1, keepdim=True) / mask.sum(dim=-1, keepdim=True)
        values = state_value + values - mean
    return values.masked_fill(~mask, MASKED)


class StackedQNetworks:
    """Networks of equal shape as one: every parameter stacked over M modules.

    The networks' own parameters become views of the stacked ones, so that state dicts, weight
    sync and checkpoints keep working while one batched product serves all modules.
    """

    def __init__(self, networks: Sequence[QNetwork], *, trainable: bool) -> None:
        self.dueling = networks[0].dueling
        self.num_hidden = len(networks[0].layers)
        self.mask = torch.stack([network.mask for network in networks])[:, None]  # (M, 1, A)
        self.parameters: dict[str, Tensor] = {}
        for name, _ in networks[0].named_parameters():
            own = [dict(network.named_parameters())[name] for network in networks]
            stacked = torch.stack([parameter.data for parameter in own])
            for parameter, view in zip(own, stacked, strict=True):
                parameter.data = view
            self.parameters[name] = stacked.requires_grad_(trainable)

    def compute_q(self, features: Tensor) -> Tensor:
        """Returns action values, (M, N, A), of features (M, N, F)."""
        hidden = features
        for layer in range(self.num_hidden):
            hidden = functional.relu(self._linear(hidden, f"layers.{layer}"))
        return combine_heads(self._linear(hidden, "head"), self.mask, dueling=self.dueling)

    def _linear(self, features: Tensor, layer: str) -> Tensor:
        weight, bias = self.parameters[f"{layer}.weight"], self.parameters[f"{layer}.bias"]
        return torch.baddbmm(bias[:, None], features, weight.transpose(1, 2))
