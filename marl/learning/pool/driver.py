"""The experience pool in the driver's process, which draws ahead while the learner learns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from envs.omnichannel.types import Float32Array
from marl.learning.pool.base import InDriver
from marl.learning.pool.experience_pool import Batch, ExperiencePool


class DriverPool(ExperiencePool, InDriver):
    """The pool in the driver's process."""

    _ahead: Future[Batch] | None = None  # the last batch asked for

    def draw(self, counts: Sequence[int], batch_size: int) -> Iterator[Batch]:
        """Draws a batch for each count of updates; the next one while this one is learnt from.

        In a thread, which takes a core that has nothing to do. So priorities are those from before
        the batch that is being learnt from.
        """
        if not counts:
            return
        with ThreadPoolExecutor(max_workers=1) as thread:
            self._ahead = ahead = thread.submit(self.sample_in_place, counts[0], batch_size)
            for following in counts[1:]:
                batch = ahead.result()
                self._ahead = ahead = thread.submit(self.sample_in_place, following, batch_size)
                yield batch
            yield ahead.result()

    def update_priorities(self, batch: Batch, td_errors: Float32Array) -> None:
        """Waits for the batch that is being drawn, so that it is the same in every run."""
        if self._ahead:
            self._ahead.result()
        super().update_priorities(batch, td_errors)

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores `get_state`, exactly.

        Raises:
            ValueError: if the pool has another capacity or shape, or actions that no agent has: the
                learner looks values up by them.
        """
        super().set_state(state)
        for ring in self.rings.values():
            for module_id, actions in ring.actions.items():
                options = self.shape.layout.modules[module_id].num_options
                if actions[: ring.size].max(initial=0) >= options:
                    raise ValueError(f"pool actions of {module_id} are not those of its agents")
