"""Compiled loops of demand's draws: quantiles of the normal distribution and of counts.

Kernels that call each other share a file, because the compiler's cache on disk notices changes of a
function's own file only.
"""

from __future__ import annotations

from math import log, sqrt

import numpy as np

from envs.compiler import compiled
from envs.omnichannel.types import FloatArray, IntArray

# Numerator and denominator of the rational approximations in AS 241.
_CENTRE_ENDS = 0.425
_CENTRE = (
    (2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457,
     13731.693765509461125, 1971.5909503065514427, 133.14166789178437745, 3.3871328727963666080),
    (5226.4952788528545610, 28729.085735721942674, 39307.895800092710610, 21213.794301586595867,
     5394.1960214247511077, 687.18700749205790830, 42.313330701600911252, 1.0),
)  # fmt: skip
_FLANK = (
    (7.7454501427834140764e-4, 0.0227238449892691845833, 0.241780725177450611770,
     1.27045825245236838258, 3.64784832476320460504, 5.76949722146069140550,
     4.63033784615654529590, 1.42343711074968357734),
    (1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966,
     0.148103976427480074590, 0.689767334985100004550, 1.67638483018380384940,
     2.05319162663775882187, 1.0),
)  # fmt: skip
_TAIL = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 0.00124266094738807843860,
     0.0265321895265761230930, 0.296560571828504891230, 1.78482653991729133580,
     5.46378491116411436990, 6.65790464350110377720),
    (2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5,
     7.86869131145613259100e-4, 0.0148753612908506148525, 0.136929880922735805310,
     0.599832206555887937690, 1.0),
)  # fmt: skip


@compiled
def round_normals(uniform: FloatArray, mean: FloatArray, deviation: FloatArray) -> IntArray:
    """Normal quantiles rounded to units and clipped at zero, (B, n).

    Args:
        uniform: in (0, 1), (B, n).
        mean: (B, n).
        deviation: (B, n), or (1, n) for all copies.
    """
    copies, cells = uniform.shape
    units = np.empty(uniform.shape, np.int64)
    score = np.empty(cells)
    for b in range(copies):
        # The centre first, for all: without a branch the processor takes several at a time.
        for n in range(cells):
            score[n] = invert_normal_centre(uniform[b, n])
        for n in range(cells):
            if abs(uniform[b, n] - 0.5) > _CENTRE_ENDS:
                score[n] = invert_normal_tails(uniform[b, n])
        own = b % len(deviation)
        for n in range(cells):
            units[b, n] = max(np.rint(mean[b, n] + deviation[own, n] * score[n]), 0)
    return units


@compiled
def invert_normal_centre(p: float) -> float:
    """The standard normal quantile of p where |p - 1/2| <= 0.425, to about 16 digits.

    Source: Wichura (1988), Algorithm AS 241, Applied Statistics 37(3):477-484, routine PPND16.
    """
    q = p - 0.5
    r = 0.180625 - q * q
    return q * _evaluate(_CENTRE[0], r) / _evaluate(_CENTRE[1], r)


@compiled
def invert_normal_tails(p: float) -> float:
    """The same elsewhere in (0, 1)."""
    r = sqrt(-log(min(p, 1 - p)))
    if r <= 5:
        x = _evaluate(_FLANK[0], r - 1.6) / _evaluate(_FLANK[1], r - 1.6)
    else:
        x = _evaluate(_TAIL[0], r - 5) / _evaluate(_TAIL[1], r - 5)
    return -x if p < 0.5 else x


@compiled
def _evaluate(coefficients: tuple[float, ...], x: float) -> float:
    """A polynomial, highest power first."""
    value = 0.0
    for coefficient in coefficients:
        value = value * x + coefficient
    return value


@compiled
def count_terms(
    left: FloatArray, term: FloatArray, a: FloatArray, b: FloatArray, most: int
) -> IntArray:
    """Panjer's recursion: the smallest k whose terms p(0) ... p(k) add up to the uniform, (n,).

    Args:
        left: uniform - p(0), (n,).
        term: p(0), (n,).
        a: of p(k) = (a + b (k - 1)) / k p(k - 1), (n,).
        b: likewise, (n,).
        most: terms beyond p(0); where they do not suffice the result is -1.
    """
    counts = np.empty(len(left), np.int64)
    for n in range(len(left)):
        rest, p, k = left[n], term[n], 0
        while rest > 0 and k < most:
            k += 1
            p *= (a[n] + b[n] * (k - 1)) / k
            rest -= p
        counts[n] = -1 if rest > 0 else k
    return counts
