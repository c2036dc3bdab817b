"""The Learner of residual agents: regression of what every option saves."""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.algorithms.dqn.torch.dqn_torch_learner import DQNTorchLearner
from ray.rllib.core.learner.training_data import TrainingData
from ray.rllib.utils.annotations import override
from ray.rllib.utils.metrics import ALL_MODULES, NUM_ENV_STEPS_SAMPLED_LIFETIME
from torch import Tensor, nn
from torch.nn import functional

from marl.learning.counterfactual.pool import LabelBatch
from marl.learning.learner import NUM_UPDATES, TD_ERROR, ScheduledLearner
from marl.learning.policy_arrays import Weights


class CounterfactualLearner(ScheduledLearner):
    """Fits each network's option values to the labels, both centred over the options.

    Only differences between options matter, and centring takes the part of a label's noise that all
    options of a situation share. All options of a situation are labelled, so nothing is
    bootstrapped: an update is a step of policy improvement over the branches' continuation.

    `config.learner_config_dict`: `lr`, `lr_final_fraction`, `anneal_env_steps`, `average_rate`,
    `huber_threshold`.
    """

    @override(DQNTorchLearner)
    def build(self) -> None:
        super().build()
        names = self.config.learner_config_dict["choices"]
        self._networks: dict[str, nn.Module] = {
            name: self.module[name].unwrapped().network for name in names
        }
        self._optimizers = {
            name: torch.optim.Adam(network.parameters(), lr=self._settings["lr"])
            for name, network in self._networks.items()
        }
        self._averaged = {
            name: {key: value.clone() for key, value in network.state_dict().items()}
            for name, network in self._networks.items()
        }
        self._num_updates = 0

    def get_averaged_weights(self) -> Weights:
        """Slowly averaged parameters, choice -> name -> values: what is evaluated and shipped."""
        return {
            name: {key: value.numpy().copy() for key, value in weights.items()}
            for name, weights in self._averaged.items()
        }

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
            training_data: `batch` is a `LabelBatch`.
            timesteps: with the lifetime env steps, which anneal the learning rate.

        Returns:
            RLlib's reduced metrics: the mean absolute error by choice.
        """
        batch: LabelBatch = training_data.batch
        env_steps = (timesteps or {}).get(NUM_ENV_STEPS_SAMPLED_LIFETIME, 0)
        self._set_lr(env_steps, self._optimizers.values())
        errors: dict[str, list[Tensor]] = {name: [] for name in batch.savings}
        for u in range(batch.num_updates):
            self._num_updates += 1
            for name in batch.savings:
                features = torch.from_numpy(batch.features[name][u]).float()
                savings = torch.from_numpy(batch.savings[name][u])
                errors[name].append(self._update_once(name, features, savings))
        self._weights_seq_no += 1
        for name, values in errors.items():
            error = float(torch.stack(values).mean())
            self.metrics.log_value((name, TD_ERROR), error, window=1)
        self.metrics.log_value((ALL_MODULES, NUM_UPDATES), batch.num_updates, reduce="sum")
        lr = next(iter(self._optimizers.values())).param_groups[0]["lr"]
        self.metrics.log_value((ALL_MODULES, "learning_rate"), lr, window=1)
        return self.metrics.reduce()

    def _update_once(self, name: str, features: Tensor, savings: Tensor) -> Tensor:
        """One step of one network on N situations; returns the mean absolute error."""
        target = savings - savings.mean(dim=-1, keepdim=True)
        values = self._networks[name](features)
        values = values - values.mean(dim=-1, keepdim=True)
        loss = functional.huber_loss(values, target, delta=self._settings["huber_threshold"])
        self._descend(name, loss)
        with torch.no_grad():
            return (values - target).abs().mean()

    def _descend(self, name: str, loss: Tensor) -> None:
        """One optimizer step of one network, and one of its average."""
        network, optimizer = self._networks[name], self._optimizers[name]
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(network.parameters(), self.config.grad_clip)
        optimizer.step()
        # A plain mean at first, so that the average soon forgets where training began.
        rate = max(self._settings["average_rate"], 1 / self._num_updates)
        averaged = self._averaged[name]
        with torch.no_grad():
            for key, value in network.state_dict().items():
                averaged[key].lerp_(value, rate)

    @override(DQNTorchLearner)
    def _get_optimizer_state(self) -> dict[str, Any]:
        return {
            "averaged": self.get_averaged_weights(),
            "num_updates": self._num_updates,
            "lr_scale": self._lr_scale,
            "adam": {
                name: [
                    {key: value.numpy().copy() for key, value in optimizer.state[p].items()}
                    for p in self._networks[name].parameters()
                    if p in optimizer.state
                ]
                for name, optimizer in self._optimizers.items()
            },
        }

    @override(DQNTorchLearner)
    def _set_optimizer_state(self, state: dict[str, Any]) -> None:
        self._num_updates, self._lr_scale = state["num_updates"], state["lr_scale"]
        for name, weights in state["averaged"].items():
            for key, value in weights.items():
                self._averaged[name][key].copy_(torch.as_tensor(value))
        for name, moments in state["adam"].items():
            parameters = self._networks[name].parameters()
            for parameter, stored in zip(parameters, moments, strict=False):
                self._optimizers[name].state[parameter] = {
                    key: torch.tensor(value) for key, value in stored.items()
                }
