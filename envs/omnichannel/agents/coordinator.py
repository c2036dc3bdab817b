"""The coordinator: averages the agents' proposals (eq. 6), then makes them feasible.

It averages targets, signed and in units, and clips only the result: quantities that were clipped
at zero first could only ever push stock up.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from envs.omnichannel.agents.actions import ActionDecoder, Actions
from envs.omnichannel.agents.coordination_kernels import (
    Grids,
    Lanes,
    Options,
    Weights,
    Wishes,
    are_valid,
    average_proposals,
    project_shares,
    round_gaps,
)
from envs.omnichannel.agents.roster import MODULES, PROPOSERS, list_rows
from envs.omnichannel.agents.units import make_units
from envs.omnichannel.scenario.coordination import Coordination
from envs.omnichannel.types import (
    Decisions,
    FloatArray,
    IntArray,
    Proposals,
    Targets,
    View,
)
from envs.omnichannel.world.allocation.largest_remainder import round_jointly


class Coordinator:
    """Combines several proposals for each decision into one.

    Strategies, all of them weights over the proposing modules: `average` weighs every proposer
    equally (eq. 6), `weighted` by role times level, `low_only` and `high_only` by one level, and
    `valued` the low level alone, whose agents uphold the goals that they see no reason to leave.
    `learned` has weights by decision and proposer, which training changes with `weigh`.
    """

    def __init__(self, decoder: ActionDecoder, rules: Coordination) -> None:
        self.decoder = decoder
        self.rules = rules
        self.weigh(None)
        self._grids = Grids(
            dc_cover=decoder.dc_cover,
            store_cover=decoder.store_cover,
            push_cover=decoder.push_cover,
            online_share=decoder.online_share,
            disposition=decoder.disposition,
        )
        net = decoder.network
        rows = list_rows(net.num_dcs, net.num_stores)
        self._shapes = {m: (rows[m].stop - rows[m].start, net.num_skus) for m in MODULES}
        self._lanes = Lanes(net.parent, net.lane_lead_time, net.online_slots)

    def weigh(self, weights: Mapping[str, FloatArray] | None) -> None:
        """Sets the proposers' weights.

        Args:
            weights: by decision of `PROPOSERS`, (P,), or (B, P) where every copy has its own;
                None: those of the scenario.
        """
        if weights is None:
            weights = _make_weights(self.rules)
        self.weights = {
            decision: np.ascontiguousarray(weights[decision] / _sum_last(weights[decision]))
            for decision in PROPOSERS
        }
        self._weights = Weights(**{name: np.atleast_2d(w) for name, w in self.weights.items()})

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
        net, copies = self.decoder.network, len(view.forecast)
        cells = (net.num_stores, net.num_skus)
        targets = Targets(
            supplier_gap=np.empty((copies, net.num_dcs, net.num_skus)),
            shipment_gap=np.empty((copies, *cells)),
            online_share=np.empty((copies, *cells)),
            disposition=np.empty((copies, *cells, 3)),
        )
        average_proposals(
            self._check(actions, copies),
            self._grids,
            self._weights,
            make_units(view),
            self._lanes,
            Wishes(
                targets.supplier_gap,
                targets.shipment_gap,
                targets.online_share,
                targets.disposition,
            ),
        )
        return targets

    def _check(self, actions: Actions, copies: int) -> Options:
        """Returns the levels for a compiled loop, which would read beyond what it is given."""
        levels = {m: np.ascontiguousarray(actions[m], np.int64) for m in MODULES}
        for module_id, num_options in self.decoder.num_options.items():
            found, shape = levels[module_id], (copies, *self._shapes[module_id])
            if found.shape != shape:
                raise ValueError(f"{module_id} has levels of shape {found.shape}, not {shape}")
            if not are_valid(found, num_options):
                raise IndexError(f"{module_id} has levels outside 0 to {num_options - 1}")
        return Options(**levels)


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
    disposition = np.ascontiguousarray(targets.disposition, np.float64)
    return Decisions(
        supplier_order=_round_units(targets.supplier_gap),
        shipment=round_shipment(targets.shipment_gap),
        online_share=np.clip(targets.online_share, 0, 1),
        disposition=project_shares(disposition.reshape(-1, 3)).reshape(disposition.shape),
        surplus=np.maximum(-targets.shipment_gap, 0).astype(np.int64) if with_surplus else None,
    )


def _round_units(gap: FloatArray) -> IntArray:
    return round_gaps(np.ascontiguousarray(gap, np.float64).reshape(-1)).reshape(gap.shape)


def _round_load(gap: FloatArray) -> IntArray:
    return round_jointly(np.maximum(gap, 0))


def _sum_last(weights: FloatArray) -> FloatArray:
    return weights.sum(axis=-1, keepdims=True)


def _make_weights(rules: Coordination) -> dict[str, FloatArray]:
    """The scenario's weights by decision, (P,)."""
    if rules.strategy == "learned":
        found = {d: np.array(w, float) for d, w in rules.proposer_weights.model_dump().items()}
    else:
        found = {d: np.array([_module_weight(m, rules) for m in p]) for d, p in PROPOSERS.items()}
    # A decision that nobody with a weight proposes falls back to eq. 6.
    return {d: weights if weights.any() else np.ones(len(weights)) for d, weights in found.items()}


def _module_weight(module_id: str, rules: Coordination) -> float:
    role, _, level = module_id.rpartition("_")
    if rules.strategy in {"low_only", "valued"}:
        return float(level == "low")
    if rules.strategy == "high_only":
        return float(level == "high")
    if rules.strategy == "weighted":
        weight_of_role = {str(k): v for k, v in rules.role_weights.items()}.get(role, 1.0)
        weight_of_level = {str(k): v for k, v in rules.level_weights.items()}.get(level, 1.0)
        return weight_of_role * weight_of_level
    return 1.0
