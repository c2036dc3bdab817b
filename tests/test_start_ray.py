"""Ray that does not start: one line that says what to do."""

import socket
from typing import Any

import pytest
import ray

from marl.errors import RunError
from marl.ray_start import start_ray


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
