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
from envs.omnichannel.agents.roster import MODULES, PROPOSERS, role_of
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import FloatArray, IntArray, Network, Targets, View

# Among those who propose shipments: the push to all stores, kept within what the DC holds.
BALANCED = PROPOSERS["shipment_gap"].index("shipping_high")

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
        self.grids = {
            "supplier_gap": [self.dc_cover, self.dc_cover],
            "shipment_gap": [self.store_cover, self.store_cover, self.push_cover, self.push_cover],
            "online_share": [self.online_share, self.online_share],
            "disposition": [self.disposition, self.disposition],
        }
        self.num_options = {m: grid.options[role_of(m)].number for m in MODULES}
        self.initial_option = {m: grid.options[role_of(m)].initial for m in MODULES}

    def decode_shares(self, actions: Actions) -> FloatArray:
        """Returns the online shares proposed, (P, B, S, K)."""
        return self._stack(self.look_up("online_share", actions))

    def decode_dispositions(self, actions: Actions) -> FloatArray:
        """Returns the disposition shares proposed, (P, B, S, K, 3)."""
        return self._stack(self.look_up("disposition", actions))

    def decode_supplier_gaps(self, actions: Actions, view: View) -> FloatArray:
        """Returns echelon order-up-to target - echelon position, units, (P, B, W, K)."""
        net = self.network
        store_position = compute_store_position(view, net)
        position = compute_echelon_position(view, store_position, net)
        cover = self._stack(self.look_up("supplier_gap", actions))
        return cover * compute_system_rate(view, net) - position

    def decode_shipment_gaps(
        self, actions: Actions, view: View, online_share: FloatArray
    ) -> FloatArray:
        """Returns order-up-to target - inventory position of the stores, units, (P, B, S, K).

        Args:
            actions: levels by module.
            view: what is known.
            online_share: the coordinated share, which says what the stores are to serve.
        """
        position = compute_store_position(view, self.network)
        rate = compute_store_rate(view, online_share)
        beyond = self._stack(self.look_up("shipment_gap", actions))
        gaps = (self.network.lane_lead_time[:, None] + beyond) * rate - position
        gaps[BALANCED] = self.balance(gaps[BALANCED], view)
        return gaps

    def look_up(self, decision: str, actions: Actions) -> list[FloatArray]:
        """Returns what the proposers' levels stand for: days of cover, or shares.

        Args:
            decision: of `PROPOSERS`, whose order is that of the result.
            actions: levels by module.

        Returns:
            Arrays (B, A, K) or (B, A, K, 3); A is 1 where a high-level agent speaks for all.
        """
        levels = [actions[m] for m in PROPOSERS[decision]]
        if decision == "supplier_gap":
            levels[1] = levels[1][:, : self.network.num_dcs]
        if decision == "shipment_gap":
            levels[1] = levels[1][:, self.network.num_dcs :]
        return [grid[chosen] for grid, chosen in zip(self.grids[decision], levels, strict=True)]

    def balance(self, gap: FloatArray, view: View) -> FloatArray:
        """Scales a push to all stores down to what the DC holds, by the same factor for each.

        Args:
            gap: of the stores, units, signed, (B, S, K).
            view: what is known.
        """
        net = self.network
        wanted = net.sum_by_dc(np.maximum(gap, 0))
        held = view.on_hand[:, : net.num_dcs]
        factor = np.minimum(held / np.maximum(wanted, 1e-9), 1)[:, net.parent]
        return np.where(gap > 0, gap * factor, gap)

    def _stack(self, chosen: list[FloatArray]) -> FloatArray:
        """Stacks proposals; one of a high-level agent holds for every node."""
        widest = max(chosen, key=lambda array: array.shape[1])
        return np.stack([np.broadcast_to(array, widest.shape) for array in chosen])
