"""The Q-network of one module, and the same network for all modules at once.

A row is one agent's view of one SKU: the output is one head per SKU with shared weights, so a
network serves any number of agents and SKUs (Kaynov et al. 2024: A x K outputs, not A^K).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

MASKED = -1e9

_WIDTH = 16  # numbers that a processor's registers hold


class QNetwork(nn.Module):
    """Dueling MLP: features (..., F) to action values (..., A).

    Source: Wang et al. 2016, eq. 9 (dueling, mean over the valid actions). The head starts at zero
    but for a small bias on `initial_option`, so that an untrained agent takes that action.

    Args:
        num_features: F.
        num_options: valid actions of this module.
        max_options: A, the widest module's actions; the rest is masked, so that the networks of
            all modules have one shape.
        hidden: sizes of the hidden layers.
        dueling: whether value and advantage are separate.
        initial_option: the action of an untrained agent.
        initial_bias: its head start.
    """

    mask: Tensor

    def __init__(
        self,
        num_features: int,
        num_options: int,
        max_options: int,
        hidden: Sequence[int],
        *,
        dueling: bool = True,
        initial_option: int = 0,
        initial_bias: float = 0.0,
    ) -> None:
        super().__init__()
        # The last output is the state's value.
        sizes = [num_features, *hidden, max_options + 1]
        *hidden_layers, head = (nn.Linear(*layer) for layer in pairwise(sizes))
        # In this order: checkpoints hold the optimizer's moments by the parameter's number.
        self.layers = nn.ModuleList(hidden_layers)
        self.head = head
        # The same parameters: asking modules for them takes as long as small products.
        self._hidden = [(layer.weight, layer.bias) for layer in hidden_layers]
        self._head = head.weight, head.bias
        self.dueling = dueling
        self.num_options, self.max_options = num_options, max_options
        self.register_buffer("mask", torch.arange(max_options) < num_options, persistent=False)
        with torch.no_grad():
            self.head.weight.zero_()
            self.head.bias.zero_()
            self.head.bias[initial_option] = initial_bias

    def forward(self, features: Tensor) -> Tensor:
        """Returns action values; invalid actions are `MASKED`."""
        valid = ValidActions.from_mask(self.mask)
        return combine_heads(self._compute(features), valid, dueling=self.dueling)

    def rank_actions(self, features: Tensor) -> Tensor:
        """Returns values whose order is that of the valid actions' values, (..., num_options).

        The state's value and the mean advantage are the same for all actions, so neither is
        needed to find the best one.
        """
        hidden = features
        for weight, bias in self._hidden:
            hidden = torch.relu_(functional.linear(hidden, weight, bias))
        return functional.linear(hidden, *(p[: self.num_options] for p in self._head))

    def _compute(self, features: Tensor) -> Tensor:
        """Outputs of the head, (..., A + 1)."""
        output: Tensor = self.head(self._encode(features))
        return output

    def _encode(self, features: Tensor) -> Tensor:
        hidden = features
        for layer in self.layers:
            # `forward` looks up no hooks: there are none.
            hidden = torch.relu_(layer.forward(hidden))
        return hidden


class SeparateLinear(nn.Module):
    """Linear layers of one shape as one: weight (A, out, in) and bias (A, out).

    Args:
        layers: A of them, whose initial values it takes.
    """

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.in_features = layers[0].in_features
        self.weight = nn.Parameter(torch.stack([layer.weight.data for layer in layers]))
        self.bias = nn.Parameter(torch.stack([layer.bias.data for layer in layers]))

    def forward(self, features: Tensor) -> Tensor:
        """Returns outputs (A, N, out) of features (A, N, in)."""
        return torch.baddbmm(self.bias[:, None], features, self.weight.transpose(1, 2))


class SeparateQNetwork(QNetwork):
    """The networks of a module whose agents share no parameters, in one batched product.

    Features and values have the agents first: (A, ..., F) and (A, ..., L).

    Args:
        num_agents: A.
        shape: arguments of each agent's `QNetwork`.
    """

    def __init__(self, num_agents: int, **shape: Any) -> None:
        super().__init__(**shape)
        self.num_agents = num_agents
        networks = [QNetwork(**shape) for _ in range(num_agents)]
        layers = zip(*(network.layers for network in networks), strict=True)
        self.layers = nn.ModuleList(SeparateLinear(own) for own in layers)
        self.head: Any = SeparateLinear([network.head for network in networks])
        del self._hidden, self._head  # of a network that nobody has

    def rank_actions(self, features: Tensor) -> Tensor:
        """Returns values in the order of the valid actions' values, (A, ..., num_options)."""
        return self._compute(features)[..., : self.num_options]

    def _compute(self, features: Tensor) -> Tensor:
        """Outputs of the head, (A, ..., L + 1)."""
        rows = self.head(self._encode(features.flatten(1, -2)))
        return rows.view(*features.shape[:-1], -1)


