"""The start of runners as a person is told of it: delays, and why one does not start."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import ray
from ray._private.state import actors
from ray.actor import ActorHandle
from ray.exceptions import RayError


@contextmanager
def hide_actor_warnings() -> Iterator[None]:
    """Holds stderr back and leaves out one line that Ray's core writes there by itself.

    It warns of every restartable actor whose arguments lie in the object store, which is how RLlib
    starts its runners, and knows no level between this and silence.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            for line in held:
                if b"has constructor arguments in the object store" not in line:
                    os.write(2, line)


def explain_no_start(num_runners: int, timeout_s: float) -> str:
    """Returns one line that says that no runner started, and what to do."""
    total = ray.cluster_resources().get("CPU", 0.0)
    return (
        f"env_runners: none of {num_runners} runners has started within {timeout_s:g} s; a runner "
        f"needs a core, and {_count_free_cores():g} of the cluster's {total:g} are free; add a "
        "node, wait until others end, or sample in this process with --set "
        "env_runners.num_env_runners=0"
    )


def _count_free_cores() -> float:
    return float(ray.available_resources().get("CPU", 0.0))


def describe_delay(actor: ActorHandle) -> str:
    """Returns why an actor has not started: there is no core for it, or it takes its time."""
    placed = actors(actor._actor_id.hex()).get("Pid", 0)  # a process holds its core as it starts
    return "is slow to start" if placed or _count_free_cores() >= 1 else "has no room yet"


def find_reason(error: RayError) -> str:
    """Returns the last line of what Ray says, which is the error that a runner met."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].strip()[:200]
