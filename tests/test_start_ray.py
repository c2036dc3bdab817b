"""What comes before training: Ray that does not start, and what is not imported until it does."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import ray

from marl.errors import RunError
from marl.training.ray_start import start_ray


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (
            None,
            "Ray did not start on this machine (The current node timed out during startup); a "
            "machine short of CPU time or memory is too slow for it: end other programs and try "
            "again, or see what Ray says with OMNICHANNEL_VERBOSE=1",
        ),
        (
            "auto",
            "the Ray cluster 'auto' cannot be joined (The current node timed out during "
            "startup); see whether it runs and whether the token is the same there with: ray "
            "status",
        ),
    ],
)
def test_start_ray__says_in_one_line_why_and_what_to_do(
    address: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def time_out(**_: Any) -> None:
        raise Exception(  # as Ray does
            "The current node timed out during startup. This could happen because some of the "
            "raylet failed to startup or the GCS has become overloaded."
        )

    monkeypatch.setattr(ray, "init", time_out)

    with pytest.raises(RunError) as error:
        start_ray(address, 1)

    assert str(error.value) == expected


def test_start_ray__an_address_where_nobody_listens_is_refused_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"

        with pytest.raises(RunError, match=rf"'{address}' cannot be joined \(.*refused\)"):
            start_ray(address, 1)


def test_train__checks_its_input_before_it_imports_torch_and_ray() -> None:
    code = (
        "import sys\n"
        "from marl.commands.prepare import load_training, tune_rules\n"
        "checked = load_training('paper', None, None, (None, None, None), None)\n"
        "tune_rules(*checked, quiet=True)\n"
        "assert not {'torch', 'ray'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_start_ray__on_this_machine_is_private_and_imports_nothing_from_here(
    tmp_path: Path,
) -> None:
    code = (
        "import os, sys, ray\n"
        "from marl.training.ray_start import start_ray\n"
        "sys.argv[0] = 'omnichannel'\n"
        "os.chdir(sys.argv[1])\n"
        "start_ray(None, 1)\n"
        "paths = ray.get(ray.remote(lambda: sys.path).remote())\n"
        "assert sys.argv[1] not in paths, paths\n"
        "assert ray.nodes()[0]['NodeManagerAddress'] == '127.0.0.1'\n"
        "assert not os.path.exists('.ray')\n"
    )
    environment = {name: v for name, v in os.environ.items() if not name.startswith("RAY_AUTH")}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env=environment | {"HOME": str(tmp_path)},
        capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
