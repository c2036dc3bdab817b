"""The training configuration: schema and defaults; YAML files hold what differs.

The groups are named as RLlib's configuration groups are. Defaults are the hyperparameters that
learnt best in the project's own study.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, model_validator

from envs.errors import InputError
from envs.untrusted import read_text
from envs.validation import NonNegative, Positive, Share, StrictModel, parse_yaml, validate_model

Count = Annotated[int, Field(ge=1, le=10**15)]


class EnvRunners(StrictModel):
    """Sampling: Ray actors, each with copies of the environment."""

    num_env_runners: Annotated[int, Field(ge=0, le=1024)] = 1  # 0: in the driver's process
    num_envs_per_env_runner: Annotated[int, Field(ge=1, le=4096)] = 32
    sample_timeout_s: Positive = 120.0  # a runner that takes longer is replaced
    start_timeout_s: Positive = 300.0  # after which a run that samples alone says so

    @property
    def num_episodes(self) -> int:
        """Of a round: one a copy."""
        return max(self.num_env_runners, 1) * self.num_envs_per_env_runner


class Exploration(StrictModel):
    """Epsilon-greedy; copy b of B explores with epsilon ** (1 + 7 b / (B - 1)).

    Source: Horgan et al. 2018 (Ape-X), section 4.
    """

    epsilon: Annotated[float, Field(gt=0, le=1)] = 0.15
    final_fraction: Share = 0.25  # of epsilon after `anneal_env_steps`
    anneal_env_steps: Count = 150_000

    def compute_epsilon(self, env_steps: int) -> float:
        """Returns epsilon after `env_steps`, annealed linearly."""
        progress = min(env_steps / self.anneal_env_steps, 1.0)
        return self.epsilon * (1 - (1 - self.final_fraction) * progress)


class Learner(StrictModel):
    """DQN and its options."""

    lr: Positive = 1e-3
    lr_final_fraction: Share = 0.1  # of lr after `anneal_env_steps`
    anneal_env_steps: Count = 150_000
    gamma: Share = 0.95
    n_step: Annotated[int, Field(ge=1, le=100)] = 5
    double: bool = True
    dueling: bool = True
    share_parameters: bool = True  # by module; false: every agent has a network of its own
    tau: Annotated[float, Field(gt=0, le=1)] = 0.01  # Polyak step of the target, each update
    target_update: Count | None = None  # updates between copies to the target; null: Polyak
    average_rate: Annotated[float, Field(gt=0, le=1)] = 0.002  # of the weights that are evaluated
    huber_threshold: Positive = 10.0  # TD errors beyond it count linearly
    grad_clip: Positive = 10.0  # norm, by module
    hidden: Annotated[tuple[Annotated[int, Field(ge=1, le=4096)], ...], Field(min_length=1)] = (
        64,
        64,
    )
    batch_size: Count = 512  # transitions by module and update
    env_steps_per_update: Positive = 32.0
    initial_bias: NonNegative = 0.02  # head start of the initial action; the rest starts at zero


class Prioritized(StrictModel):
    """Proportional prioritised replay.

    Source: Schaul et al. 2016, whose Atari agents used 0.6 and 0.4 and raised beta to 1.
    """

    alpha: Share = 0.6  # 0: every transition is as likely
    beta: Share = 0.4  # 1: importance weights undo all of the bias


class Pool(StrictModel):
    """The shared experience pool."""

    capacity_env_steps: Count = 40_000
    # Of the high level, whose decisions are rarer; null: as many. They take a hundredth as much.
    high_capacity_env_steps: Count | None = None
    max_memory_mb: Positive = 2048.0  # the capacity shrinks to fit
    min_env_steps: Count = 3_000  # before the first update
    # Store and SKU are drawn in proportion to their mean demand to this power; 0: all as often.
    demand_exponent: Share = 0.0
    prioritized: Prioritized | None = None  # null: drawn uniformly; {}: with the defaults
    placement: Literal["driver", "actor"] = "driver"  # actor: Ray actors that runners write to
    num_shards: Annotated[int, Field(ge=1, le=1024)] = 1  # more than one: with actors only

    @model_validator(mode="after")
    def _check_shards(self) -> Self:
        if self.placement == "driver" and self.num_shards > 1:
            raise ValueError(
                f"num_shards: {self.num_shards} is not allowed with placement driver; 1, or "
                "placement actor"
            )
        if self.demand_exponent and self.prioritized is not None:
            raise ValueError(
                f"demand_exponent: {self.demand_exponent:g} is not allowed with prioritized; 0"
            )
        if self.placement == "actor" and self.prioritized is not None:
            raise ValueError("prioritized: is not allowed with placement actor; null")
        return self


BEST = "best"


class Branching(StrictModel):
    """How many recorded states are branched, and how many of them are kept."""

    states: Count = 1600  # by choice or group of agents, runner and round
    pool_states: Count = 60_000  # held by choice or group

    @model_validator(mode="after")
    def check_pool(self) -> Self:
        """A round of one runner fits into the pool."""
        if self.states > self.pool_states:
            raise ValueError(
                f"pool_states {self.pool_states} is not allowed; at least "
                f"{self.states} (states of a round)"
            )
        return self


class Residual(Branching):
    """Agents that depart from a tuned rule where counterfactual branches show that it pays."""

    # The rule's family; best: that of `evaluation.baselines` which, tuned, earns most.
    reference: str = BEST
    parameters: dict[str, float] | None = None  # of the rule; null: tuned before training
    # Empty: all that the scenario has, loads only where trucks cost.
    choices: tuple[Literal["dispatch", "supplier_order"], ...] = ()
    dispatch_horizon: Count = 10  # periods of a branch
    supplier_order_horizon: Count = 16
    # Where the saving of an option is read: in the whole network's cost, one agent a branch; or at
    # the agent's own place, its store or its SKU, many agents a branch.
    credit: Literal["team", "local"] = "team"
    # Who decides in the rest of a branch: the rule; the branched choice's network and for all other
    # choices the rule; or the networks of all choices.
    continuation: Literal["rule", "own", "learned"] = "rule"
    margin: NonNegative = 0.01  # what an option must save, in 2% of a day's expected demand

    @model_validator(mode="after")
    def _check_parameters(self) -> Self:
        if self.parameters is not None and self.reference == BEST:
            raise ValueError(
                "parameters is not allowed with reference best; name the family that they are of"
            )
        return self

    def get_horizon(self, choice: str) -> int:
        """Periods of a choice's branches."""
        periods: int = getattr(self, f"{choice}_horizon")
        return periods


