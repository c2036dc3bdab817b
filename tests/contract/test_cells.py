"""PettingZoo's own suites on the cell view, parallel and in turns.

Warnings are errors in this project, so what the suites only warn of fails too.
"""

from typing import Any

import pytest
from pettingzoo.test import (
    api_test,
    max_cycles_test,
    parallel_api_test,
    parallel_seed_test,
    seed_test,
    state_test,
)
from pettingzoo.utils import parallel_to_aec

from envs.omnichannel import cell_env

VIEWS: dict[str, dict[str, Any]] = {
    "padded": {},
    "own sizes": {"pad": False},
    "mask beside": {"action_mask": True},
    "mask beside, own sizes": {"action_mask": True, "pad": False},
    "mask appended": {"action_mask": True, "flatten": True},
}
views = pytest.mark.parametrize("arguments", VIEWS.values(), ids=list(VIEWS))

# The suites' advice is that every name is a word and a number, and that no agent sees a `Dict`,
# which their own convention for masks needs. A state of negative numbers is no picture.
not_ours = pytest.mark.filterwarnings(
    "ignore:We recommend agents to be named",
    "ignore:Observation space for each agent probably should be",
    "ignore:Observation is not a NumPy array",
    "ignore:Agents have different observation space sizes",
)


@views
@pytest.mark.parametrize("name", ["tiny", "pickup"])
def test_cell_env__passes_the_parallel_suite(name: str, arguments: dict[str, Any]) -> None:
    parallel_api_test(cell_env(name, horizon=20, **arguments), num_cycles=30)


@views
def test_cell_env__same_seed_gives_same_episode(arguments: dict[str, Any]) -> None:
    parallel_seed_test(lambda: cell_env("tiny", **arguments), num_cycles=20)


@not_ours
@views
def test_cell_env__passes_the_suite_in_turns(arguments: dict[str, Any]) -> None:
    api_test(parallel_to_aec(cell_env("tiny", **arguments)), num_cycles=60)
    seed_test(lambda: parallel_to_aec(cell_env("tiny", **arguments)), num_cycles=40)


@not_ours
@pytest.mark.filterwarnings("ignore:The (observation|state) contains negative")
def test_cell_env__state_fits_its_space() -> None:
    state_test(parallel_to_aec(cell_env("tiny")), cell_env("tiny"), num_cycles=3)


def test_cell_env__episodes_last_max_cycles() -> None:
    class Module:
        @staticmethod
        def parallel_env(max_cycles: int) -> Any:
            return cell_env("paper", max_cycles=max_cycles)

        @staticmethod
        def env(max_cycles: int) -> Any:
            return parallel_to_aec(cell_env("paper", max_cycles=max_cycles))

    max_cycles_test(Module)
