"""Compiled loops that explore: some options of all agents and SKUs are drawn anew."""

from __future__ import annotations

from envs.compiler import compiled
from envs.omnichannel.types import Float32Array, FloatArray, IntArray

TO_EXPLORE = -1  # stands for an option that is still to be drawn


@compiled
def mark_explored(options: IntArray, uniform: Float32Array, epsilon: FloatArray) -> int:
    """Replaces options by `TO_EXPLORE` with each copy's probability, in place.

    Args:
        options: (B, A, K).
        uniform: draws in [0, 1), (B, A, K).
        epsilon: probabilities, (B,).

    Returns:
        How many were replaced.
    """
    copies, agents, skus = options.shape
    marked = 0
    for b in range(copies):
        for a in range(agents):
            for k in range(skus):
                if uniform[b, a, k] < epsilon[b]:
                    options[b, a, k] = TO_EXPLORE
                    marked += 1
    return marked


@compiled
def fill_explored(options: IntArray, drawn: IntArray) -> None:
    """Puts drawn options, (m,), where options, (B, A, K), are marked; in place and in order."""
    flat, used = options.reshape(-1), 0
    for i in range(len(flat)):
        if flat[i] == TO_EXPLORE:
            flat[i] = drawn[used]
            used += 1
