"""The network of an ordering agent: numbers of units in, the value of every order out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from marl.learning.dqn.network import QNetwork


class OrderNetwork(nn.Module):
    """`QNetwork` over indicators: units (..., D) to the value of every order (..., A).

    Each number of units is told apart by indicators, so that the network need not bend a line to
    find a level; next to them stands the number itself.

    Args:
        most: the highest number that is told apart, by input, D.
        num_options: A, orders of 0 to A - 1 units.
        hidden: sizes of the hidden layers.
        dueling: whether value and advantage are separate.
        initial_option: the order of an untrained agent.
        initial_bias: its head start.
    """

    column: Tensor
    threshold: Tensor
    scale: Tensor

    def __init__(
        self,
        most: Sequence[int],
        num_options: int,
        hidden: Sequence[int],
        *,
        dueling: bool = True,
        initial_option: int = 0,
        initial_bias: float = 0.0,
    ) -> None:
        super().__init__()
        columns = torch.repeat_interleave(torch.arange(len(most)), torch.tensor(most))
        thresholds = torch.cat([torch.arange(1, units + 1) for units in most])
        self.register_buffer("column", columns, persistent=False)  # (F,)
        self.register_buffer("threshold", thresholds.float(), persistent=False)  # (F,)
        self.register_buffer("scale", torch.tensor(most).float(), persistent=False)  # (D,)
        self.num_options = num_options
        self.values = QNetwork(
            num_features=len(columns) + len(most),
            num_options=num_options,
            max_options=num_options,
            hidden=hidden,
            dueling=dueling,
            initial_option=initial_option,
            initial_bias=initial_bias,
        )

    def forward(self, units: Tensor) -> Tensor:
        """Returns the value of every order, (..., A)."""
        values: Tensor = self.values(self.encode(units))
        return values

    def rank_actions(self, units: Tensor) -> Tensor:
        """Returns numbers that rank every order, (..., A)."""
        return self.values.rank_actions(self.encode(units))

    def encode(self, units: Tensor) -> Tensor:
        """Returns features of float units, (..., F + D)."""
        reached = (units[..., self.column] >= self.threshold).float()
        return torch.cat([reached, units / self.scale], dim=-1)
