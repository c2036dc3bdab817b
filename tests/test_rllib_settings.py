"""Every setting of RLlib has an effect or is refused: no Ray is started here."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from envs.errors import InputError
from envs.omnichannel.scenario import Scenario
from marl.config import TrainConfig, load_config
from marl.learning.methods import make_method
from marl.learning.rllib.algorithm import MethodAlgorithm
from marl.learning.rllib.config import MethodConfig
from marl.learning.rllib.settings import HONOURED, PASSED_ON, REPLACED


class OfResults(RLlibCallback):
    def on_train_result(self, **_: Any) -> None: ...


class OfEpisodes(RLlibCallback):
    def on_episode_end(self, **_: Any) -> None: ...


OTHER: dict[str, Any] = {
    "lr": 0.25,
    "gamma": 0.25,
    "n_step": 3,
    "tau": 0.25,
    "double_q": False,
    "dueling": False,
    "grad_clip": 0.25,
    "_train_batch_size_per_learner": 7,
    "num_steps_sampled_before_learning_starts": 7,
    "num_env_runners": 7,
    "num_envs_per_env_runner": 7,
    "sample_timeout_s": 7.0,
    "evaluation_duration": 7,
    "seed": 7,
    "min_time_s_per_iteration": 7,
    "min_sample_timesteps_per_iteration": 7,
    "log_level": "INFO",
    "log_sys_usage": False,
    "evaluation_interval": 7,
    "evaluation_config": {"seed": None, "explore": False},
    "callbacks_class": [RLlibCallback, OfResults],
    "max_num_env_runner_restarts": 7,
    "num_cpus_per_env_runner": 7,
    "custom_resources_per_env_runner": {"shelf": 1},
    "num_cpus_for_main_process": 7,
    "custom_resources_for_main_process": {"shelf": 1},
    "placement_strategy": "SPREAD",
}


def make_config(scenario: Scenario) -> MethodConfig:
    return MethodConfig.from_method(make_method(scenario, load_config("default")))


def read(config: TrainConfig, path: str) -> Any:
    value: Any = config
    for name in path.split("."):
        value = getattr(value, name)
    return value


def test_settings__each_field_of_rllib_is_heeded_or_refused(tiny: Scenario) -> None:
    names = vars(make_config(tiny)).keys() - {"algo_class", "method", "_is_frozen"}
    assert vars(AlgorithmConfig()).keys() - names == {"algo_class", "_is_frozen"}
    for name in sorted(names):
        config, value = make_config(tiny), OTHER.get(name, "something else")
        setattr(config, name, value)
        if name in HONOURED:
            assert getattr(config.resolve(), name) == value
        elif name in PASSED_ON:
            method = config.resolve().method
            assert method
            assert read(method.config, PASSED_ON[name]) == value
            assert getattr(config.resolve(), name) == value
        else:
            with pytest.raises(InputError, match=rf"^rllib: {name.lstrip('_')} = .*") as raised:
                config.build_algo()
            assert "\n" not in str(raised.value)
            assert str(raised.value).endswith(REPLACED.get(name, "has an effect"))


def test_tables__name_fields_that_there_are(tiny: Scenario) -> None:
    tables = [set(HONOURED), set(PASSED_ON), set(REPLACED)]
    assert len(set.union(*tables)) == sum(map(len, tables))
    config = make_config(tiny)
    assert set.union(*tables) <= vars(config).keys()
    assert config.method
    paths = [*PASSED_ON.values()]
    for advice in REPLACED.values():
        paths += re.findall(r"\b[a-z]+\.[a-z_]+\b", advice)
    assert len(paths) > 50
    for path in paths:
        read(config.method.config, path)


ASKED: dict[str, tuple[Callable[[MethodConfig], Any], str]] = {
    "a schedule": (lambda c: c.training(lr=[[0, 1e-3], [100, 1e-4]]), "learner.lr_final_fraction"),
    "epsilon": (lambda c: c.training(epsilon=[[0, 1.0], [9, 0.5]]), "exploration.epsilon"),
    "explore": (lambda c: c.env_runners(explore=False), "exploration.epsilon"),
    "buffer": (lambda c: c.training(replay_buffer_config={"capacity": 9}), "pool.capacity"),
    "target": (lambda c: c.training(target_network_update_freq=9), "learner.target_update"),
    "some learn": (lambda c: c.multi_agent(policies_to_train=["ordering_low"]), "method"),
    "policies": (lambda c: c.multi_agent(policies={"shared"}), "method"),
    "specs": (lambda c: c.rl_module(rl_module_spec=RLModuleSpec()), "learner.hidden"),
    "model": (lambda c: c.rl_module(model_config={"fcnet_hiddens": [9]}), "learner.hidden"),
    "connector": (lambda c: c.env_runners(env_to_module_connector=list), "connectors"),
    "episode hook": (lambda c: c.callbacks(on_episode_end=print), "on_train_result"),
    "episode class": (lambda c: c.callbacks(OfEpisodes), "on_train_result"),
    "learners": (lambda c: c.learners(num_learners=2), "env_runners.num_env_runners"),
    "a learner's GPU": (lambda c: c.learners(num_gpus_per_learner=1), "CPU"),
    "a runner's GPU": (lambda c: c.env_runners(num_gpus_per_env_runner=1), "CPU"),
    "environment": (lambda c: c.environment("CartPole-v1"), "scenario"),
    "evaluators": (lambda c: c.evaluation(evaluation_num_env_runners=1), "validation_episodes"),
    "periods": (lambda c: c.evaluation(evaluation_duration_unit="timesteps"), "validation_epi"),
    "exploring": (lambda c: c.evaluation(evaluation_config={"explore": True}), "explore=False"),
    "eval's rate": (lambda c: c.evaluation(evaluation_config={"lr": 1.0}), "explore=False"),
    "a negative seed": (lambda c: c.evaluation(evaluation_config={"seed": -1}), "seed >= 0"),
    "a new name": (lambda c: setattr(c, "not_yet_known", 1), "docs/rllib.md"),
    "no rate": (lambda c: c.training(lr="fast"), "learner.lr"),
    "no runners": (lambda c: c.env_runners(num_env_runners=2000), "env_runners.num_env_runners"),
    "no seed": (lambda c: c.debugging(seed=-1), "seed"),
}


@pytest.mark.parametrize("case", ASKED)
def test_settings__as_a_user_sets_them(tiny: Scenario, case: str) -> None:
    ask, instead = ASKED[case]
    config = make_config(tiny)
    ask(config)
    for build in (config.validate, config.build_algo):
        with pytest.raises(InputError, match=r"^rllib: .*") as raised:
            build()
        assert instead in str(raised.value)
        assert "\n" not in str(raised.value)


def test_settings__a_configuration_without_a_method_is_refused() -> None:
    with pytest.raises(InputError, match="use MethodConfig"):
        MethodConfig().build_algo()


def test_settings__survive_what_tune_makes_of_them(tiny: Scenario) -> None:
    """Tune hands a mapping over, and asks for cores before there is an algorithm."""
    config = make_config(tiny).training(lr=0.25).env_runners(num_env_runners=2)
    for form in (config.to_dict(), config.get_state(), config.copy()):
        settings = dict(form) if isinstance(form, dict) else form.to_dict()
        settings.pop("class", None)
        found = MethodConfig().update_from_dict(settings).resolve()
        assert found.method
        assert found.method.config.learner.lr == 0.25

    logged = MethodConfig().update_from_dict(config.to_dict() | {"__stdout_file__": "out.txt"})
    assert logged.resolve()["__stdout_file__"] == "out.txt"  # of Tune's log_to_file
    request = MethodAlgorithm.default_resource_request(config.to_dict())
    assert request.bundles == [{"CPU": 1.0}] * 3
    longer_than_an_episode = config.copy().training(n_step=20).to_dict()
    assert MethodAlgorithm.default_resource_request(longer_than_an_episode).bundles
    with pytest.raises(InputError, match="epsilon"):
        MethodAlgorithm.default_resource_request(config.training(epsilon=0.5).to_dict())


def test_settings__validating_changes_nothing(tiny: Scenario) -> None:
    config = make_config(tiny)
    config.validate()
    config.validate()
    resolved = config.resolve()
    assert resolved.method is config.method
