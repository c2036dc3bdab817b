"""A ring of the latest items, whatever arrays they are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.omnichannel.types import IntArray


class Ring:
    """The latest items in arrays of one length, the oldest of which are overwritten.

    Args:
        arrays: by name, (capacity, ...); written in place.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.arrays = dict(arrays)
        self.capacity = len(next(iter(self.arrays.values())))
        self.size = 0  # items held
        self.next = 0

    def advance(self, count: int) -> IntArray:
        """Makes room for items over the oldest ones.

        Returns:
            Where they go, (count,), which differ.

        Raises:
            ValueError: if they are more than the ring holds.
        """
        if count > self.capacity:
            raise ValueError(f"{count} items do not fit a pool of {self.capacity}")
        slots: IntArray = (self.next + np.arange(count)) % self.capacity
        self.next = (self.next + count) % self.capacity
        self.size = min(self.size + count, self.capacity)
        return slots

    def get_state(self) -> dict[str, Any]:
        """Arrays of the items held, and the ring's position; no copies."""
        return {
            **{name: array[: self.size] for name, array in self.arrays.items()},
            "next": self.next,
            "capacity": self.capacity,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Restores `get_state`, exactly.

        Raises:
            ValueError: if the ring has another capacity or shape.
        """
        if state["capacity"] != self.capacity:
            raise ValueError(
                f"pool capacity {self.capacity} differs from the checkpoint's {state['capacity']}"
            )
        size = len(state[next(iter(self.arrays))])
        for name, target in self.arrays.items():
            stored = state[name]
            if stored.shape != (size, *target.shape[1:]) or stored.dtype != target.dtype:
                raise ValueError(f"pool array {name} of the checkpoint has another shape")
            target[:size] = stored
            if stored.dtype.kind == "f" and np.isnan(stored).any():
                raise ValueError(f"pool array {name} of the checkpoint holds what is no number")
        begin = state["next"]
        # A ring that is not full begins at its first place.
        if type(begin) is not int or not (
            begin == size or (size == self.capacity and 0 <= begin < size)
        ):
            raise ValueError(f"pool place {str(begin)[:60]!r} of the checkpoint is not in its ring")
        self.size, self.next = size, begin % self.capacity
