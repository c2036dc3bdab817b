"""What a run says of runners that do not come."""

import pytest
import ray
from ray.exceptions import RayError

from marl.learning.rllib.runner_start import find_reason


def test_reason__of_a_runner_that_cannot_start_is_its_own_error(ray_session: None) -> None:
    class Broken:  # in here, so that Ray sends it along: its processes cannot import tests
        def __init__(self) -> None:
            raise ImportError("ours")

        def ping(self) -> None:
            """Never answers."""

    actor = ray.remote(Broken).remote()

    with pytest.raises(RayError) as error:
        ray.get(actor.ping.remote())

    assert find_reason(error.value) == "ImportError: ours"
