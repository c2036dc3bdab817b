"""A linear programme in blocks of variables and rows, solved by HiGHS."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import LinearConstraint, milp
from scipy.sparse import csr_array

from envs.omnichannel.types import FloatArray, IntArray

Values = NDArray[np.floating[Any]] | float


class LinearProgram:
    """Minimises a cost over variables >= 0.

    Variables and rows come in blocks: arrays of their indices, to be sliced, gathered and broadcast
    like the quantities that they stand for.
    """

    def __init__(self) -> None:
        self._cost: list[FloatArray] = []
        self._low: list[FloatArray] = []
        self._high: list[FloatArray] = []
        self._entries: list[tuple[IntArray, IntArray, FloatArray]] = []
        self._num_variables = self._num_rows = 0

    def add_variables(self, shape: tuple[int, ...], cost: Values = 0.0) -> IntArray:
        """Adds a block of variables with a cost each; returns their indices."""
        block = self._num_variables + np.arange(int(np.prod(shape))).reshape(shape)
        self._cost.append(_flatten(cost, shape))
        self._num_variables += block.size
        return block

    def add_rows(self, shape: tuple[int, ...], low: Values, high: Values) -> IntArray:
        """Adds a block of rows: low <= sum(coefficient x variable) <= high; returns indices."""
        block = self._num_rows + np.arange(int(np.prod(shape))).reshape(shape)
        self._low.append(_flatten(low, shape))
        self._high.append(_flatten(high, shape))
        self._num_rows += block.size
        return block

    def put(self, rows: IntArray, variables: IntArray, coefficients: Values = 1.0) -> None:
        """Adds coefficient x variable to rows, all broadcast against each other."""
        entries = np.broadcast_arrays(rows, variables, np.asarray(coefficients, np.float64))
        row, column, value = (entry.ravel() for entry in entries)
        self._entries.append((row, column, value))

    def solve(self) -> float:
        """Returns the least cost.

        Raises:
            RuntimeError: if the solver finds no optimum.
        """
        rows, columns, values = (np.concatenate(part) for part in zip(*self._entries, strict=True))
        shape = (self._num_rows, self._num_variables)
        matrix = csr_array((values, (rows, columns)), shape=shape)
        limits = LinearConstraint(matrix, np.concatenate(self._low), np.concatenate(self._high))
        # Without integer variables `milp` is HiGHS's linear solver with two-sided rows.
        found = milp(np.concatenate(self._cost), constraints=limits)
        if not found.success:
            raise RuntimeError(f"the linear programme was not solved: {found.message}")
        return float(found.fun)


def _flatten(values: Values, shape: tuple[int, ...]) -> FloatArray:
    return np.broadcast_to(np.asarray(values, np.float64), shape).ravel()
