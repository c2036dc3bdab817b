"""Networks that are optimised together, with their slow copies, averages and moments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from marl.config import Learner
from marl.learning.policy_arrays import Weights

_MOMENTS = {"step", "exp_avg", "exp_avg_sq"}  # of Adam, by parameter


@dataclass(frozen=True, kw_only=True)
class Losses:
    """The result of one update's formulas, which change nothing themselves."""

    total: Tensor  # to descend, ()
    errors: Tensor  # absolute errors of N transitions of M networks, (M, N), or their mean, (1, 1)
    baseline: float = 0.0  # the running mean of the targets, where a method keeps one


def check_finite(value: Any, shape: Sequence[int]) -> Any:
    """Returns a number or an array of a checkpoint.

    Raises:
        ValueError: if it has another shape, or holds what is no finite number.
    """
    found = np.asarray(value)
    if isinstance(value, bool) or found.dtype.kind not in "fiu" or found.shape != tuple(shape):
        raise ValueError(f"{found.dtype} of shape {found.shape}, not numbers of {tuple(shape)}")
    if not np.isfinite(found).all():
        raise ValueError("numbers that are not finite")
    return value


class Networks(Protocol):
    """One network, or several of equal shape in one batched product."""

    @property
    def parameters(self) -> Mapping[str, Tensor]:
        """By name, those of several networks stacked."""

    def __call__(self, features: Tensor) -> Tensor:
        """Returns values of features."""


class Single:
    """One network as `Networks`."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.parameters = dict(network.named_parameters())

    def __call__(self, features: Tensor) -> Tensor:
        """Returns values of features."""
        values: Tensor = self.network(features)
        return values


class Trainee:
    """Networks that are optimised together by Adam, their slow copies and their averages.

    What is evaluated and shipped are slowly averaged weights: greedy choice among near-equal
    values jumps from update to update, the average does not (Polyak & Juditsky 1992).

    Args:
        online: the networks that learn.
        slow: their copies, whose values are bootstrapped from; None: there are none.
        places: by module, where its networks lie among the stacked ones; `...` of a single one.
        settings: of the learner.
        clip: scales gradients to a norm of at most `grad_clip`.
        fused: whether Adam runs as one loop.
    """

    def __init__(
        self,
        online: Networks,
        slow: Networks | None,
        *,
        places: Mapping[str, Any],
        settings: Learner,
        clip: Callable[[list[Tensor], float], object],
        fused: bool = False,
    ) -> None:
        self.online, self.slow, self.places, self.settings = online, slow, places, settings
        self.parameters = list(online.parameters.values())
        self.slow_parameters = [] if slow is None else list(slow.parameters.values())
        self.optimizer = torch.optim.Adam(self.parameters, lr=settings.lr, fused=fused or None)
        self.averaged = [p.detach().clone() for p in self.parameters]
        self.baseline = 0.0
        self._clip = clip

    def set_lr(self, lr: float) -> None:
        """Sets the rate of the updates to come."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr

    def descend(self, losses: Losses, number: int) -> None:
        """Takes one step of all networks, of their slow copies and of their averages.

        Args:
            losses: of this update.
            number: of this update, from 1.
        """
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(losses.total)
        self._clip(self.parameters, self.settings.grad_clip)
        self.optimizer.step()
        self.baseline = losses.baseline
        with torch.no_grad():
            self._move_slow(number)
            # A plain mean at first, so that the average soon forgets where training began.
            rate = max(self.settings.average_rate, 1 / number)
            torch._foreach_lerp_(self.averaged, self.parameters, rate)

    def get_averaged(self) -> Weights:
        """Slowly averaged parameters, module -> name -> values."""
        return {
            module: {
                name: values[place].numpy().copy()
                for name, values in zip(self.online.parameters, self.averaged, strict=True)
            }
            for module, place in self.places.items()
        }

    def get_state(self) -> dict[str, Any]:
        """All of it but the networks themselves, as plain arrays."""
        return {
            "adam": [
                {name: value.numpy().copy() for name, value in self.optimizer.state[p].items()}
                for p in self.parameters
                if p in self.optimizer.state
            ],
            "averaged": [p.numpy().copy() for p in self.averaged],
            "slow": [p.numpy().copy() for p in self.slow_parameters],
            "baseline": self.baseline,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Restores `get_state`.

        Raises:
            ValueError: if it is of other networks, or a number in it is not finite.
        """
        self.baseline = check_finite(state["baseline"], ())
        for own, stored in (
            (self.averaged, state["averaged"]),
            (self.slow_parameters, state["slow"]),
        ):
            for values, kept in zip(own, stored, strict=True):
                values.copy_(torch.as_tensor(check_finite(kept, values.shape)))
        if len(state["adam"]) not in {0, len(self.parameters)}:
            raise ValueError("its moments are not those of the networks")
        for parameter, moments in zip(self.parameters, state["adam"], strict=False):
            if moments.keys() != _MOMENTS:
                raise ValueError("its moments are not those of Adam")
            for name, value in moments.items():
                check_finite(value, () if name == "step" else parameter.shape)
                found = np.asarray(value).dtype
                if found != np.float32:  # Adam would end at the first update
                    raise ValueError(f"its moments are {found}, not float32")
            self.optimizer.state[parameter] = {
                name: torch.tensor(value) for name, value in moments.items()
            }

    def _move_slow(self, number: int) -> None:
        """Moves the copies towards the networks: by a Polyak step, or every so often to them.

        Source: Lillicrap et al. 2016, algorithm 1 (soft updates); Mnih et al. 2015 (copies).
        """
        if not self.slow_parameters:
            return
        period = self.settings.target_update
        if period is None:
            torch._foreach_lerp_(self.slow_parameters, self.parameters, self.settings.tau)
        elif number % period == 0:
            torch._foreach_copy_(self.slow_parameters, self.parameters)


def clip_single(parameters: list[Tensor], norm: float) -> None:
    """Scales the gradient of one network."""
    nn.utils.clip_grad_norm_(parameters, norm)
