"""Starts Ray, and uses the time that it takes for what training needs besides.

Ray's own processes take some seconds to come up, during which this process only waits.
"""

from __future__ import annotations

import gc
import importlib
import logging
import os
import secrets
import socket
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Thread
from typing import Any

import ray
from ray._private import ray_constants
from ray.job_config import JobConfig

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
    settings["job_config"] = job = JobConfig()
    job._py_driver_sys_path = _ImportPaths()
    try:
        _knock(address)
        with keep_handlers(), _kept_private() if address is None else nullcontext():
            ray.init(**settings)
    except Exception as error:  # Ray raises all sorts, plain `Exception` when it is too slow
        raise RunError(_explain_start(address, error)) from error


@contextmanager
def _kept_private() -> Iterator[None]:
    """Lets a local Ray listen on this machine's own address only, with a token of its own.

    Else Ray listens on all interfaces, with a token in a file that it makes readable to all. The
    token is in the environment of this process and of Ray's, as long as they run.
    """
    if not {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    is_cluster = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = is_cluster


class _ImportPaths(list[str]):
    """Folders that Ray's processes import from: the script's, as here, not the working directory.

    Whatever lies in the working directory, such as a torch.py, would else run in every runner.
    """

    def extend(self, paths: Iterable[str]) -> None:
        """Adds what Ray found, without the working directory."""
        script, here = str(Path(sys.argv[0]).resolve().parent), str(Path.cwd())
        super().extend(p for p in paths if p != here or (p == script and p in sys.path))


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
