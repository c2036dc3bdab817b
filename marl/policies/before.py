"""The network before optimisation, where the paper's figures start."""

from __future__ import annotations

from typing import ClassVar

from envs.omnichannel.flows import Targets
from envs.omnichannel.scenario.agents import Before as BeforeRules
from envs.omnichannel.types import View
from marl.policies.base import Setting, TargetRule
from marl.policies.families import OrderUpTo


class Before(TargetRule):
    """Constant covers of mean demand, online orders from the DC, all returns to the DC.

    It knows no season, shares no stock between channels and is not tuned: the channels run
    beside each other, as in a retailer that has grown into them.
    """

    name: ClassVar[str] = "before"

    def __init__(self, setting: Setting, rules: BeforeRules) -> None:
        values = {"online_share": 0.0, "restock": 0.0, "consolidate": 1.0}
        for parameter in OrderUpTo.make_space(setting).names:
            kind = parameter.rpartition("_")[0]
            if kind in {"store_cover", "dc_cover"}:
                values[parameter] = getattr(rules, kind)
        self._rule = OrderUpTo(setting, values)

    def compute_targets(self, view: View) -> Targets:
        """Returns signed gaps in units and fractions."""
        return self._rule.compute_targets(view)
