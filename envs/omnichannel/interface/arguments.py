"""The arguments of the views, checked: scenarios, lengths, seeds and actions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np

from envs.errors import InputError
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.types import IntArray
from envs.validation import validate_model

RENDER_MODES = ("ansi",)
LARGEST_SEED = 2**64 - 1


def open_scenario(scenario: str | Scenario, horizon: int | None = None) -> Scenario:
    """Returns a scenario, given by name, path or value.

    Args:
        scenario: name, path or value.
        horizon: periods of an episode; None: the scenario's own.

    Raises:
        InputError: if the scenario is not known or not valid, or does not allow the horizon.
    """
    if not isinstance(scenario, Scenario):
        scenario = load_scenario(scenario)
    if horizon is None:
        return scenario
    check_count("horizon", horizon)
    return validate_model(Scenario, {**scenario.model_dump(), "horizon": horizon}, scenario.name)


def check_count(field: str, value: Any, most: int | None = None) -> int:
    """Returns a count of at least 1.

    Raises:
        InputError: if the value is no whole number, below 1 or above `most`.
    """
    if not _is_whole(value) or value < 1 or (most is not None and value > most):
        allowed = "of at least 1" if most is None else f"from 1 to {most}"
        raise InputError(f"{field}: {value!r} is not allowed; a whole number {allowed} is needed")
    return int(value)


def check_render_mode(render_mode: str | None) -> str | None:
    """Returns the render mode.

    Raises:
        InputError: if it is not known.
    """
    if render_mode not in {None, *RENDER_MODES}:
        raise InputError(
            f"render_mode: {render_mode!r} is not known; allowed: None, {', '.join(RENDER_MODES)}"
        )
    return render_mode


def check_seed(seed: Any, field: str = "seed", most: int = LARGEST_SEED) -> int:
    """Returns a seed of the exogenous draws.

    Raises:
        InputError: if it is no whole number or does not fit into 64 bits.
    """
    if not _is_whole(seed) or not 0 <= seed <= most:
        raise InputError(
            f"{field}: {seed!r} is not allowed; a whole number from 0 to {most} is needed"
        )
    return int(seed)


def check_options(field: str, action: Any, counts: IntArray) -> IntArray:
    """Returns an action as an array of options, of the shape of `counts`.

    Args:
        field: names the action in an error.
        action: what the user gave.
        counts: how many options each part of the action has.

    Raises:
        InputError: if the action's shape, type or values are wrong.
    """
    try:
        options = np.asarray(action)
    except ValueError:  # lists of different lengths
        options = np.empty(0)
    is_right = options.shape == counts.shape and options.dtype.kind in "biu"
    if not is_right or ((options < 0) | (options >= counts)).any():
        sizes = " x ".join(map(str, counts.shape))
        needed = f"{sizes} whole numbers" if sizes else "a whole number"
        limit = f"from 0 to {counts.min() - 1}"
        if counts.min() < counts.max():
            limit = f"below their numbers of options, which are {counts.min()} to {counts.max()},"
        found = " ".join(repr(action).split())
        found = found if len(found) <= 60 else f"{found[:57]}..."
        verb = "are" if sizes else "is"
        raise InputError(f"{field}: {found} is not allowed; {needed} {limit} {verb} needed")
    return options.astype(np.int64)


def check_agents(actions: Any, agents: list[str]) -> None:
    """Checks that there is one action for each agent that lives.

    Raises:
        InputError: if an agent's action is missing, or an agent is not known or no longer acts.
    """
    if not isinstance(actions, Mapping):
        raise InputError(
            f"actions: a {type(actions).__name__} is not allowed; a dict from the name of each "
            "agent to its action is needed"
        )
    for name in agents:
        if name not in actions:
            raise InputError(f"actions: {name!r} is missing; each of `agents` needs an action")
    for name in actions:
        if name not in agents:
            allowed = ", ".join(agents) or "none, because the episode has ended"
            raise InputError(f"actions: {name!r} is not an agent that acts; allowed: {allowed}")


def refuse_before_reset(what: str) -> NoReturn:
    """Raises the error of a call that needs an episode.

    Raises:
        InputError: always.
    """
    raise InputError(f"{what}: no episode has begun; `reset` must be called first")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
