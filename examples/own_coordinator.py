"""A coordinator of your own: the median of the proposals in place of their mean."""

from dataclasses import replace

import numpy as np

from envs.omnichannel import BatchedEnv, load_scenario
from envs.omnichannel.agents.coordinator import Coordinator
from envs.omnichannel.flows import Targets
from envs.omnichannel.types import ModuleOptions, View
from envs.omnichannel.world.draws import make_seeds


class Median(Coordinator):
    """Follows neither the most generous nor the most cautious of four proposals."""

    def compute_targets(self, options: ModuleOptions, view: View) -> Targets:
        """Returns the median over the proposers; dispositions add up to 1 and keep their mean."""
        mean = super().compute_targets(options, view)
        proposals = self.propose(options, view, mean.online_share)
        median = {target: np.median(p, axis=0) for target, p in proposals.items()}
        return replace(mean, **{**median, "disposition": mean.disposition})


def run_random(env: BatchedEnv) -> float:
    """Runs one episode of random agents in every copy; returns the mean reward, eq. 8."""
    env.reset(make_seeds("example", 0, env.num_copies))
    rng, done = np.random.default_rng(0), False
    modules = env.layout.modules
    while not done:
        options = {
            m: rng.integers(0, module.num_options, (env.num_copies, module.num_agents, 2))
            for m, module in modules.items()
        }
        done = env.step(options).done
    return float(env.compute_metrics()["reward"].mean())


if __name__ == "__main__":
    copies = BatchedEnv(load_scenario("tiny"), num_copies=64)
    print(f"mean of the proposals:   reward {run_random(copies):.4f}")
    copies.coordinator = Median(copies.scenario, copies.network)
    print(f"median of the proposals: reward {run_random(copies):.4f}")