class Orders(Branching):
    """Agents that choose order quantities, taught by branches over every one of them."""

    largest_order: Annotated[float, Field(gt=0, le=20)] = 2.0  # days of mean demand
    states: Count = 800
    pool_states: Count = 40_000
    # Orders this much worse than the best count half; unit: a day's demand at the holding cost, of
    # a store alone at the geometric mean of the costs of a unit that is left and of one short.
    focus: Positive = 0.2
    futures: Count = 4  # that the days until an order arrives are drawn from, of a store alone


class WeightSearchRules(StrictModel):
    """How the proposers' weights move where the scenario's coordination is `learned`."""

    sigma: Positive = 0.7  # of the noise in the weights' logarithms, by copy
    step: NonNegative = 0.2  # of a round, in noise that went with a usual gain; 0: they stay


class Evaluation(StrictModel):
    """Greedy episodes: validation while training, fresh test episodes at the end."""

    interval_episodes: Count = 320
    validation_episodes: Count = 64
    test_episodes: Annotated[int, Field(ge=2)] = 256
    baselines: tuple[str, ...] = ("before", "order_up_to", "forecast_order_up_to")


class Feedback(StrictModel):
    """The paper's feedback layer: what evaluation changes in training."""

    mode: Literal["off", "learning_rate", "exploration", "service", "all"] = "off"
    patience: Count = 4  # evaluations without a better validation reward
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.5  # of learning rate and epsilon then
    service_target: Annotated[float, Field(gt=0, lt=1)] = 0.968  # of units on time
    service_step: Positive = 0.2  # a point (1%) missed changes the log of the weight by this

    def covers(self, parameter: str) -> bool:
        """Whether evaluation changes the parameter."""
        return self.mode in {parameter, "all"}


class Checkpoints(StrictModel):
    """Checkpoints kept besides the best one."""

    keep: Count = 2


class Tracking(StrictModel):
    """Where metrics go besides TensorBoard; servers and keys are the environment's."""

    to: tuple[Literal["mlflow", "wandb"], ...] = ()
    project: Annotated[str, Field(min_length=1, max_length=100)] = "omnichannel"


