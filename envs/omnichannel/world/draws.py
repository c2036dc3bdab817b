"""Counter-based random numbers: a pure function of (seed, period, stream).

The same seed gives the same draws whatever the batch size or process, a stored state can be
replayed with the draws it met, and there is no generator state to checkpoint.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from envs.compiler import compiled
from envs.omnichannel.types import FloatArray, IntArray, SeedArray

# One stream per purpose, so that adding a draw to one process never shifts another.
START, DEMAND, ONLINE_SPLIT, RETURN_RATE, RETURN_ROUNDING, SCRAP_ROUNDING = range(6)
DEMAND_DRIFT, DEMAND_FACTOR, PROMOTION = range(20, 23)
# The network's own, far from the others.
DC_OFFER, RATIONING, SUPPLIER_LEAD_TIME, LANE_LEAD_TIME, SUPPLY_CUT = range(200, 205)
DELIVERY = 205
RECORD_START, RECORDS = 40, 41
SUBSTITUTION = 50
RESAMPLED_DAY = 51
DRIFT_BELIEF = 60  # not of the world: what a planner thinks of it

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def sample_uniform(
    seed: SeedArray, period: IntArray, stream: int, shape: tuple[int, ...]
) -> FloatArray:
    """Returns uniforms in (0, 1), one row per copy.

    Source: SplitMix64 (Steele, Lea & Flood 2014, OOPSLA), used as a hash of a counter.

    Args:
        seed: of each copy, (B,).
        period: of each copy, (B,).
        stream: which purpose the draws serve.
        shape: of one copy's draws.

    Returns:
        Uniforms, (B, *shape).
    """
    return _hash_uniforms(seed, period, stream, math.prod(shape)).reshape(len(seed), *shape)


def make_seeds(purpose: str, seed: int, count: int, *, skip: int = 0) -> SeedArray:
    """Returns `count` episode seeds; other purposes and other base seeds give disjoint streams.

    Args:
        purpose: such as "train" or "test".
        seed: base seed of the run, >= 0.
        count: how many, >= 0.
        skip: episodes to leave out first, so that batches continue one another.

    Returns:
        Seeds, (count,).
    """
    words = np.random.SeedSequence([seed, *purpose.encode()]).generate_state(1, np.uint64)
    counters = np.arange(skip + 1, skip + count + 1, dtype=np.uint64)
    hashes: SeedArray = _mix_array(words + counters * _GOLDEN)
    return hashes


@compiled
def _mix_bits(z: np.uint64) -> np.uint64:
    """SplitMix64's finaliser."""
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


# The same in NumPy: seeds are made once an episode, and a loop would be loaded from disk for that.
_mix_array: Any = getattr(_mix_bits, "py_func", _mix_bits)


@compiled
def _hash_uniforms(seed: SeedArray, period: IntArray, stream: int, count: int) -> FloatArray:
    """Uniforms in (0, 1), (B, n): hashes of the counters 1 ... n under each copy's own key."""
    uniform = np.empty((len(seed), count))
    for b in range(len(seed)):
        purpose = np.uint64(period[b]) * np.uint64(0xD1B54A32D192ED03) + np.uint64(stream)
        key = _mix_bits(seed[b] ^ _mix_bits(purpose))
        for n in range(count):
            counter = key + np.uint64(n + 1) * _GOLDEN
            bits = np.int64(_mix_bits(counter) >> np.uint64(11))
            uniform[b, n] = (np.float64(bits) + 0.5) * 2.0**-53
    return uniform
