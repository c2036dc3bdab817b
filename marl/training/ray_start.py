"""Starts Ray, and uses the time that it takes for what training needs besides.

Ray's own processes take some seconds to come up, during which this process only waits.
"""

from __future__ import annotations

import gc
import importlib
import logging
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import ray

from marl.errors import RunError
from marl.training.stopping import keep_handlers

CONNECT_TIMEOUT_S = 10.0  # to the head of a cluster

_TRAINING = "marl.training.trainer"  # imports all that a driver needs,
_NUMERICS = "torch"  # and this is the part that knows no Ray


def prepare_training(address: str | None, num_env_runners: int) -> None:
    """Starts Ray as `start_ray` does, and imports what training needs.

    Args:
        address: of the cluster; None: this machine.
        num_env_runners: that the machine must have room for.

    Raises:
        RunError: as `start_ray`.
    """
    with _collector_paused():
        # Not all of it: Ray imports parts of itself while it starts, and may wait for the same.
        beside = Thread(target=importlib.import_module, args=(_NUMERICS,), daemon=True)
        beside.start()
        start_ray(address, num_env_runners)
        beside.join()
        importlib.import_module(_TRAINING)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Imports leave no garbage, and looking for some takes a fifth of their time."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def start_ray(address: str | None, num_env_runners: int) -> None:
    """Starts Ray on this machine, or joins the cluster at `address`.

    `OMNICHANNEL_VERBOSE=1` shows what Ray and its workers print.

    Raises:
        RunError: if Ray does not start here, or the cluster cannot be joined.
    """
    verbose = os.environ.get("OMNICHANNEL_VERBOSE") == "1"
    level = logging.INFO if verbose else logging.ERROR
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if not verbose:
        warnings.filterwarnings("ignore", module="ray")
        for name in ("ray", "ray.rllib", "ray.tune"):
            logging.getLogger(name).setLevel(level)
    settings: dict[str, Any] = {"logging_level": level, "log_to_driver": verbose}
    if address is None:
        # "local": never join a cluster that happens to run on this machine.
        cpus = max(os.cpu_count() or 1, num_env_runners + 1)
        settings |= {"address": "local", "num_cpus": cpus, "include_dashboard": False}
    else:
        settings["address"] = address
    try:
        _knock(address)
        with keep_handlers():
            ray.init(**settings)
    except Exception as error:  # Ray raises all sorts, plain `Exception` when it is too slow
        raise RunError(_explain_start(address, error)) from error


def _knock(address: str | None) -> None:
    """Raises an OSError where nobody listens: Ray itself would try for many minutes."""
    host, _, port = (address or "").rpartition(":")
    if port.isdecimal() and "://" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT_S).close()


def _explain_start(address: str | None, error: Exception) -> str:
    """Says in one line why Ray did not start, and what to do."""
    first_sentence = str(error).strip().partition("\n")[0].partition(". ")[0].rstrip(".")
    reason = first_sentence or type(error).__name__
    if address is None:
        return (
            f"Ray did not start on this machine ({reason}); a machine short of CPU time or memory "
            "is too slow for it: end other programs and try again, or see what Ray says with "
            "OMNICHANNEL_VERBOSE=1"
        )
    return (
        f"the Ray cluster '{address}' cannot be joined ({reason}); see whether it runs and whether "
        "the token is the same there with: ray status"
    )
