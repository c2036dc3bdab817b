"""What a run says of runners that do not come."""

import time

import pytest
import ray
from ray.exceptions import RayError

from envs.omnichannel.scenario import Scenario
from marl.config import load_config
from marl.learning.methods import make_method
from marl.learning.rllib.algorithm import build_algorithm
from marl.learning.rllib.runner_start import describe_delay, find_reason


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


def test_delay__is_for_want_of_room_only_where_no_process_has_begun(ray_session: None) -> None:
    class Slow:
        def __init__(self) -> None:
            time.sleep(60)

    cores = int(ray.cluster_resources()["CPU"])
    placed = ray.remote(Slow).options(num_cpus=cores).remote()
    waiting = ray.remote(Slow).options(num_cpus=1).remote()
    deadline = time.monotonic() + 60
    while ray.available_resources().get("CPU") or describe_delay(placed) != "is slow to start":
        assert time.monotonic() < deadline  # its process is being made
        time.sleep(0.5)

    assert describe_delay(waiting) == "has no room yet"
    ray.kill(placed)
    ray.kill(waiting)


def test_run__that_no_runner_joins_goes_on_alone_and_says_so(
    ray_session: None, tiny: Scenario
) -> None:
    settings = ["env_runners.num_env_runners=2", "env_runners.start_timeout_s=0.001"]
    settings.append("env_runners.num_envs_per_env_runner=2")
    config = load_config("default", settings)
    algorithm = build_algorithm(make_method(tiny, config), wait=False)
    try:
        algorithm.train()
        (event,) = algorithm.crew.take_events()
        assert event.startswith("env_runners: none of 2 runners has started within 0.001 s; ")
        assert event.endswith("; until then this process samples alone")
        algorithm.train()
        assert algorithm.episodes == 8
    finally:
        algorithm.stop()
