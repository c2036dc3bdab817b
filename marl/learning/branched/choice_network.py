"""The network of a residual agent: what each option saves against the reference rule."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


class ChoiceNetwork(nn.Module):
    """MLP: features (..., F) to option values (..., A); of joint choices (..., K, F) to (..., A).

    A joint value is the sum over SKUs of one shared network's outputs (Zaheer et al. 2017, deep
    sets), so it serves any number of SKUs. The head starts at zero, so training starts at the
    reference rule, which is option 0 and wins ties.

    Args:
        num_features: F.
        num_options: A.
        hidden: sizes of the hidden layers.
        is_joint: whether an agent decides for all its SKUs at once.
    """

    def __init__(
        self, num_features: int, num_options: int, hidden: Sequence[int], *, is_joint: bool
    ) -> None:
        super().__init__()
        sizes = [num_features, *hidden]
        self.layers = nn.ModuleList(
            nn.Linear(size, next_size) for size, next_size in pairwise(sizes)
        )
        self.head = nn.Linear(sizes[-1], num_options)
        self.is_joint = is_joint
        with torch.no_grad():
            self.head.weight.zero_()
            self.head.bias.zero_()

    def forward(self, features: Tensor) -> Tensor:
        """Returns option values."""
        hidden = features
        for layer in self.layers:
            hidden = functional.relu_(layer(hidden))
        values: Tensor = self.head(hidden)
        return values.sum(dim=-2) if self.is_joint else values
