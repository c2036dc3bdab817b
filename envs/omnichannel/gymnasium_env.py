"""The Gymnasium view: one agent decides for all, in one copy or in B copies in lock-step."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import Env
from gymnasium.spaces import Box, MultiDiscrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.omnichannel.batched_env import BatchedEnv, Step
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.types import Float32Array, FloatArray, Options, SeedArray
from envs.omnichannel.world.demand import Split

Info = dict[str, Any]
BoolArray = NDArray[np.bool_]


class JointCopies:
    """B copies in which the actions of all agents are one flat vector.

    Args:
        scenario: name, path or value.
        num_copies: B.
        split: which part of recorded demand the episodes come from.

    Raises:
        InputError: if the scenario is not known or not valid.
    """

    def __init__(self, scenario: str | Scenario, num_copies: int, split: Split) -> None:
        if not isinstance(scenario, Scenario):
            scenario = load_scenario(scenario)
        self.batched_env = env = BatchedEnv(scenario, num_copies, split)
        layout = env.layout
        counts = [module.num_agents for module in layout.modules.values()]
        ends = np.cumsum(counts)
        self._blocks = {
            m: slice(end - count, end)
            for m, count, end in zip(layout.modules, counts, ends, strict=True)
        }
        num_skus = layout.num_skus
        # The layout lists agents by module.
        options = [module.num_options for module in layout.modules.values()]
        self.action_space = MultiDiscrete(np.repeat(np.repeat(options, counts), num_skus))
        size = layout.num_rows * num_skus * layout.num_features
        self.observation_space = Box(-5, 5, (size,), np.float32)

    def reset(self, seeds: SeedArray) -> Float32Array:
        """Begins an episode in every copy and returns its observation, (B, (N + 1) K F)."""
        self.batched_env.reset(seeds)
        return self.observe()

    def observe(self) -> Float32Array:
        """Returns all rows of every copy, (B, (N + 1) K F)."""
        return self.batched_env.observe().reshape(self.batched_env.num_copies, -1)

    def step(self, actions: Options) -> Step:
        """Runs a period under flat actions, (B, A K)."""
        env = self.batched_env
        levels = np.asarray(actions, np.int64).reshape(env.num_copies, -1, env.network.num_skus)
        return env.step({m: levels[:, block] for m, block in self._blocks.items()})


class JointEnv(Env[Float32Array, Options]):
    """The whole network as a single-agent environment, `omnichannel/Joint-v0`.

    - **Observation**: `Box(-5, 5, ((N + 1) K F,), float32)`, the rows of all DCs, all stores and
      the network; the features of `agents.observation.FEATURES` vary fastest, then SKUs.
    - **Action**: `MultiDiscrete`, one level for each agent and SKU, SKUs fastest, agents in the
      order of `OmnichannelEnv.possible_agents`. High-level actions count every `review_period`
      periods. The coordinator combines the proposals as it does for many agents.
    - **Reward**: eq. 8 of the whole network.
    - **Episode end**: truncation at the scenario's horizon; no termination.

    Args:
        scenario: name, path or value.
        split: which part of recorded demand the episodes come from.

    Raises:
        InputError: if the scenario is not known or not valid.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012

    def __init__(self, scenario: str | Scenario = "paper", split: Split = "train") -> None:
        self._copies = JointCopies(scenario, 1, split)
        self.batched_env = self._copies.batched_env
        self.observation_space = self._copies.observation_space
        self.action_space = self._copies.action_space

    def reset(
        self, *, seed: int | None = None, options: Info | None = None
    ) -> tuple[Float32Array, Info]:
        """Begins an episode.

        Args:
            seed: of all exogenous draws; without one, the next of a seeded sequence.
            options: unused, for Gymnasium's signature.
        """
        del options
        super().reset(seed=seed)
        first = self.np_random.integers(2**63) if seed is None else seed
        return self._copies.reset(np.array([first], np.uint64))[0], {}

    def step(self, action: Options) -> tuple[Float32Array, float, bool, bool, Info]:
        """Runs a period under one level for each agent and SKU, (A K,)."""
        step = self._copies.step(action)
        return self._copies.observe()[0], float(step.team_reward[0]), False, step.done, {}


class JointVectorEnv(VectorEnv[Float32Array, Options, NDArray[Any]]):
    """B copies of `JointEnv` as arrays, without a loop over copies.

    All copies end together, at the horizon; the step after that begins the next episodes and
    returns reward 0 (Gymnasium's next-step autoreset). `reset(seed=n)` gives the copies the seeds
    n, n + 1 ..., as Gymnasium's own vector environments do.

    Args:
        num_envs: B.
        scenario: name, path or value.
        split: which part of recorded demand the episodes come from.

    Raises:
        InputError: if the scenario is not known or not valid.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "render_modes": [],
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self, num_envs: int, scenario: str | Scenario = "paper", split: Split = "train"
    ) -> None:
        self.num_envs = num_envs
        self._copies = JointCopies(scenario, num_envs, split)
        self.batched_env = self._copies.batched_env
        self.single_observation_space = self._copies.observation_space
        self.single_action_space = self._copies.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._ended = False

    def reset(
        self, *, seed: int | None = None, options: Info | None = None
    ) -> tuple[Float32Array, Info]:
        """Begins an episode in every copy.

        Args:
            seed: of the first copy's exogenous draws; without one, the next of a seeded sequence.
            options: unused, for Gymnasium's signature.
        """
        del options
        super().reset(seed=seed)
        if seed is None:
            seeds = self.np_random.integers(2**63, size=self.num_envs, dtype=np.uint64)
        else:
            seeds = np.arange(seed, seed + self.num_envs, dtype=np.uint64)
        self._ended = False
        return self._copies.reset(seeds), {}

    def step(self, actions: Options) -> tuple[Float32Array, FloatArray, BoolArray, BoolArray, Info]:
        """Runs a period of every copy, or begins the next episodes; actions (B, A K)."""
        never = np.zeros(self.num_envs, np.bool_)
        if self._ended:
            observations, infos = self.reset()
            return observations, np.zeros(self.num_envs), never, never.copy(), infos
        step = self._copies.step(actions)
        self._ended = step.done
        ended = np.full(self.num_envs, step.done)
        return self._copies.observe(), step.team_reward, never, ended, {}


def joint_env(scenario: str | Scenario = "paper", split: Split = "train") -> JointEnv:
    """Makes the single-agent environment of a scenario, given by name, path or value.

    Raises:
        InputError: if the scenario is not known or not valid.
    """
    return JointEnv(scenario, split)


def joint_vector_env(
    num_envs: int, scenario: str | Scenario = "paper", split: Split = "train"
) -> JointVectorEnv:
    """Makes B copies of the single-agent environment in lock-step.

    Raises:
        InputError: if the scenario is not known or not valid.
    """
    return JointVectorEnv(num_envs, scenario, split)