class Stop(StrictModel):
    """When training ends: whichever comes first; null is no limit."""

    episodes: Count | None = 2_000
    env_steps: Count | None = None
    minutes: Positive | None = None

    def compute_fraction(self, episodes: int, env_steps: int, seconds: float) -> float:
        """Returns the share of the way to the nearest limit; 1 or more: it is reached."""
        shares = [0.0]
        if self.episodes:
            shares.append(episodes / self.episodes)
        if self.env_steps:
            shares.append(env_steps / self.env_steps)
        if self.minutes:
            shares.append(seconds / (60 * self.minutes))
        return max(shares)

    def check_open(self, episodes: int, env_steps: int, seconds: float) -> None:
        """Refuses to go on where a limit is reached already.

        Raises:
            InputError: if so.
        """
        if self.compute_fraction(episodes, env_steps, seconds) >= 1:
            raise InputError(
                f"stop: the run is done at episode {episodes}, env step {env_steps}; "
                "give --episodes +N, --env-steps +N or --minutes M to go on"
            )


class TrainConfig(StrictModel):
    """Everything about a run but its scenario."""

    # 34 DQN agents, choices around a rule, or order quantities of one SKU.
    method: Literal["agents", "residual", "orders"] = "agents"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    env_runners: EnvRunners = EnvRunners()
    exploration: Exploration = Exploration()
    learner: Learner = Learner()
    pool: Pool = Pool()
    residual: Residual = Residual()
    orders: Orders = Orders()
    coordination: WeightSearchRules = WeightSearchRules()
    evaluation: Evaluation = Evaluation()
    feedback: Feedback = Feedback()
    checkpoints: Checkpoints = Checkpoints()
    tracking: Tracking = Tracking()
    stop: Stop = Stop()

    @model_validator(mode="after")
    def _check_method(self) -> Self:
        """Other methods have neither pools in actors nor targets that are copied."""
        for field, value, only in (
            ("pool.placement", self.pool.placement, "driver"),
            ("learner.target_update", self.learner.target_update, None),
        ):
            if self.method != "agents" and value != only:
                raise ValueError(
                    f"{field}: {value} is not allowed with method {self.method}; {only or 'null'}"
                )
        return self

    @model_validator(mode="after")
    def _check_sharing(self) -> Self:
        others = {
            f"method {self.method}": self.method != "agents",
            "pool.prioritized": self.pool.prioritized is not None,
            "pool.placement actor": self.pool.placement == "actor",
        }
        used = [name for name, is_on in others.items() if is_on]
        if not self.learner.share_parameters and used:
            raise ValueError(f"learner.share_parameters: false is not allowed with {used[0]}; true")
        return self


def list_configs() -> list[str]:
    """Names of the built-in configurations, sorted."""
    folder = resources.files("marl") / "configs"
    return sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith("yaml"))


def load_config(
    name_or_path: str | Path = "default", overrides: list[str] | None = None
) -> TrainConfig:
    """Reads a configuration and applies `a.b=value` overrides.

    Raises:
        InputError: if the file, a key or a value is not allowed.
    """
    text = str(name_or_path)
    if text in list_configs():
        content = (resources.files("marl") / "configs" / f"{text}.yaml").read_text("utf-8")
    elif Path(text).suffix in {".yaml", ".yml"}:
        content = read_text(Path(text), "config")
    else:
        raise InputError(
            f"config: {text!r} is not known; allowed: {', '.join(list_configs())}, "
            "or the path of a .yaml file"
        )
    data = parse_yaml(content, text)
    return validate_model(TrainConfig, apply_overrides(data, overrides or []), text)


def apply_overrides(data: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Returns a copy of `data` with each `a.b=value` set; values are YAML.

    Raises:
        InputError: if an override is not of that form.
    """
    merged: dict[str, Any] = yaml.safe_load(yaml.safe_dump(data))
    for override in overrides:
        path, equals, value = override.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            raise InputError(f"--set: {override!r} is not allowed; write a.b=value")
        target = merged
        for key in keys[:-1]:
            target = target.setdefault(key, {})
            if not isinstance(target, dict):
                raise InputError(f"--set: {path!r} is not allowed; {key} holds a value, not fields")
        try:
            target[keys[-1]] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise InputError(f"--set: value {value!r} of {path} is not valid YAML") from None
    return merged
