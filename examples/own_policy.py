"""A policy of your own: `omnichannel evaluate examples.own_policy:Cautious before -s tiny`."""

import numpy as np

from envs.omnichannel import Scenario, load_scenario
from envs.omnichannel.agents.positions import (
    compute_store_rate,
    compute_system_rate,
    count_positions,
)
from envs.omnichannel.flows import Targets
from envs.omnichannel.types import View
from marl.evaluation.evaluate import evaluate_policies
from marl.policies import Policy, Setting, TargetRule, make_policy


class Cautious(TargetRule):
    """Stores hold three days of the forecast, the DC ten; returns go back on the shelf."""

    name = "cautious"

    def __init__(self, scenario: Scenario) -> None:
        self.network = Setting.from_scenario(scenario).network

    def compute_targets(self, view: View) -> Targets:
        """Returns what is missing to each target, units, and shares; for all copies at once."""
        net = self.network
        positions = count_positions(view, net)  # .store (B, S, K), .echelon (B, W, K)
        online_share = np.full(positions.store.shape, 0.5)
        rate = compute_store_rate(view, online_share)
        return Targets(
            supplier_gap=10 * compute_system_rate(view, net) - positions.echelon,
            shipment_gap=(net.lane_lead_time[:, None] + 3) * rate - positions.store,
            online_share=online_share,
            disposition=np.broadcast_to([1.0, 0.0, 0.0], (*online_share.shape, 3)),
        )


if __name__ == "__main__":
    tiny = load_scenario("tiny")
    policies: dict[str, Policy] = {"before": make_policy("before", tiny), "mine": Cautious(tiny)}
    found = evaluate_policies(policies, tiny, episodes=64, seed=0)
    gain = found.paired["mine - before"]["reward"]
    print(f"mine - before: reward {gain.mean:+.4f} ± {gain.half_width:.4f}")
