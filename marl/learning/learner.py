"""The Learner: DQN updates of all modules at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from ray.rllib.algorithms.dqn.torch.dqn_torch_learner import DQNTorchLearner
from ray.rllib.core import COMPONENT_OPTIMIZER, COMPONENT_RL_MODULE
from ray.rllib.core.learner.training_data import TrainingData
from ray.rllib.utils.annotations import override
from ray.rllib.utils.metrics import ALL_MODULES, NUM_ENV_STEPS_SAMPLED_LIFETIME
from torch import Tensor
from torch.nn import functional

from envs.omnichannel.agents.roster import MODULES
from envs.omnichannel.types import Float32Array
from marl.learning.experience_pool import Batch
from marl.learning.network import StackedQNetworks
from marl.learning.policy_arrays import Weights
from marl.runs.checkpoints import Tree

TD_ERROR = "td_error"
Q_MEAN = "q_mean"
NUM_UPDATES = "num_updates"


class ScheduledLearner(DQNTorchLearner):
    """A learner that keeps its optimizers itself, under one learning rate's schedule.

    `config.learner_config_dict`: `lr`, `lr_final_fraction`, `anneal_env_steps`.
    `config.run_seed`: of the initial weights.
    """

    @override(DQNTorchLearner)
    def build(self) -> None:
        torch.manual_seed(self.config.run_seed)  # of the initial weights
        super().build()
        self._lr_scale = 1.0

    @property
    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = self.config.learner_config_dict
        return settings

    def scale_lr(self, scale: float) -> None:
        """Multiplies the schedule's learning rate (feedback)."""
        self._lr_scale = scale

    @override(DQNTorchLearner)
    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        """The optimizers are made in `build`."""

    def get_training_state(self) -> Tree:
        """Weights, target weights, their average and the optimizers' moments."""
        return self.get_state(components=[COMPONENT_RL_MODULE, COMPONENT_OPTIMIZER])

    def set_training_state(self, state: Tree) -> None:
        """Restores `get_training_state`.

        Raises:
            ValueError: if it is of other networks: RLlib leaves out what it does not know.
        """
        own, stored = (s[COMPONENT_RL_MODULE] for s in (self.get_training_state(), state))
        if _list_shapes(own) != _list_shapes(stored):
            raise ValueError("its networks have other shapes")
        self._weights_seq_no = 0  # RLlib ignores weights that it takes for older than its own
        self.set_state(state)

    def _set_lr(self, env_steps: int, optimizers: Iterable[torch.optim.Optimizer]) -> None:
        """Anneals the rate linearly to its final fraction."""
        settings = self._settings
        progress = min(env_steps / settings["anneal_env_steps"], 1.0)
        lr = settings["lr"] * (1 - (1 - settings["lr_final_fraction"]) * progress)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lr * self._lr_scale


