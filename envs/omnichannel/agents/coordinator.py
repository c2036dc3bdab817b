"""The coordinator: averages the agents' proposals (eq. 6), then makes them feasible.

It averages targets, signed and in units, and clips only the result: quantities that were clipped
at zero first could only ever push stock up.
"""

from __future__ import annotations

import numpy as np

from envs.omnichannel.agents.actions import BALANCED, ActionDecoder, Actions
from envs.omnichannel.agents.inventory import (
    compute_echelon_position,
    compute_store_position,
    compute_store_rate,
    compute_system_rate,
)
from envs.omnichannel.agents.roster import MODULES, PROPOSERS
from envs.omnichannel.scenario import Coordination
from envs.omnichannel.types import (
    Decisions,
    FloatArray,
    IntArray,
    Proposals,
    Targets,
    View,
    sum_axis,
)
from envs.omnichannel.world.allocation import round_jointly


class Coordinator:
    """Combines several proposals for each decision into one.

    Strategies, all of them weights over the proposing modules: `average` weighs every proposer
    equally (eq. 6), `weighted` by role times level, `low_only` and `high_only` by one level.
    """

    def __init__(self, decoder: ActionDecoder, rules: Coordination) -> None:
        self.decoder = decoder
        module_weights = {m: _module_weight(m, rules) for m in MODULES}
        self.weights: dict[str, FloatArray] = {}
        for decision, proposers in PROPOSERS.items():
            weights = np.array([module_weights[m] for m in proposers])
            if weights.sum() == 0:
                # A decision that nobody with a weight proposes falls back to eq. 6.
                weights = np.ones(len(proposers))
            self.weights[decision] = weights / weights.sum()

    def coordinate(self, actions: Actions, view: View) -> tuple[Proposals, Targets]:
        """Decodes and combines the agents' levels.

        Args:
            actions: levels by module, (B, A_m, K).
            view: what is known.

        Returns:
            All proposals, and the combined targets.
        """
        decoder = self.decoder
        shares = decoder.decode_shares(actions)
        targets = self.compute_targets(actions, view)
        proposals = Proposals(
            supplier_gap=decoder.decode_supplier_gaps(actions, view),
            shipment_gap=decoder.decode_shipment_gaps(actions, view, targets.online_share),
            online_share=shares,
            disposition=decoder.decode_dispositions(actions),
        )
        return proposals, targets

    def compute_targets(self, actions: Actions, view: View) -> Targets:
        """Returns the weighted mean of all proposals without making each of them.

        Targets are linear in the days of cover, so the covers are averaged and one gap is made of
        their mean; only the balanced push, which is not linear, is a gap of its own.

        The online share comes first, because it says how much demand the stores are to serve and
        so what a cover of so many days means in units.

        Args:
            actions: levels by module, (B, A_m, K).
            view: what is known.
        """
        net = self.decoder.network
        online_share = self._average("online_share", actions)
        position = compute_store_position(view.state, net)
        echelon = compute_echelon_position(view.state, position, net)
        rate = compute_store_rate(view, online_share)
        supplier_cover = self._average("supplier_gap", actions)
        return Targets(
            supplier_gap=supplier_cover * compute_system_rate(view, net) - echelon,
            shipment_gap=self._average_shipments(actions, view, rate, position),
            online_share=online_share,
            disposition=self._average("disposition", actions),
        )

    def _average(self, decision: str, actions: Actions) -> FloatArray:
        """Eq. 6: the weighted mean of what the proposers' levels stand for."""
        chosen = self.decoder.look_up(decision, actions)
        weighted = [w * c for w, c in zip(self.weights[decision], chosen, strict=True)]
        return np.add(weighted[0], weighted[1])

    def _average_shipments(
        self, actions: Actions, view: View, rate: FloatArray, position: IntArray
    ) -> FloatArray:
        """Eq. 6 for shipment gaps, (B, S, K)."""
        decoder, weights = self.decoder, self.weights["shipment_gap"]
        lead_time = decoder.network.lane_lead_time[:, None]
        chosen = decoder.look_up("shipment_gap", actions)
        push = (lead_time + chosen.pop(BALANCED)) * rate - position
        others = np.delete(weights, BALANCED)
        cover = sum((w * c for w, c in zip(others, chosen, strict=True)), others.sum() * lead_time)
        gap: FloatArray = cover * rate - others.sum() * position
        return gap + weights[BALANCED] * decoder.balance(push, view)


def make_feasible(
    targets: Targets, *, whole_trucks: bool = False, with_surplus: bool = False
) -> Decisions:
    """Returns integer orders >= 0 and valid fractions.

    The stock that the DCs can really ship is the simulator's rationing, not this projection.

    Args:
        targets: wishes, signed.
        whole_trucks: round a shipment's SKUs together, so that a full truck stays one truck.
        with_surplus: say what stores have above their targets, for transshipment.
    """
    round_shipment = _round_load if whole_trucks else _round_units
    disposition = np.clip(targets.disposition, 0, 1)
    total = sum_axis(disposition, disposition.ndim - 1)[..., None]
    restock = np.array([1.0, 0.0, 0.0])
    return Decisions(
        supplier_order=_round_units(targets.supplier_gap),
        shipment=round_shipment(targets.shipment_gap),
        online_share=np.clip(targets.online_share, 0, 1),
        disposition=np.where(total > 0, disposition / np.maximum(total, 1e-12), restock),
        surplus=np.maximum(-targets.shipment_gap, 0).astype(np.int64) if with_surplus else None,
    )


def _round_units(gap: FloatArray) -> IntArray:
    return (np.maximum(gap, 0) + 0.5).astype(np.int64)  # rounds half up


def _round_load(gap: FloatArray) -> IntArray:
    return round_jointly(np.maximum(gap, 0))


def _module_weight(module_id: str, rules: Coordination) -> float:
    role, _, level = module_id.rpartition("_")
    if rules.strategy == "low_only":
        return float(level == "low")
    if rules.strategy == "high_only":
        return float(level == "high")
    if rules.strategy == "weighted":
        weight_of_role = {str(k): v for k, v in rules.role_weights.items()}.get(role, 1.0)
        weight_of_level = {str(k): v for k, v in rules.level_weights.items()}.get(level, 1.0)
        return weight_of_role * weight_of_level
    return 1.0
