"""Changes of a configuration: what a resumed run may change, and limits of the command line."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from envs.errors import InputError
from envs.omnichannel.scenario import Scenario
from marl.config import TrainConfig

# What the weights, the moments and the stored returns of a checkpoint were made with.
FIXED_FIELDS = (
    "method", "residual.reference", "residual.parameters", "residual.choices",
    "residual.pool_states", "orders.largest_order", "orders.pool_states",
    "learner.hidden", "learner.dueling", "learner.n_step", "learner.gamma",
    "learner.share_parameters",
    "pool.capacity_env_steps", "pool.high_capacity_env_steps", "pool.max_memory_mb",
    "pool.prioritized", "pool.num_shards",
)  # fmt: skip


def check_resumable(stored: TrainConfig, wanted: TrainConfig) -> None:
    """Refuses changes that a checkpoint of `stored` does not fit.

    Raises:
        InputError: names the first field that cannot change.
    """
    for field in FIXED_FIELDS:
        before, after = (attrgetter(field)(config) for config in (stored, wanted))
        if before != after:
            raise InputError(
                f"{field}: {after} is not allowed when resuming; the run was trained with {before}"
            )


def describe_changes(stored: TrainConfig, wanted: TrainConfig) -> list[str]:
    """Returns a line for every field that differs, and one for what is then not bit for bit."""
    before, after = (flatten_fields(c.model_dump(mode="json")) for c in (stored, wanted))
    lines = [f"{k}: {before[k]} -> {after[k]}" for k in after if before[k] != after[k]]
    if stored.env_runners.num_episodes != wanted.env_runners.num_episodes:
        lines.append(
            f"a round is now {wanted.env_runners.num_episodes} episodes instead of "
            f"{stored.env_runners.num_episodes}: weights, pool and counters continue exactly, but "
            "episodes, their exploration and the updates between them are not those that the old "
            "number of runners would have had"
        )
    return lines


def flatten_fields(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns nested fields by dotted name, `a.b`."""
    flat: dict[str, Any] = {}
    for key, value in data.items():
        is_group = isinstance(value, dict)
        flat |= flatten_fields(value, f"{prefix}{key}.") if is_group else {prefix + key: value}
    return flat


def list_settings(scenario: Scenario, config: TrainConfig) -> dict[str, bool | float | str]:
    """Returns every setting of a run that has a value, by dotted name; lists as text."""
    fields = {"scenario": scenario.name, **flatten_fields(config.model_dump(mode="json"))}
    return {
        name: value if isinstance(value, bool | int | float | str) else str(value)
        for name, value in fields.items()
        if value is not None
    }


def make_stop_overrides(
    episodes: str | None,
    env_steps: str | None,
    minutes: float | None,
    *,
    done_episodes: int = 0,
    done_env_steps: int = 0,
    done_seconds: float = 0.0,
) -> list[str]:
    """Returns overrides of `stop` for limits given on the command line.

    A limit that is given replaces all limits of the configuration. `+N` counts from what is done;
    minutes always do.

    Raises:
        InputError: if a count is no whole number above zero.
    """
    if episodes is None and env_steps is None and minutes is None:
        return []
    total = None if minutes is None else minutes + done_seconds / 60
    limits = {
        "episodes": _parse_count("--episodes", episodes, done_episodes),
        "env_steps": _parse_count("--env-steps", env_steps, done_env_steps),
        "minutes": total,
    }
    return [f"stop.{k}={'null' if v is None else v}" for k, v in limits.items()]


def _parse_count(option: str, text: str | None, done: int) -> int | None:
    if text is None:
        return None
    digits = text.removeprefix("+")
    if not digits.isdecimal() or int(digits) == 0:
        raise InputError(f"{option}: {text!r} is not allowed; a whole number N >= 1, or +N")
    return int(digits) + (done if text.startswith("+") else 0)
