"""The Learner of ordering agents: double Q-learning on all orders of a situation at once."""

from __future__ import annotations

import copy
from typing import Any

import torch
from ray.rllib.algorithms.dqn.torch.dqn_torch_learner import DQNTorchLearner
from ray.rllib.utils.annotations import override
from torch import Tensor, nn
from torch.nn import functional

from marl.learning.counterfactual.learner import CounterfactualLearner

_LEVEL_RATE = 0.02  # of the running mean of the targets


class OrdersLearner(CounterfactualLearner):
    """Fits the values of all orders of a situation to their branches' bootstrapped returns.

    target(a) = n-step return of branch a + gamma^n max Q(what is seen at its end) - level

    with the maximum chosen by the online network and valued by the target one (double DQN, van
    Hasselt et al. 2016). The level is the running mean of the targets, so that values stay around
    zero whatever the mean cost is, as in relative value iteration (Abounadi et al. 2001). It
    changes no difference between orders.

    `config.learner_config_dict`: as of `CounterfactualLearner`, and `focus`.
    """

    @override(CounterfactualLearner)
    def build(self) -> None:
        super().build()
        self._targets: dict[str, nn.Module] = {
            name: copy.deepcopy(network).requires_grad_(False)
            for name, network in self._networks.items()
        }
        self._levels = dict.fromkeys(self._networks, 0.0)

    @override(CounterfactualLearner)
    def _update_once(self, name: str, features: Tensor, savings: Tensor) -> Tensor:
        """One step of one network on N situations; returns the mean absolute error.

        Args:
            name: of the group.
            features: units seen now and after each order, (N, 1 + A, D).
            savings: returns of the branches, (N, A).
        """
        target = self._compute_target(name, features[:, 1:], savings)
        values = self._networks[name](features[:, 0])
        losses = functional.huber_loss(
            values, target, reduction="none", delta=self._settings["huber_threshold"]
        )
        self._descend(name, (self._weigh(values) * losses).mean())
        with torch.no_grad():
            online, slow = self._networks[name].parameters(), self._targets[name].parameters()
            torch._foreach_lerp_(list(slow), list(online), self.config.tau)
            return (values - target).abs().mean()

    @torch.no_grad()
    def _weigh(self, values: Tensor) -> Tensor:
        """How much each order counts, (N, A): half as much where it is `focus` below the best.

        Orders far from the best have large values, which would take most of the network's capacity.
        An order's weight does not depend on its own target's noise, so no value is biased.
        """
        below = values.max(dim=-1, keepdim=True).values - values
        return 1 / (1 + (below / self._settings["focus"]) ** 2)

    @torch.no_grad()
    def _compute_target(self, name: str, seen: Tensor, returns: Tensor) -> Tensor:
        """Bootstrapped returns around zero, (N, A)."""
        slow = self._targets[name](seen)  # (N, A, A)
        chooser = self._networks[name](seen) if self.config.double_q else slow
        best = slow.gather(-1, chooser.argmax(dim=-1, keepdim=True)).squeeze(-1)
        target = returns + self.config.gamma**self.config.n_step * best
        rate = max(_LEVEL_RATE, 1 / self._num_updates)
        self._levels[name] += rate * (float(target.mean()) - self._levels[name])
        return target - self._levels[name]

    @override(DQNTorchLearner)
    def _get_optimizer_state(self) -> dict[str, Any]:
        return {
            **super()._get_optimizer_state(),
            "levels": dict(self._levels),
            "targets": {
                name: {key: value.numpy().copy() for key, value in network.state_dict().items()}
                for name, network in self._targets.items()
            },
        }

    @override(DQNTorchLearner)
    def _set_optimizer_state(self, state: dict[str, Any]) -> None:
        super()._set_optimizer_state(state)
        self._levels = dict(state["levels"])
        for name, values in state["targets"].items():
            stored = {key: torch.tensor(value) for key, value in values.items()}
            self._targets[name].load_state_dict(stored)
