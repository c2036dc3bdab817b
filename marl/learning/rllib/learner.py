"""The Learner of any method: it runs the method's updates, and keeps their state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from ray.rllib.algorithms.dqn.torch.dqn_torch_learner import DQNTorchLearner
from ray.rllib.core import COMPONENT_OPTIMIZER, COMPONENT_RL_MODULE
from ray.rllib.core.learner.training_data import TrainingData
from ray.rllib.utils.annotations import override
from ray.rllib.utils.metrics import (
    ALL_MODULES,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    WEIGHTS_SEQ_NO,
)
from torch import Tensor

from envs.omnichannel.types import Float32Array
from marl.learning.methods import Method
from marl.learning.policy_arrays import Weights
from marl.learning.trainee import Trainee, check_finite
from marl.runs.checkpoints import Tree

TD_ERROR = "td_error"
NUM_UPDATES = "num_updates"


class MethodLearner(DQNTorchLearner):
    """Runs a method's updates under one learning rate's schedule; `config.method` is the method."""

    @override(DQNTorchLearner)
    def build(self) -> None:
        self.method: Method = self.config.method
        torch.manual_seed(self.method.config.seed)  # of the initial weights
        super().build()
        networks = {m: self.module[m].unwrapped().network for m in self.method.module_ids}
        self.trainees: dict[str, Trainee] = self.method.make_trainees(networks)
        self._lr_scale = 1.0
        self._num_updates = 0
        self._td_errors = torch.zeros(0)

    def scale_lr(self, scale: float) -> None:
        """Multiplies the schedule's learning rate (feedback)."""
        self._lr_scale = scale

    @override(DQNTorchLearner)
    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        """The optimizers are the trainees'."""

    def get_averaged_weights(self) -> Weights:
        """Slowly averaged parameters, module -> name -> values: what is evaluated and shipped."""
        return {
            m: w for trainee in self.trainees.values() for m, w in trainee.get_averaged().items()
        }

    def get_td_errors(self) -> Float32Array:
        """Absolute errors of the last `update`'s batch, (U, M, N), for the priorities."""
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
        """Runs the updates of a batch.

        Args:
            training_data: `batch` is one of the method's pool.
            timesteps: with the lifetime env steps, which anneal the learning rate.

        Returns:
            RLlib's reduced metrics: the mean absolute error by module.
        """
        batch = training_data.batch
        lr = self._set_lr((timesteps or {}).get(NUM_ENV_STEPS_SAMPLED_LIFETIME, 0))
        errors: dict[str, list[Tensor]] = {name: [] for name in self.trainees}
        for update in range(batch.num_updates):
            self._num_updates += 1
            for name, trainee in self.trainees.items():
                losses = self.method.compute_losses(name, trainee, batch, update, self._num_updates)
                trainee.descend(losses, self._num_updates)
                errors[name].append(losses.errors)
        self._weights_seq_no += 1
        for name, found in errors.items():
            self._td_errors = torch.stack(found)  # (U, M, N)
            mean = self._td_errors.mean((0, 2))
            for module_id, place in self.trainees[name].places.items():
                self.metrics.log_value((module_id, TD_ERROR), float(mean[place].mean()), window=1)
        self.metrics.log_value((ALL_MODULES, NUM_UPDATES), batch.num_updates, reduce="sum")
        self.metrics.log_value((ALL_MODULES, "learning_rate"), lr, window=1)
        return self.metrics.reduce()

    def get_training_state(self) -> Tree:
        """Weights, slow copies, averages and the optimizers' moments."""
        return self.get_state(components=[COMPONENT_RL_MODULE, COMPONENT_OPTIMIZER])

    def set_training_state(self, state: Tree) -> None:
        """Restores `get_training_state`.

        Raises:
            ValueError: if it is of other networks: RLlib leaves out what it does not know. Or if a
                number in it is not finite.
        """
        own = self.get_training_state()
        if own.keys() != state.keys():
            raise ValueError("it has not the parts of a learner")
        for name in own.keys() - {COMPONENT_RL_MODULE, COMPONENT_OPTIMIZER}:
            if type(state[name]) is not type(own[name]):
                raise ValueError(f"its {name} is not a learner's")
        if state[WEIGHTS_SEQ_NO] < 0:  # RLlib would leave the weights out
            raise ValueError(f"its {WEIGHTS_SEQ_NO} is below zero")
        networks, stored = (s[COMPONENT_RL_MODULE] for s in (own, state))
        if _list_shapes(networks) != _list_shapes(stored):
            raise ValueError("its networks have other shapes or types")
        for module_id, arrays in stored.items():
            for name, values in arrays.items():
                check_finite(values, networks[module_id][name].shape)
        self._weights_seq_no = 0  # RLlib ignores weights that it takes for older than its own
        self.set_state(state)

    def _set_lr(self, env_steps: int) -> float:
        """Anneals the rate linearly to its final fraction, and returns it."""
        settings = self.method.config.learner
        progress = min(env_steps / settings.anneal_env_steps, 1.0)
        lr = settings.lr * (1 - (1 - settings.lr_final_fraction) * progress) * self._lr_scale
        for trainee in self.trainees.values():
            trainee.set_lr(lr)
        return lr

    @override(DQNTorchLearner)
    def _get_optimizer_state(self) -> dict[str, Any]:
        return {
            "num_updates": self._num_updates,
            "lr_scale": self._lr_scale,
            "trainees": {name: trainee.get_state() for name, trainee in self.trainees.items()},
        }

    @override(DQNTorchLearner)
    def _set_optimizer_state(self, state: dict[str, Any]) -> None:
        updates, scale = state["num_updates"], check_finite(state["lr_scale"], ())
        if type(updates) is not int or updates < 0 or scale <= 0:
            raise ValueError("its counters are not those of a learner")
        self._num_updates, self._lr_scale = updates, scale
        for name, trainee in self.trainees.items():
            trainee.set_state(state["trainees"][name])


def _list_shapes(modules: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """Shapes and types of numbers by module/parameter."""
    return {
        f"{m}/{name}": (*values.shape, str(values.dtype))
        for m, arrays in modules.items()
        for name, values in arrays.items()
    }