class FusedDQNLearner(ScheduledLearner):
    """Double DQN and its options; M networks of equal shape in one stacked update.

    Source: van Hasselt et al. 2016 (double DQN), eq. 5 and 7 of the paper, on n-step returns.
    Everything is summed by module, so the result is that of M separate learners: the loss, the
    gradient's norm that is clipped, and Adam, which works by element.

    `config.learner_config_dict`: `lr`, `lr_final_fraction`, `anneal_env_steps`, `average_rate`,
    `huber_threshold`, `target_update`.
    """

    @override(DQNTorchLearner)
    def build(self) -> None:
        super().build()
        modules = [self.module[m].unwrapped() for m in MODULES]
        self._online = StackedQNetworks([m.network for m in modules], trainable=True)
        self._target = StackedQNetworks([m.target_network for m in modules], trainable=False)
        self._parameters = list(self._online.parameters.values())
        self._target_parameters = list(self._target.parameters.values())
        self._optimizer = torch.optim.Adam(self._parameters, lr=self._settings["lr"], fused=True)
        self._averaged = [p.detach().clone() for p in self._parameters]
        self._num_updates = 0
        self._td_errors = torch.zeros(0)

    def get_averaged_weights(self) -> Weights:
        """Slowly averaged parameters, module_id -> name -> values: what is evaluated and shipped.

        Greedy choice among near-equal values jumps from update to update; the average of the
        weights does not (Polyak & Juditsky 1992).
        """
        names = self._online.parameters
        return {
            module_id: {
                name: stacked[place].numpy().copy()
                for name, stacked in zip(names, self._averaged, strict=True)
            }
            for module_id, place in zip(MODULES, self._online.places, strict=True)
        }

    def get_td_errors(self) -> Float32Array:
        """Absolute TD errors of the last `update`'s batch, (U, M, N), for the priorities."""
        errors: Float32Array = self._td_errors.numpy()
        return errors

    @override(DQNTorchLearner)
    def update(
        self,
        *,
        training_data: TrainingData,
        timesteps: dict[str, Any] | None = None,
        **_: Any,
    ) -> Any:
        """Runs U updates, one for each leading entry of the batch.

        Args:
            training_data: `batch` is a `Batch`.
            timesteps: with the lifetime env steps, which anneal the learning rate.

        Returns:
            RLlib's reduced metrics: mean absolute TD error and mean Q by module.
        """
        batch: Batch = training_data.batch
        env_steps = (timesteps or {}).get(NUM_ENV_STEPS_SAMPLED_LIFETIME, 0)
        self._set_lr(env_steps, [self._optimizer])
        num_updates = len(batch.r_t)
        td_errors, q_means = [], []
        weight = None if batch.weight is None else torch.from_numpy(batch.weight)
        for u in range(num_updates):
            td_error, q_mean = self._update_once(
                torch.from_numpy(batch.obs_tm1[u]).float(),
                torch.from_numpy(batch.a_tm1[u]),
                torch.from_numpy(batch.r_t[u]),
                torch.from_numpy(batch.discount_t[u]),
                torch.from_numpy(batch.obs_t[u]).float(),
                None if weight is None else weight[u],
            )
            td_errors.append(td_error)
            q_means.append(q_mean)
        self._weights_seq_no += 1
        self._td_errors = torch.stack(td_errors)
        self._log_updates(self._td_errors.mean((0, 2)), torch.stack(q_means).mean(0), batch)
        return self.metrics.reduce()

    def _update_once(
        self,
        obs_tm1: Tensor,
        a_tm1: Tensor,
        r_t: Tensor,
        discount_t: Tensor,
        obs_t: Tensor,
        weight: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """One step on (M, N) transitions; returns |TD error|, (M, N), and Q by module, (M,)."""
        with torch.no_grad():
            target_q_t = selector_q_t = self._target(obs_t)
            if self.config.double_q:
                selector_q_t = self._online(obs_t)
            target = r_t + discount_t * _take(target_q_t, selector_q_t.argmax(dim=-1))
        q_a_tm1 = _take(self._online(obs_tm1), a_tm1)
        losses = functional.huber_loss(
            q_a_tm1, target, reduction="none", delta=self._settings["huber_threshold"]
        )
        loss = (losses if weight is None else weight * losses).sum()
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss / r_t.shape[1])
        self._clip_by_module()
        self._optimizer.step()
        with torch.no_grad():
            self._num_updates += 1
            self._move_target()
            # A plain mean at first, so that the average soon forgets where training began.
            rate = max(self._settings["average_rate"], 1 / self._num_updates)
            torch._foreach_lerp_(self._averaged, self._parameters, rate)
            return (target - q_a_tm1).abs(), q_a_tm1.mean(dim=1)

    def _move_target(self) -> None:
        """Towards the online networks: by a Polyak step, or every so often to them."""
        period = self._settings["target_update"]
        if period is None:
            torch._foreach_lerp_(self._target_parameters, self._parameters, self.config.tau)
        elif self._num_updates % period == 0:
            torch._foreach_copy_(self._target_parameters, self._parameters)

    def _clip_by_module(self) -> None:
        """Scales each module's gradient to a norm of at most `grad_clip`."""
        grads = [p.grad for p in self._parameters if p.grad is not None]
        squares = torch.stack([g.flatten(1).square().sum(dim=1) for g in grads])  # (P, M)
        norm = squares.sum(dim=0).sqrt()
        scale = (self.config.grad_clip / norm.clamp(min=1e-12)).clamp(max=1.0)
        for grad in grads:
            grad.mul_(scale.view(-1, *[1] * (grad.dim() - 1)))

    def _log_updates(self, td_error: Tensor, q_mean: Tensor, batch: Batch) -> None:
        for module_id, place in zip(MODULES, self._online.places, strict=True):
            self.metrics.log_value((module_id, TD_ERROR), float(td_error[place].mean()), window=1)
            self.metrics.log_value((module_id, Q_MEAN), float(q_mean[place].mean()), window=1)
        num_updates = len(batch.r_t)
        self.metrics.log_value((ALL_MODULES, NUM_UPDATES), num_updates, reduce="sum")
        lr = self._optimizer.param_groups[0]["lr"]
        self.metrics.log_value((ALL_MODULES, "learning_rate"), lr, window=1)

    @override(DQNTorchLearner)
    def _get_optimizer_state(self) -> dict[str, Any]:
        moments = [
            {name: value.numpy().copy() for name, value in self._optimizer.state[p].items()}
            for p in self._parameters
            if p in self._optimizer.state
        ]
        return {
            "adam": moments,
            "averaged": [p.numpy().copy() for p in self._averaged],
            "num_updates": self._num_updates,
            "lr_scale": self._lr_scale,
        }

    @override(DQNTorchLearner)
    def _set_optimizer_state(self, state: dict[str, Any]) -> None:
        self._lr_scale = state["lr_scale"]
        self._num_updates = state["num_updates"]
        for average, stored in zip(self._averaged, state["averaged"], strict=True):
            average.copy_(torch.as_tensor(stored))
        for parameter, moments in zip(self._parameters, state["adam"], strict=False):
            self._optimizer.state[parameter] = {
                name: torch.tensor(value) for name, value in moments.items()
            }


def _list_shapes(modules: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[int, ...]]:
    """Shapes by module/parameter."""
    return {f"{m}/{name}": v.shape for m, values in modules.items() for name, v in values.items()}


def _take(values: Tensor, action: Tensor) -> Tensor:
    """Returns the values of one action, (M, N), of all, (M, N, A); actions are (M, N)."""
    return values.gather(-1, action[..., None]).squeeze(-1)
