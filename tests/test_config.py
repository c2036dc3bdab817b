import time

import pytest

from envs.errors import InputError
from marl.commands.prepare import limit_tuning, load_training
from marl.config import (
    Exploration,
    Stop,
    apply_overrides,
    list_configs,
    load_config,
)
from marl.runs.changes import check_resumable, describe_changes, make_stop_overrides


@pytest.mark.parametrize("name", list_configs())
def test_load_config__every_built_in_is_valid(name: str) -> None:
    load_config(name)


def test_load_config__defaults_are_those_that_learnt_best() -> None:
    learner = load_config().learner

    assert (learner.n_step, learner.gamma, learner.tau) == (5, 0.95, 0.01)
    assert learner.double
    assert learner.dueling
    assert load_config().exploration.epsilon == 0.15


def test_apply_overrides__sets_nested_values_and_leaves_the_rest() -> None:
    data = {"learner": {"lr": 1.0, "tau": 0.5}}

    merged = apply_overrides(data, ["learner.lr=0.002", "stop.episodes=null"])

    assert merged == {"learner": {"lr": 0.002, "tau": 0.5}, "stop": {"episodes": None}}
    assert data == {"learner": {"lr": 1.0, "tau": 0.5}}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("learner.lr", "--set: 'learner.lr' is not allowed; write a.b=value"),
        ("seed.x=1", "--set: 'seed.x' is not allowed; seed holds a value, not fields"),
        ("seed=[", "--set: value '[' of seed is not valid YAML"),
        ("learner.gamma=1.5", "default: learner.gamma: 1.5 is not allowed"),
        ("learner.lrr=1", "default: learner.lrr: unknown key; allowed: lr, "),
    ],
)
def test_load_config__bad_override_is_one_line(override: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        load_config("default", [override])

    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_make_stop_overrides__a_given_limit_replaces_all_others() -> None:
    config = load_config("default", make_stop_overrides(None, None, 3.0))

    assert config.stop == Stop(episodes=None, env_steps=None, minutes=3.0)


def test_make_stop_overrides__plus_counts_from_what_is_done() -> None:
    overrides = make_stop_overrides(
        "+200", None, 1.0, done_episodes=500, done_env_steps=5, done_seconds=30.0
    )

    stop = load_config("default", overrides).stop
    assert (stop.episodes, stop.minutes) == (700, 1.5)


def test_exploration__anneals_to_its_final_fraction() -> None:
    exploration = Exploration(epsilon=0.2, final_fraction=0.25, anneal_env_steps=100)

    epsilons = [exploration.compute_epsilon(steps) for steps in (0, 50, 100, 10**9)]

    assert epsilons == pytest.approx([0.2, 0.125, 0.05, 0.05])


def test_check_resumable__names_what_a_checkpoint_does_not_fit() -> None:
    stored = load_config()
    check_resumable(stored, load_config("default", ["learner.lr=0.5", "seed=3"]))

    with pytest.raises(InputError) as error:
        check_resumable(stored, load_config("default", ["learner.hidden=[8]"]))

    assert str(error.value) == (
        "learner.hidden: (8,) is not allowed when resuming; the run was trained with (64, 64)"
    )


def test_describe_changes__says_what_is_not_exact_on_other_runners() -> None:
    stored = load_config("default", ["env_runners.num_envs_per_env_runner=8"])
    wanted = load_config(
        "default",
        ["env_runners.num_envs_per_env_runner=8", "env_runners.num_env_runners=3", "learner.lr=1"],
    )

    lines = describe_changes(stored, wanted)

    assert lines[:2] == ["env_runners.num_env_runners: 1 -> 3", "learner.lr: 0.001 -> 1.0"]
    assert lines[2].startswith("a round is now 24 episodes instead of 8: weights, pool and ")
    assert len(lines) == 3
    assert describe_changes(stored, stored) == []


@pytest.mark.parametrize("text", ["0", "-5", "+0", "1.5", "many", "++3"])
def test_make_stop_overrides__refuses_what_is_no_count(text: str) -> None:
    with pytest.raises(InputError, match=r"--episodes: .* a whole number N >= 1, or \+N"):
        make_stop_overrides(text, None, None)


def test_stop__fraction_is_that_of_the_nearest_limit() -> None:
    stop = Stop(episodes=100, env_steps=None, minutes=2.0)

    assert stop.compute_fraction(episodes=10, env_steps=0, seconds=60.0) == 0.5
    with pytest.raises(InputError, match="the run is done at episode 100"):
        stop.check_open(100, 0, 0.0)


def test_load_config__a_round_of_states_fits_the_pool() -> None:
    settings = ["residual.states=50", "residual.pool_states=49"]
    with pytest.raises(InputError, match="pool_states 49 is not allowed; at least 50") as error:
        load_config("residual", settings)
    assert "\n" not in str(error.value)


def test_target_update__is_refused_with_the_residual_method() -> None:
    with pytest.raises(InputError, match="target_update: 100 is not allowed with method residual"):
        load_config("residual", ["learner.target_update=100"])


def test_method__the_old_name_is_refused_with_what_is_allowed() -> None:
    with pytest.raises(InputError, match=r"method: .*agents.*residual.*orders") as error:
        load_config("default", ["method=counterfactual"])
    assert "\n" not in str(error.value)
    with pytest.raises(
        InputError, match=r"config: 'counterfactual' is not known; allowed: .*orders"
    ):
        load_config("counterfactual")


def test_share_parameters__is_refused_with_what_needs_a_shared_network() -> None:
    for override, other in (
        ("method=residual", "method residual"),
        ("pool.prioritized={}", "pool.prioritized"),
        ("pool.placement=actor", "pool.placement actor"),
    ):
        with pytest.raises(InputError, match=f"parameters: false is not allowed with {other}; tru"):
            load_config("default", ["learner.share_parameters=false", override])


def test_load_training__tiny_begins_from_a_rule() -> None:
    _, config = load_training("tiny", None, None, (None, None, None), None)
    assert config == load_config("tiny")
    assert config.method == "residual"
    _, config = load_training("tiny", "default", None, (None, None, None), None)
    assert config.method == "agents"


def test_limit_tuning__is_half_of_the_minutes_that_are_left() -> None:
    now = time.monotonic()
    config = load_config("default", make_stop_overrides(None, None, 3.0))
    assert not limit_tuning(config, now - 80)()
    assert limit_tuning(config, now - 91)()
    assert limit_tuning(config, now - 80, done_seconds=30)()
    assert not limit_tuning(load_config(), now - 10_000)()


def test_load_training__rounds_of_labels_shrink_with_the_scenario() -> None:
    def load(scenario: str, *overrides: str) -> tuple[int, int]:
        limits = (None, None, None)
        _, config = load_training(scenario, "residual", [*overrides], limits, None)
        return config.env_runners.num_envs_per_env_runner, config.residual.states

    assert load("volatile") == (24, 1200)
    assert load("retail") == (8, 400)  # 300 stores and SKUs
    assert load("retail", "residual.states=1200") == (8, 1200)
