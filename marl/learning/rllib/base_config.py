"""RLlib's configuration of a run, filled from a method, for whatever algorithm is to run it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Self

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.dqn import DQNConfig
from ray.rllib.policy.policy import PolicySpec
from ray.rllib.utils.annotations import override

from envs.errors import InputError
from envs.validation import validate_model
from marl.config import TrainConfig
from marl.learning.methods import Method
from marl.learning.rllib.learner import MethodLearner
from marl.learning.rllib.module import make_module_spec
from marl.learning.rllib.runner import MethodRunner
from marl.learning.rllib.settings import HONOURED, OF_TUNE, PASSED_ON, check_settings, find_changes


class BaseConfig(DQNConfig):
    """RLlib's configuration of a method; all of our settings are `method.config`.

    What is set afterwards is taken over or refused when an algorithm is built; `settings` says
    which.
    """

    def __init__(self, algo_class: Any = None) -> None:
        super().__init__(algo_class=algo_class)
        self.method: Method | None = None

    @classmethod
    def from_method(cls, method: Method, algo_class: Any = None) -> Self:
        """Translates ours into RLlib's groups of settings."""
        config, self = method.config, cls(algo_class)
        self.method = method
        for name, path in PASSED_ON.items():
            setattr(self, name, _get(config, path))
        self.environment(env=None)
        self.env_runners(
            env_runner_cls=MethodRunner,
            rollout_fragment_length=max(method.scenario.horizon, config.learner.n_step),
        )
        self.learners(num_learners=0)
        # A dict in a fixed order: a set would change the module order from process to process.
        self.multi_agent(
            policies={name: PolicySpec() for name in method.module_ids},
            policy_mapping_fn=_map_agent,
        )
        self.reporting(
            min_time_s_per_iteration=0,
            min_sample_timesteps_per_iteration=0,
            min_train_timesteps_per_iteration=0,
        )
        self._dont_auto_sync_env_runner_states = True  # they keep none
        self.fault_tolerance(
            restart_failed_env_runners=True,
            delay_between_env_runner_restarts_s=1.0,
        )
        self.debugging(log_level="ERROR")
        self.simple_optimizer = False  # RLlib sets it when it validates
        return self

    def resolve(self) -> Self:
        """Returns the configuration whose method has all that was set here.

        Raises:
            InputError: if there is no method, or a setting has no effect or a wrong value.
        """
        if self.method is None:
            raise InputError("rllib: MethodConfig has no method; use MethodConfig.from_method")
        changes = find_changes(vars(self), vars(self.from_method(self.method, self.algo_class)))
        check_settings(changes)
        resolved = self.from_method(_change_method(self.method, changes), self.algo_class)
        for name in (*HONOURED, *OF_TUNE):
            if hasattr(self, name):
                setattr(resolved, name, getattr(self, name))
        return resolved

    def make_engine(self) -> Self:
        """Returns what RLlib's own parts are built from."""
        engine = copy.copy(self)
        values: dict[str, Any] = {
            "num_env_runners": 0,  # RLlib would wait for all of them; the crew adds them
            "seed": None,  # with which it loads torch's compiler into every process (2 s each)
            "_rl_module_spec": make_module_spec(self.method) if self.method else None,
        }
        engine.__dict__.update(values)
        return engine

    @override(DQNConfig)
    def validate(self) -> None:
        if not self.in_evaluation:  # which RLlib derives from one that is validated
            self.resolve()
        super().validate()

    @override(DQNConfig)
    def get_default_learner_class(self) -> type[MethodLearner]:
        return MethodLearner


def resolve_config(config: Any, algo_class: Any) -> BaseConfig:
    """Returns the configuration that is run, from RLlib's or from a mapping, as Tune gives it.

    Raises:
        InputError: if a setting has no effect or a wrong value.
    """
    if isinstance(config, BaseConfig):
        return config.resolve()
    settings = config.to_dict() if isinstance(config, AlgorithmConfig) else config or {}
    return BaseConfig(algo_class).update_from_dict(settings).resolve()


def _map_agent(agent_id: str, *_: Any, **__: Any) -> str:
    """An agent's module, of which RLlib asks and our runners do not."""
    return agent_id


def _get(config: TrainConfig, path: str) -> Any:
    """The value of a field such as `learner.lr`."""
    value: Any = config
    for name in path.split("."):
        value = getattr(value, name)
    return value


def _change_method(method: Method, changes: Mapping[str, Any]) -> Method:
    """Returns the method under the settings that RLlib names otherwise.

    Raises:
        InputError: if one has a wrong value.
    """
    passed_on = {path: changes[name] for name, path in PASSED_ON.items() if name in changes}
    if not passed_on:
        return method
    data = method.config.model_dump()
    for path, value in passed_on.items():
        *groups, field = path.split(".")
        group = data
        for name in groups:
            group = group[name]
        group[field] = value
    changed: Method = type(method)(method.scenario, validate_model(TrainConfig, data, "rllib"))  # type: ignore[call-arg]
    return changed
