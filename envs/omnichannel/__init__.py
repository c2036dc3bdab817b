"""The omni-channel inventory environment of Ma & Ding: simulator, agents, and views of them.

| call | gives |
|---|---|
| `parallel_env("paper")` | PettingZoo's parallel API: all agents act at once |
| `aec_env("paper")` | PettingZoo's AEC API: one agent after the other |
| `cell_env("paper")` | PettingZoo's parallel API: every agent and SKU is an agent |
| `joint_env("paper")` | Gymnasium: one agent decides for all |
| `joint_vector_env(32, "paper")` | the same for 32 copies, as arrays |
| `BatchedEnv(load_scenario("paper"), 32)` | arrays by module, which all of them are views of |

A scenario is the name of a built-in one (`list_scenarios`), the path of a YAML file, or a
`Scenario`. `module_of(agent)` names the module whose parameters an agent shares.

Importing this package registers `omnichannel/Joint-v0` with Gymnasium, so that `gymnasium.make`
and `gymnasium.make_vec` know it; without the import,
`gymnasium.make("envs.omnichannel:omnichannel/Joint-v0")` does both.

Names are loaded on first use: who reads a scenario pays for no environment.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from envs.errors import InputError
    from envs.omnichannel.agents.roster import module_of
    from envs.omnichannel.batched_env import BatchedEnv
    from envs.omnichannel.cells_env import cell_env
    from envs.omnichannel.gymnasium_env import joint_env, joint_vector_env
    from envs.omnichannel.pettingzoo_env import aec_env, parallel_env
    from envs.omnichannel.scenario import Scenario, list_scenarios, load_scenario

__all__ = [
    "BatchedEnv",
    "InputError",
    "Scenario",
    "aec_env",
    "cell_env",
    "joint_env",
    "joint_vector_env",
    "list_scenarios",
    "load_scenario",
    "module_of",
    "parallel_env",
]

_HOMES = {
    "BatchedEnv": "envs.omnichannel.batched_env",
    "InputError": "envs.errors",
    "Scenario": "envs.omnichannel.scenario",
    "aec_env": "envs.omnichannel.pettingzoo_env",
    "cell_env": "envs.omnichannel.cells_env",
    "joint_env": "envs.omnichannel.gymnasium_env",
    "joint_vector_env": "envs.omnichannel.gymnasium_env",
    "list_scenarios": "envs.omnichannel.scenario",
    "load_scenario": "envs.omnichannel.scenario",
    "module_of": "envs.omnichannel.agents.roster",
    "parallel_env": "envs.omnichannel.pettingzoo_env",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _register() -> None:
    """Makes the environment known to Gymnasium, where that is installed."""
    try:
        import gymnasium
    except ModuleNotFoundError:  # an installation that only reads scenarios and recommends
        return
    gymnasium.register(
        "omnichannel/Joint-v0",
        entry_point="envs.omnichannel.gymnasium_env:JointEnv",
        vector_entry_point="envs.omnichannel.gymnasium_env:JointVectorEnv",
    )


_register()
