"""A learnt policy without Ray: six Q-networks, stored as plain arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import torch

from envs.errors import InputError
from envs.omnichannel.agents.roster import MODULES
from envs.omnichannel.batched_env import BatchedEnv, Step
from envs.omnichannel.layout import Layout
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import Float32Array, FloatArray, IntArray
from marl.config import Learner
from marl.learning.dqn.network import QNetwork, make_network
from marl.learning.networks import fill_networks
from marl.learning.policy_arrays import COORDINATION, NetworkArguments, Weights
from marl.policies.greedy import choose_greedily


@dataclass(frozen=True)
class LearnedPolicy:
    """Acts greedily on the networks' action values.

    With `proposer_weights` it also brings the coordinator's weights, by decision, (P,).
    """

    networks: Mapping[str, QNetwork]
    name: str = "learned"
    proposer_weights: Mapping[str, FloatArray] | None = None

    @classmethod
    def from_weights(
        cls, arguments: NetworkArguments, weights: Weights, name: str = "learned"
    ) -> Self:
        """Builds the networks and fills them."""
        networks = {m: make_network(arguments[m]) for m in MODULES}
        fill_networks(networks, weights)
        return cls(networks, name, weights.get(COORDINATION))

    def check_fits(self, scenario: Scenario, name: str) -> None:
        """Refuses a scenario whose action grids or features are not those of the networks.

        Raises:
            InputError: names the policy and what differs.
        """
        layout = Layout.from_scenario(scenario)
        for module_id, network in self.networks.items():
            module = layout.modules[module_id]
            options, features = network.num_options, network.layers[0].in_features
            if options != module.num_options or features != layout.num_features:
                raise InputError(
                    f"policy: {name!r} has {options} actions and {features} features in "
                    f"{module_id}; scenario {scenario.name} needs {module.num_options} and "
                    f"{layout.num_features}"
                )
            agents = module.num_agents
            if getattr(network, "num_agents", agents) != agents:
                raise InputError(
                    f"policy: {name!r} has networks of their own for {network.num_agents} agents "
                    f"of {module_id}; scenario {scenario.name} has {agents}"
                )

    def run_period(self, env: BatchedEnv) -> Step:
        """Observes, takes the best action of every agent and runs one period."""
        env.coordinator.weigh(self.proposer_weights)
        return env.step(select_greedy(env, self.networks, env.observe()))


def make_network_arguments(scenario: Scenario, learner: Learner) -> NetworkArguments:
    """Keyword arguments of each module's `QNetwork`; all networks have one shape."""
    layout = Layout.from_scenario(scenario)
    return {
        name: {
            "num_features": layout.num_features,
            "num_options": module.num_options,
            "max_options": max(m.num_options for m in layout.modules.values()),
            "hidden": list(learner.hidden),
            "dueling": learner.dueling,
            "initial_option": module.initial_option,
            "initial_bias": learner.initial_bias,
            **({} if learner.share_parameters else {"num_agents": module.num_agents}),
        }
        for name, module in layout.modules.items()
    }


def make_untrained(arguments: NetworkArguments) -> LearnedPolicy:
    """The networks before the first update: every agent takes its initial action."""
    return LearnedPolicy({m: make_network(arguments[m]) for m in MODULES}, "untrained")


def select_greedy(
    env: BatchedEnv,
    networks: Mapping[str, QNetwork],
    observations: Float32Array,
    explore: Callable[[str, IntArray], object] | None = None,
) -> dict[str, IntArray]:
    """Returns `choose_greedily` of the networks' values.

    Args:
        env: B copies.
        networks: by module.
        observations: (B, N + 1, K, F).
        explore: as of `choose_greedily`.
    """
    # Rows first, as the observation lies in memory: the networks need not copy their inputs.
    by_row = observations.swapaxes(0, 1)

    def value(module_id: str) -> Float32Array:
        rows = by_row[env.layout.modules[module_id].rows]
        values: Float32Array = networks[module_id].rank_actions(torch.from_numpy(rows)).numpy()
        return values

    with torch.inference_mode():
        return choose_greedily(env, value, explore)
