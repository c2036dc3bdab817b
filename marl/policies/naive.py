"""The planner with a spreadsheet: once a week, top up by the last weeks' sales."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from envs.omnichannel.agents.positions import count_positions
from envs.omnichannel.batched_env import BatchedEnv, Step
from envs.omnichannel.flows import Targets
from envs.omnichannel.types import ONLINE, RESTOCK, FloatArray, View, sum_channels
from marl.policies.base import Setting, TargetRule

MEMORY = 4  # weeks of sales that the mean is taken of
SAFETY = 1  # weeks of sales kept beyond the next delivery, the usual rule of thumb


class Naive(TargetRule):
    """Weekly review against the mean sales of the last four weeks.

    On the first day of a week every store is topped up to what it sells until the delivery after
    next arrives, and a week of safety; each DC likewise for its whole region. On other days
    nothing is ordered. Online orders go out from the DC, returns go back on the shelf. What was
    out of stock is not in the sales, so the rule does not see that demand. Until four weeks have
    been seen, the days before count as mean days.

    The rule remembers sales, so an object runs one environment at a time.
    """

    name: ClassVar[str] = "naive"

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.week = setting.network.cycle  # periods
        self.memory = MEMORY * self.week
        self._sales: list[FloatArray] = []  # of up to `memory` periods, (B, S, K, C) each

    def run_period(self, env: BatchedEnv) -> Step:
        """Decides for all copies, runs one period and takes down what was sold."""
        if env.period == 0:
            self._sales = []
        step = super().run_period(env)
        self._sales = [*self._sales[1 - self.memory :], step.flows.served.astype(np.float64)]
        return step

    def compute_targets(self, view: View) -> Targets:
        """Returns signed gaps in units and fractions."""
        network = self.setting.network
        positions = count_positions(view, network)
        shape = positions.store.shape
        disposition = np.zeros((*shape, 3))
        disposition[..., RESTOCK] = 1.0
        review = (view.period % self.week == 0)[:, None, None]
        sales = self._compute_mean_sales(shape[0])  # (B, S, K, C)
        lane = network.lane_lead_time[:, None]
        by_store = sum_channels(sales) - sales[..., ONLINE]  # online orders leave from the DC
        supplier = network.lead_time[: network.num_dcs]
        # A region's stock also covers the longest way from its DC to a store.
        longest = np.array([network.lane_lead_time[m].max() for m in network.members])
        more = (1 + SAFETY) * self.week  # until the next review, and for safety
        days = (supplier + longest + more)[:, None]
        region = network.sum_by_dc(sum_channels(sales))
        return Targets(
            supplier_gap=review * (days * region - positions.echelon),
            shipment_gap=review * ((lane + more) * by_store - positions.store),
            online_share=np.zeros(shape),
            disposition=disposition,
        )

    def _compute_mean_sales(self, copies: int) -> FloatArray:
        """Units a period over the last four weeks, (B, S, K, C)."""
        mean = self.setting.mean_demand
        unseen = self.memory - len(self._sales)
        total = np.broadcast_to(unseen * mean, (copies, *mean.shape))
        return (total + sum(self._sales)) / self.memory
