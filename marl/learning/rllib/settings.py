"""Which settings of RLlib reach training: as they are, as one of ours, or not at all.

Whatever is not named here is refused as well, so a setting that a later RLlib brings has either an
effect or an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.policy.policy import PolicySpec
from ray.tune.result import STDERR_FILE, STDOUT_FILE

from envs.errors import InputError

# RLlib itself heeds these.
HONOURED = (
    "min_time_s_per_iteration",
    "min_sample_timesteps_per_iteration",
    "log_level",
    "log_sys_usage",
    "evaluation_interval",
    "evaluation_config",  # two keys of it
    "callbacks_class",  # with the hooks below
    "callbacks_on_algorithm_init",
    "callbacks_on_train_result",
    "callbacks_on_evaluate_start",
    "callbacks_on_evaluate_end",
    "callbacks_on_checkpoint_loaded",
    "max_num_env_runner_restarts",
    "num_cpus_per_env_runner",
    "custom_resources_per_env_runner",
    "num_cpus_for_main_process",
    "custom_resources_for_main_process",
    "placement_strategy",
)
HOOKS = (
    "on_algorithm_init",
    "on_train_result",
    "on_evaluate_start",
    "on_evaluate_end",
    "on_checkpoint_loaded",
)

# These are fields of `TrainConfig` under another name.
PASSED_ON = {
    "lr": "learner.lr",
    "gamma": "learner.gamma",
    "n_step": "learner.n_step",
    "tau": "learner.tau",
    "double_q": "learner.double",
    "dueling": "learner.dueling",
    "grad_clip": "learner.grad_clip",
    "_train_batch_size_per_learner": "learner.batch_size",
    "num_steps_sampled_before_learning_starts": "pool.min_env_steps",
    "num_env_runners": "env_runners.num_env_runners",
    "num_envs_per_env_runner": "env_runners.num_envs_per_env_runner",
    "sample_timeout_s": "env_runners.sample_timeout_s",
    "evaluation_duration": "evaluation.validation_episodes",
    "seed": "seed",
}

_RATE = "use learner.lr, learner.lr_final_fraction and learner.anneal_env_steps"
_EPSILON = "use exploration.epsilon, exploration.final_fraction and exploration.anneal_env_steps"
_NETWORK = "use learner.hidden; another network is a method of its own"
_VALUES = "use learner.double and learner.dueling, which are the options of the networks"
_UPDATES = "use learner.env_steps_per_update"
_BATCH = "use learner.batch_size, or train_batch_size_per_learner"
_POOL = "use pool.capacity_env_steps, pool.prioritized and pool.placement"
_AGENTS = "the method names the networks, and all of them learn; use method"
_PIPELINE = "there are no connectors; agents see what the scenario's environment shows"
_ENV = "give the scenario to the method"
_WHOLE = "episodes are sampled whole; use env_runners.num_envs_per_env_runner"
_CREW = "a runner that fails is replaced; use env_runners.sample_timeout_s"
_DEVICE = "one learner on the CPU of the driver's process learns; use env_runners.num_env_runners"
_VALIDATION = "the driver evaluates; use evaluation.validation_episodes"
_HOOK = f"use a callback with {', '.join(HOOKS)}"

# These have no effect; the text names what to use in their place.
REPLACED = {
    "lr_schedule": _RATE,
    "_torch_lr_scheduler_classes": _RATE,
    "adam_epsilon": _RATE,
    "optimizer": _RATE,
    "epsilon": _EPSILON,
    "explore": _EPSILON,
    "exploration_config": _EPSILON,
    "replay_buffer_config": _POOL,
    "buffer_size": _POOL,
    "prioritized_replay": _POOL,
    "prioritized_replay_alpha": _POOL,
    "prioritized_replay_beta": _POOL,
    "store_buffer_in_checkpoints": "a checkpoint always holds the pool",
    "learning_starts": "use pool.min_env_steps",
    "target_network_update_freq": "use learner.target_update, which counts updates",
    "training_intensity": _UPDATES,
    "num_epochs": _UPDATES,
    "minibatch_size": _BATCH,
    "train_batch_size": _BATCH,
    "replay_batch_size": _BATCH,
    "min_train_timesteps_per_iteration": _UPDATES,
    "td_error_loss_fn": "use learner.huber_threshold",
    "grad_clip_by": "the norm is clipped network by network; use learner.grad_clip",
    "hiddens": _NETWORK,
    "model": _NETWORK,
    "_model_config": _NETWORK,
    "_rl_module_spec": _NETWORK,
    "algorithm_config_overrides_per_module": _AGENTS,
    "num_atoms": _VALUES,
    "v_min": _VALUES,
    "v_max": _VALUES,
    "noisy": _VALUES,
    "sigma0": _VALUES,
    "policies": _AGENTS,
    "policies_to_train": _AGENTS,
    "policy_mapping_fn": _AGENTS,
    "_env_to_module_connector": _PIPELINE,
    "_module_to_env_connector": _PIPELINE,
    "_learner_connector": _PIPELINE,
    "env": _ENV,
    "env_config": _ENV,
    "observation_space": _ENV,
    "action_space": _ENV,
    "rollout_fragment_length": _WHOLE,
    "batch_mode": _WHOLE,
    "restart_failed_env_runners": _CREW,
    "ignore_env_runner_failures": _CREW,
    "env_runner_restore_timeout_s": _CREW,
    "num_learners": _DEVICE,
    "num_gpus_per_learner": _DEVICE,
    "num_cpus_per_learner": _DEVICE,
    "num_gpus": _DEVICE,
    "num_gpus_per_env_runner": _DEVICE,
    "framework_str": "the networks are of torch",
    "evaluation_num_env_runners": _VALIDATION,
    "evaluation_duration_unit": _VALIDATION,
    "evaluation_parallel_to_training": _VALIDATION,
    "custom_evaluation_function": _VALIDATION,
    "callbacks_on_episode_created": _HOOK,
    "callbacks_on_episode_start": _HOOK,
    "callbacks_on_episode_step": _HOOK,
    "callbacks_on_episode_end": _HOOK,
    "callbacks_on_sample_end": _HOOK,
    "callbacks_on_environment_created": _HOOK,
    "callbacks_on_env_runners_recreated": _HOOK,
}
_OTHERWISE = "leave it out; docs/rllib.md lists what has an effect"

# Not settings: what RLlib and Tune keep beside them.
OF_TUNE = (STDOUT_FILE, STDERR_FILE)
_BOOKKEEPING = {"algo_class", "class", "method", "_is_frozen", *OF_TUNE}

_MISSING = object()


def find_changes(asked: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings that differ from a method's own, by name; what is not set is left out.

    Args:
        asked: all fields of the configuration that a user has set.
        own: all fields of the same method's configuration as it was made.
    """
    return {
        name: value
        for name, value in asked.items()
        if name not in _BOOKKEEPING and not _is_same(_plain(value), _plain(own.get(name, _MISSING)))
    }