def make_network(arguments: Mapping[str, Any]) -> QNetwork:
    """Builds a module's network; with `num_agents`, one for each of its agents."""
    return SeparateQNetwork(**arguments) if "num_agents" in arguments else QNetwork(**arguments)


class ValidActions(NamedTuple):
    """Which of A actions a network has, as numbers: masked fills take twice as long as products."""

    share: Tensor  # (..., A) 1 where there is one, else 0
    number: Tensor  # of the actions, (..., 1)
    penalty: Tensor  # (..., A) `MASKED` where there is none, else 0

    @classmethod
    def from_mask(cls, mask: Tensor) -> Self:
        """Makes the numbers of (..., A) booleans."""
        share = mask.float()
        return cls(share, share.sum(dim=-1, keepdim=True), (1 - share) * MASKED)


def combine_heads(output: Tensor, valid: ValidActions, *, dueling: bool) -> Tensor:
    """Turns head outputs (..., A + 1) into action values (..., A), invalid ones masked."""
    values, state_value = output[..., :-1], output[..., -1:]
    if dueling:
        mean = (values * valid.share).sum(dim=-1, keepdim=True) / valid.number
        values = state_value + values - mean
    return torch.addcmul(valid.penalty, values, valid.share)


class StackedQNetworks:
    """Networks of equal shape as one: every parameter stacked over M networks.

    The networks' own parameters become views of the stacked ones, so that state dicts, weight
    sync and checkpoints keep working while one batched product serves all modules. A module has
    one network, or one for each of its agents; `places` says which of the M are its own.
    """

    def __init__(self, networks: Sequence[QNetwork], *, trainable: bool) -> None:
        self.dueling = networks[0].dueling
        self.num_hidden = len(networks[0].layers)
        counts = [getattr(network, "num_agents", 1) for network in networks]
        ends = list(accumulate(counts))
        self.places: list[int | slice] = [
            slice(end - count, end) if hasattr(network, "num_agents") else end - 1
            for network, count, end in zip(networks, counts, ends, strict=True)
        ]
        masks = [n.mask.expand(count, -1) for n, count in zip(networks, counts, strict=True)]
        self.valid = ValidActions.from_mask(torch.cat(masks)[:, None])
        self.parameters: dict[str, Tensor] = {}
        for name, _ in networks[0].named_parameters():
            own = [dict(network.named_parameters())[name] for network in networks]
            stacked = torch.cat(
                [
                    parameter.data if isinstance(place, slice) else parameter.data[None]
                    for parameter, place in zip(own, self.places, strict=True)
                ]
            )
            for parameter, place in zip(own, self.places, strict=True):
                parameter.data = stacked[place]
            self.parameters[name] = stacked.requires_grad_(trainable)

    def __call__(self, features: Tensor) -> Tensor:
        """Returns action values, (M, N, A), of features, (M, N, F)."""
        hidden = features
        for layer in range(self.num_hidden):
            # In place, because memory that was just written is still in the processor's cache.
            hidden = torch.relu_(self._linear(hidden, f"layers.{layer}"))
        return combine_heads(self._linear(hidden, "head"), self.valid, dueling=self.dueling)

    def _linear(self, features: Tensor, layer: str) -> Tensor:
        weight, bias = self.parameters[f"{layer}.weight"], self.parameters[f"{layer}.bias"]
        outputs = weight.shape[1]
        spare = -outputs % _WIDTH
        if not spare:
            return torch.baddbmm(bias[:, None], features, weight.transpose(1, 2))
        # Products with a few outputs more, up to a multiple of sixteen, take half the time.
        weight, bias = functional.pad(weight, (0, 0, 0, spare)), functional.pad(bias, (0, spare))
        return torch.baddbmm(bias[:, None], features, weight.transpose(1, 2))[..., :outputs]
