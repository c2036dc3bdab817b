"""Compiled loops over the options of all agents and SKUs."""

from __future__ import annotations

from envs.compiler import compiled
from envs.omnichannel.types import Float32Array, FloatArray, IntArray

TO_EXPLORE = -1  # stands for a level that is still to be drawn


@compiled
def choose_options(values: Float32Array, levels: IntArray) -> None:
    """Writes the best level of every agent and SKU, the first one of equals.

    Args:
        values: of the levels, (A, B, K, L); agents first, as networks return them.
        levels: (B, A, K), written in place.
    """
    agents, copies, skus, choices = values.shape
    for a in range(agents):
        for b in range(copies):
            for k in range(skus):
                best, highest = 0, values[a, b, k, 0]
                for level in range(1, choices):
                    if values[a, b, k, level] > highest:
                        best, highest = level, values[a, b, k, level]
                levels[b, a, k] = best


@compiled
def uphold_goals(values: Float32Array, goals: IntArray, margin: float, levels: IntArray) -> None:
    """Writes the goal where no level is worth more than the margin above it, else the best one.

    Args:
        values: of a low-level module's levels, (A, B, K, L).
        goals: levels of its role's high-level agent, (B, 1, K).
        margin: of values.
        levels: (B, A, K); the best levels, changed in place.
    """
    agents, copies, skus, _ = values.shape
    for a in range(agents):
        for b in range(copies):
            for k in range(skus):
                best, goal = levels[b, a, k], goals[b, 0, k]
                if values[a, b, k, best] - values[a, b, k, goal] <= margin:
                    levels[b, a, k] = goal


@compiled
def mark_explored(levels: IntArray, uniform: Float32Array, epsilon: FloatArray) -> int:
    """Replaces levels by `TO_EXPLORE` with each copy's probability, in place.

    Args:
        levels: (B, A, K).
        uniform: draws in [0, 1), (B, A, K).
        epsilon: probabilities, (B,).

    Returns:
        How many were replaced.
    """
    copies, agents, skus = levels.shape
    marked = 0
    for b in range(copies):
        for a in range(agents):
            for k in range(skus):
                if uniform[b, a, k] < epsilon[b]:
                    levels[b, a, k] = TO_EXPLORE
                    marked += 1
    return marked


@compiled
def fill_explored(levels: IntArray, drawn: IntArray) -> None:
    """Puts drawn levels, (m,), where levels, (B, A, K), are marked; in place and in order."""
    flat, used = levels.reshape(-1), 0
    for i in range(len(flat)):
        if flat[i] == TO_EXPLORE:
            flat[i] = drawn[used]
            used += 1
