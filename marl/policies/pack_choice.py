"""The choice of packs: what fills a load, SKU by SKU."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from envs.omnichannel.types import FloatArray, IntArray
from marl.policies.base import Setting
from marl.policies.choice import Choice, Lies
from marl.policies.plan import Plan

_LEAST_DEVIATION = 0.1  # units
_NEAR = 2.0  # packs from the target within which a cell is worth a look


class Packs(Choice):
    """How much more or less of a SKU a store asks for than the rule: nothing, or packs beside it.

    One agent a store and SKU. The rule fills its loads from what the agents ask for, so they say
    what fills the rest of a truck, and which fresh item is skipped. A step is a pack, or a standard
    deviation of the demand that it must last for where that is more.
    """

    name = "packs"
    is_joint = False
    lies: ClassVar[Lies] = "cell"
    steps: ClassVar[tuple[float, ...]] = (-2, -1, -0.5, 0.5, 1)
    num_options = 1 + len(steps)
    features = (
        "gap_in_packs", "position_in_sigmas", "pack_in_sigmas", "pack_in_weeks", "scatter",
        "load_in_trucks", "need_in_trucks", "worth", "waste_ratio", "is_fresh", "life", "ageing",
        "dc_fill", "stock_cover",
    )  # fmt: skip

    def __init__(self, setting: Setting) -> None:
        from scipy.special import ndtri

        super().__init__(setting)
        self._worth = ndtri(setting.store_ratio)[None, None] - 2.5
        self._waste = 2 * setting.waste_ratio[None, None] - 1
        self._life = setting.shelf_life[None, None].astype(np.float64)

    def list_options(self, plan: Plan) -> FloatArray:
        """Returns shipment gaps before loads are filled, units, signed, (B, S K, A)."""
        gap = plan.shipment_gap
        step = np.maximum(self.setting.packs, self._get_deviation(plan))
        shifted = [gap + steps * step for steps in self.steps]
        options = np.stack([gap, *shifted], axis=-1)
        return options.reshape(len(gap), -1, self.num_options)

    def take(self, plan: Plan, values: FloatArray) -> None:
        """Sets the shipment gaps; the rule's loads are to be filled anew."""
        plan.shipment_gap = values.reshape(plan.shipment_gap.shape)

    def get_values(self, plan: Plan) -> FloatArray:
        """Returns the shipment gaps before loads are filled, (B, S K)."""
        return plan.shipment_gap.reshape(len(plan.shipment_gap), -1)

    def weigh(self, plan: Plan) -> FloatArray:
        """A SKU far from its target has little to decide."""
        packs = np.abs(plan.shipment_gap / self.setting.packs)
        near = 0.1 + np.clip(_NEAR - packs, 0, 1)
        return near.reshape(len(near), -1)

    def pick_apart(self, plan: Plan, rng: np.random.Generator) -> IntArray:
        """A third of the SKUs of each store; the others stay, and so most of its load."""
        copies, stores, skus = plan.shipment_gap.shape
        # The largest of weight times a uniform's power are a weighted sample without replacement
        # (Efraimidis & Spirakis 2006).
        keys = rng.random((copies, stores * skus)) ** (1 / self.weigh(plan))
        by_store = keys.reshape(copies, stores, skus)
        own = np.argsort(-by_store, axis=-1)[..., : max(skus // 3, 1)]
        agents: IntArray = (own + skus * np.arange(stores)[:, None]).reshape(copies, -1)
        return agents

    def _get_deviation(self, plan: Plan) -> FloatArray:
        if plan.store_deviation is None:
            return np.sqrt(plan.floored_rate)
        return np.maximum(plan.store_deviation, _LEAST_DEVIATION)

    @property
    def rows(self) -> slice:
        """The stores."""
        return slice(self.network.num_dcs, self.network.num_nodes)

    def compute_own(self, plan: Plan) -> list[FloatArray]:
        """Returns features of every store and SKU."""
        net, view, packs = self.network, plan.view, self.setting.packs
        gap, rate = plan.shipment_gap, plan.floored_rate
        deviation = self._get_deviation(plan)
        wanted = np.maximum(gap, 0)
        need = wanted.sum(axis=-1, keepdims=True)
        load = need if plan.load is None else plan.load[..., None]
        truck = self.setting.truck_capacity or max(float(need.mean()), 1.0)
        fill = view.on_hand[:, : net.num_dcs] / np.maximum(net.sum_by_dc(wanted), 1)
        on_hand = view.on_hand[:, net.num_dcs :]
        expected = plan.position / rate - net.lane_lead_time[:, None]
        return [
            gap / packs,
            np.arcsinh((plan.position - rate * (net.lane_lead_time[:, None] + 1)) / deviation),
            np.log(packs / deviation),
            packs / (7 * rate) - 1,
            np.log(deviation / rate),
            load / truck - 1,
            need / truck - 1,
            self._worth,
            self._waste,
            np.where(self._life > 0, 1.0, -1.0),
            self._life / 5 - 1,
            np.where(self._life > 0, expected / np.maximum(self._life, 1) - 0.5, -1.0),
            np.minimum(fill, 3)[:, net.parent] - 1,
            on_hand / (5 * rate) - 1,
        ]
