"""Fixtures that several test modules share."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.types import Flows, IntArray

MakeFlows = Callable[..., Flows]


@pytest.fixture(scope="session")
def tiny() -> Scenario:
    """One DC, two stores, two SKUs, 14 periods."""
    return load_scenario("tiny")


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """A real Ray on this machine, with room for two runners."""
    import ray

    from marl.training import start_ray

    start_ray(None, 2)
    yield
    ray.shutdown()


@pytest.fixture
def make_flows() -> MakeFlows:
    """Makes the ledger of one copy of `tiny`: all zero but for what is given, without axis B."""

    def make(**given: object) -> Flows:
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(Flows.__dataclass_fields__, (2, 2))
        shapes |= {"supplied": (1, 2), "on_hand": (3, 2), "queued": (3, 2)}
        shapes |= dict.fromkeys(("demand", "on_time", "lost"), (2, 2, 2))
        arrays: dict[str, IntArray] = {
            name: np.array(given.pop(name, np.zeros(shape)), np.int64).reshape(1, *shape)
            for name, shape in shapes.items()
        }
        assert not given
        return Flows(**arrays)

    return make
