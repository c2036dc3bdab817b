"""The network before optimisation: what the paper's figures start from."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from envs.omnichannel.scenario import Before as BeforeRules
from envs.omnichannel.types import Targets, View
from marl.policies.base import (
    OrderUpToLevels,
    Setting,
    TargetRule,
    assume_mean_demand,
    compute_order_up_to_targets,
)


class Before(TargetRule):
    """Constant covers of mean demand, online orders from the DC, all returns to the DC.

    It knows no season, shares no stock between channels and is not tuned: the channels run
    beside each other, as in a retailer that has grown into them.
    """

    name: ClassVar[str] = "before"

    def __init__(self, setting: Setting, rules: BeforeRules) -> None:
        network = setting.network
        self.setting = setting
        self.levels = OrderUpToLevels(
            store_cover=np.full(network.num_stores, rules.store_cover),
            dc_cover=np.full(network.num_dcs, rules.dc_cover),
            online_share=np.array(0.0),
            disposition=np.array([0.0, 1.0, 0.0]),
        )

    def compute_targets(self, view: View) -> Targets:
        """Returns signed gaps in units and fractions."""
        known = assume_mean_demand(view, self.setting.mean_demand)
        return compute_order_up_to_targets(known, self.setting.network, self.levels)