def check_settings(changes: Mapping[str, Any]) -> None:
    """Checks that each changed setting has an effect.

    Raises:
        InputError: names the first one that has none, and what to use instead.
    """
    for name, value in changes.items():
        if name not in HONOURED and name not in PASSED_ON:
            raise _refuse(name, value, REPLACED.get(name, _OTHERWISE))
    if isinstance(rate := changes.get("lr"), list | tuple):
        raise _refuse("lr", rate, _RATE)
    _check_evaluation(changes.get("evaluation_config"))
    callbacks = changes.get("callbacks_class", [])
    for callback in callbacks if isinstance(callbacks, list | tuple) else [callbacks]:
        _check_hooks(callback)


def _check_evaluation(value: Any) -> None:
    """Refuses all of `evaluation_config` but a seed, and no exploration."""
    allowed = "allowed: explore=False; seed, a base seed >= 0 or None for other episodes each time"
    if value is None:
        return
    if not isinstance(value, Mapping):
        raise _refuse("evaluation_config", value, allowed)
    for key, given in value.items():
        seed = key == "seed" and (given is None or (type(given) is int and given >= 0))
        if not seed and not (key == "explore" and given is False):
            raise _refuse(f"evaluation_config.{key}", given, allowed)


def _check_hooks(callback: Any) -> None:
    """Refuses a callback with a hook that is never called."""
    kind = getattr(callback, "func", callback)  # of a partial
    for name in dir(RLlibCallback):
        if not name.startswith("on_") or name in HOOKS:
            continue
        if getattr(kind, name, None) is not getattr(RLlibCallback, name):
            raise _refuse(f"callbacks_class.{name}", kind, _HOOK)


def _refuse(name: str, value: Any, advice: str) -> InputError:
    text = " ".join(repr(value).split())
    text = text if len(text) <= 60 else f"{text[:57]}..."
    return InputError(f"rllib: {name.lstrip('_')} = {text} has no effect; {advice}")


def _plain(value: Any) -> Any:
    """A value of which RLlib, and Tune's file of a search, have several forms, in one."""
    if isinstance(value, PolicySpec):
        return _plain(value.get_state())
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def _is_same(asked: Any, own: Any) -> bool:
    """Whether a value is the method's own."""
    try:
        return bool(asked is own or asked == own)
    except (ValueError, TypeError, RuntimeError):  # arrays, or what cannot be compared
        return False
