"""Action grids: from discrete levels to proposals in units, and the `TargetPolicy` protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from envs.omnichannel.agents.inventory import (
    compute_echelon_position,
    compute_store_position,
    compute_store_rate,
    compute_system_rate,
)
from envs.omnichannel.agents.roster import MODULES, PROPOSERS
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import FloatArray, IntArray, Network, Targets, View

Actions = Mapping[str, IntArray]  # module_id -> levels, (B, A_m, K)


class TargetPolicy(Protocol):
    """A classical policy: what each decision aims at, given what may be known."""

    def compute_targets(self, view: View) -> Targets:
        """Returns signed gaps in units and fractions."""


class ActionDecoder:
    """Turns levels into proposals. Every proposal for a decision is in the decision's unit.

    Ordering levels index days of cover: of the stores beyond their lead time (`store_cover`), of
    the DC's echelon (`dc_cover`); the high-level agent's level indexes both grids. Shipping
    levels index joint choices of push cover and online share (share varies fastest), return
    levels the disposition grid. Covers times forecast are order-up-to targets; a proposal is the
    signed gap between target and inventory position.
    """

    def __init__(self, scenario: Scenario, network: Network) -> None:
        grid = scenario.actions
        self.network = network
        self.store_cover = np.array(grid.store_cover)
        self.dc_cover = np.array(grid.dc_cover)
        self.push_cover = np.repeat(grid.push_cover, len(grid.online_share))
        self.online_share = np.tile(grid.online_share, len(grid.push_cover))
        self.disposition = np.array(grid.disposition)
        by_role = {
            "ordering": (len(self.store_cover), grid.initial_cover),
            "shipping": (len(self.push_cover), grid.initial_push),
            "return": (len(self.disposition), grid.initial_disposition),
        }
        self.num_levels = {m: by_role[m.rpartition("_")[0]][0] for m in MODULES}
        self.initial_level = {m: by_role[m.rpartition("_")[0]][1] for m in MODULES}

    def decode_shares(self, actions: Actions) -> FloatArray:
        """Returns the online shares proposed, (P, B, S, K)."""
        chosen = [self.online_share[actions[m]] for m in PROPOSERS["online_share"]]
        return self._stack(chosen)

    def decode_dispositions(self, actions: Actions) -> FloatArray:
        """Returns the disposition shares proposed, (P, B, S, K, 3)."""
        chosen = [self.disposition[actions[m]] for m in PROPOSERS["disposition"]]
        return self._stack(chosen)

    def decode_supplier_gaps(self, actions: Actions, view: View) -> FloatArray:
        """Returns echelon order-up-to target - echelon position, units, (P, B, W, K)."""
        net = self.network
        store_position = compute_store_position(view.state, net)
        position = compute_echelon_position(view.state, store_position, net)
        rate = compute_system_rate(view, net)
        high, low = (actions[m] for m in PROPOSERS["supplier_gap"])
        cover = self._stack([self.dc_cover[high], self.dc_cover[low[:, : net.num_dcs]]])
        return cover * rate - position

    def decode_shipment_gaps(
        self, actions: Actions, view: View, online_share: FloatArray
    ) -> FloatArray:
        """Returns order-up-to target - inventory position of the stores, units, (P, B, S, K).

        Args:
            actions: levels by module.
            view: what is known.
            online_share: the coordinated share, which says what the stores are to serve.
        """
        net = self.network
        position = compute_store_position(view.state, net)
        rate = compute_store_rate(view, online_share)
        order_high, order_low, push_high, push_low = (actions[m] for m in PROPOSERS["shipment_gap"])
        beyond = self._stack(
            [
                self.store_cover[order_high],
                self.store_cover[order_low[:, net.num_dcs :]],
                self.push_cover[push_high],
                self.push_cover[push_low],
            ]
        )
        gaps = (net.lane_lead_time[:, None] + beyond) * rate - position
        balanced = PROPOSERS["shipment_gap"].index("shipping_high")
        gaps[balanced] = self._balance(gaps[balanced], view)
        return gaps

    def _balance(self, gap: FloatArray, view: View) -> FloatArray:
        """Scales a push to all stores down to what the DC holds, by the same factor for each."""
        net = self.network
        wanted = net.sum_by_dc(np.maximum(gap, 0))
        held = view.state.on_hand[:, : net.num_dcs]
        factor = np.minimum(held / np.maximum(wanted, 1e-9), 1)[:, net.parent]
        return np.where(gap > 0, gap * factor, gap)

    def _stack(self, chosen: list[FloatArray]) -> FloatArray:
        """Stacks proposals; one of a high-level agent holds for every node."""
        widest = max(chosen, key=lambda array: array.shape[1])
        return np.stack([np.broadcast_to(array, widest.shape) for array in chosen])
