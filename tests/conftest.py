"""Fixtures that several test modules share."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import settings

from envs.omnichannel.flows import Flows
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.types import IntArray

# The first example of a test may have to wait for a loop's machine code.
settings.register_profile("project", deadline=None)
settings.load_profile("project")

MakeFlows = Callable[..., Flows]
WritePolicy = Callable[..., Path]
ValueT = TypeVar("ValueT")


def known(value: ValueT | None) -> ValueT:
    """What is None only in scenarios that have it off."""
    assert value is not None
    return value


def make_progress(episodes: int, env_steps: int) -> str:
    """The progress.json of a checkpoint."""
    feedback = {
        "adjustment": {"learning_rate": 1.0, "epsilon": 1.0, "service": 1.0},
        "best": None,
        "stale": 0,
    }
    progress = {"seconds": 1.0, "best_score": 0.5, "next_evaluation": 320, "feedback": feedback}
    counters = {"episodes": episodes, "env_steps": env_steps, "updates": 0}
    return json.dumps(counters | {"progress": progress})


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tuned parameters of these tests alone: what a user has tuned must not change them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMNICHANNEL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def tiny() -> Scenario:
    """One DC, two stores, two SKUs, 14 periods."""
    return load_scenario("tiny")


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """A real Ray on this machine, with room for two runners."""
    import ray

    from marl.training.ray_start import start_ray

    start_ray(None, 2)
    yield
    ray.shutdown()


@pytest.fixture
def make_flows() -> MakeFlows:
    """Makes the ledger of one copy of `tiny`: all zero but for what is given, without axis B."""

    def make(**given: object) -> Flows:
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(Flows.__dataclass_fields__, (2, 2))
        shapes |= {"supplied": (1, 2), "supplier": (1, 2), "on_hand": (3, 2), "queued": (3, 2)}
        shapes |= dict.fromkeys(("demand", "on_time", "lost"), (2, 2, 2))
        arrays: dict[str, IntArray] = {
            name: np.array(given.pop(name, np.zeros(shape)), np.int64).reshape(1, *shape)
            for name, shape in shapes.items()
        }
        assert not given
        return Flows(**arrays)

    return make


@pytest.fixture
def write_policy(tmp_path: Path) -> WritePolicy:
    """Writes a policy file whose agents take one option whatever they see."""

    def write(scenario: Scenario, options: Mapping[str, int] | None = None) -> Path:
        return write_constant_policy(tmp_path / "policy.onnx", scenario, options or {})

    return write


def write_constant_policy(path: Path, scenario: Scenario, options: Mapping[str, int]) -> Path:
    """Writes a policy file: by module the option that its agents take; else their initial one."""
    from envs.omnichannel.layout import Layout
    from marl.planning.export import describe_policy, make_model
    from marl.planning.policy_graph import seal

    layout = Layout.from_scenario(scenario)
    arguments, weights = {}, {}
    for module_id, module in layout.modules.items():
        count = module.num_options
        arguments[module_id] = {"hidden": [1], "num_options": count, "dueling": False}
        bias = np.zeros(count + 1, np.float32)
        bias[options.get(module_id, module.initial_option)] = 1
        weights[module_id] = {
            "layers.0.weight": np.zeros((1, layout.num_features), np.float32),
            "layers.0.bias": np.zeros(1, np.float32),
            "head.weight": np.zeros((count + 1, 1), np.float32),
            "head.bias": bias,
        }
    model = make_model(arguments, weights)
    for name, text in describe_policy(scenario, "constant").to_properties().items():
        model.metadata_props.add(key=name, value=text)
    path.write_bytes(seal(model.SerializeToString()))
    return path
