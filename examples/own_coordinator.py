"""A coordinator of your own: the median of the proposals in place of their mean."""

import numpy as np

from envs.omnichannel import BatchedEnv, load_scenario
from envs.omnichannel.agents.actions import Actions
from envs.omnichannel.agents.coordinator import Coordinator
from envs.omnichannel.agents.roster import MODULES
from envs.omnichannel.types import Targets, View
from envs.omnichannel.world.draws import make_seeds


class Median(Coordinator):
    """Follows neither the most generous nor the most cautious of four proposals."""

    def compute_targets(self, actions: Actions, view: View) -> Targets:
        """Returns medians over the proposers; dispositions add up to 1 and keep their mean."""
        decoder = self.decoder
        online_share = np.median(decoder.decode_shares(actions), axis=0)
        shipments = decoder.decode_shipment_gaps(actions, view, online_share)
        return Targets(
            supplier_gap=np.median(decoder.decode_supplier_gaps(actions, view), axis=0),
            shipment_gap=np.median(shipments, axis=0),
            online_share=online_share,
            disposition=decoder.decode_dispositions(actions).mean(axis=0),
        )


def run_random(env: BatchedEnv) -> float:
    """Runs one episode of random agents in every copy; returns the mean reward, eq. 8."""
    env.reset(make_seeds("example", 0, env.num_copies))
    rng, done = np.random.default_rng(0), False
    shapes = {m: (env.num_copies, env.layout.modules[m].num_agents, 2) for m in MODULES}
    while not done:
        levels = {m: rng.integers(0, env.layout.modules[m].num_options, shapes[m]) for m in MODULES}
        done = env.step(levels).done
    return float(env.compute_metrics()["reward"].mean())


if __name__ == "__main__":
    copies = BatchedEnv(load_scenario("tiny"), num_copies=64)
    print(f"mean of the proposals:   reward {run_random(copies):.4f}")
    copies.coordinator = Median(copies.decoder, copies.scenario.coordination)
    print(f"median of the proposals: reward {run_random(copies):.4f}")
