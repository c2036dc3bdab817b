"""The greedy choice: every agent's best option, given what its options are worth."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from envs.compiler import compiled
from envs.omnichannel.agents.roster import MODULES
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.types import Float32Array, FloatArray, IntArray

Values = FloatArray | Float32Array


def choose_greedily(
    env: BatchedEnv,
    value: Callable[[str], Values],
    explore: Callable[[str, IntArray], object] | None = None,
) -> dict[str, IntArray]:
    """Returns the best options by module, (B, A_m, K); of the high level on review periods only.

    A role's high level chooses before its low level. Under `valued` coordination, the low level
    takes its goals where its values do not speak against them.

    Args:
        env: B copies.
        value: what a module's options are worth, (A_m, B, K, L).
        explore: changes a module's options in place, before others see them; None: nobody does.
    """
    rules = env.scenario.coordination
    chosen: dict[str, IntArray] = {}
    for module_id in MODULES:
        module = env.layout.modules[module_id]
        if module.level == "high" and not env.is_review:
            continue
        values = value(module_id)
        agents, copies, skus, _ = values.shape
        options = chosen[module_id] = np.empty((copies, agents, skus), np.int64)
        choose_options(values, options)
        if rules.strategy == "valued" and module.boss is not None:
            goals = {**env.goals, **chosen}[module.boss]
            uphold_goals(values, goals, rules.margin, options)
        if explore is not None:
            explore(module_id, options)
    return chosen


@compiled
def choose_options(values: Values, options: IntArray) -> None:
    """Writes the best option of every agent and SKU, the first one of equals.

    Args:
        values: of the options, (A, B, K, L); agents first, as networks return them.
        options: (B, A, K), written in place.
    """
    agents, copies, skus, choices = values.shape
    for a in range(agents):
        for b in range(copies):
            for k in range(skus):
                best, highest = 0, values[a, b, k, 0]
                for option in range(1, choices):
                    if values[a, b, k, option] > highest:
                        best, highest = option, values[a, b, k, option]
                options[b, a, k] = best


@compiled
def uphold_goals(values: Values, goals: IntArray, margin: float, options: IntArray) -> None:
    """Writes the goal where no option is worth more than the margin above it, else the best one.

    Args:
        values: of a low-level module's options, (A, B, K, L).
        goals: options of its role's high-level agent, (B, 1, K).
        margin: of values.
        options: (B, A, K); the best ones, changed in place.
    """
    agents, copies, skus, _ = values.shape
    for a in range(agents):
        for b in range(copies):
            for k in range(skus):
                best, goal = options[b, a, k], goals[b, 0, k]
                if values[a, b, k, best] - values[a, b, k, goal] <= margin:
                    options[b, a, k] = goal
