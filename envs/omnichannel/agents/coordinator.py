"""The coordinator: averages the agents' proposals (eq. 6), then makes them feasible."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from envs.omnichannel.agents.decisions import DECISIONS
from envs.omnichannel.agents.decisions.averaging import Averaging
from envs.omnichannel.agents.decisions.base import Decision
from envs.omnichannel.agents.positions import count_positions, count_surplus
from envs.omnichannel.agents.roster import PROPOSERS, level_of, list_rows, role_of
from envs.omnichannel.flows import Decisions, Proposals, Targets
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.coordination import Coordination
from envs.omnichannel.types import FloatArray, IntArray, ModuleOptions, Network, View
from envs.omnichannel.world.allocation.lots import Lots


class Coordinator:
    """Combines several proposals for each decision into one.

    Strategies, all of them weights over the proposing modules: `average` weighs every proposer
    equally (eq. 6), `weighted` by role times level, `low_only` and `high_only` by one level, and
    `valued` the low level alone, whose agents uphold the goals that they see no reason to leave.
    `learned` has weights by decision and proposer, which training changes with `weigh`.
    """

    def __init__(self, scenario: Scenario, network: Network) -> None:
        self.network, self.rules = network, scenario.coordination
        self.decisions = make_decisions(scenario, network)
        self._averaging = Averaging(self.decisions, network)
        rows = list_rows(network.num_dcs, network.num_stores)
        self._shapes = {m: (r.stop - r.start, network.num_skus) for m, r in rows.items()}
        self.weigh(None)

    def weigh(self, weights: Mapping[str, FloatArray] | None) -> None:
        """Sets the proposers' weights.

        Args:
            weights: by target of `PROPOSERS`, (P,), or (B, P) where every copy has its own;
                None: those of the scenario.
        """
        if weights is None:
            weights = _make_weights(self.rules)
        self.weights = {
            target: np.ascontiguousarray(weights[target] / _sum_last(weights[target]))
            for target in PROPOSERS
        }
        self._weights = self._averaging.weigh(self.weights)

    def compute_targets(self, options: ModuleOptions, view: View) -> Targets:
        """Returns the weighted mean of all proposals, eq. 6, and the surplus that is left out.

        Args:
            options: by module, (B, A_m, K).
            view: what is known.
        """
        checked = self._check(options, len(view.period))
        targets = Targets(**self._averaging.average(checked, view, self._weights))
        if self.rules.surplus is None:
            return targets
        level = targets.supplier_gap + count_positions(view, self.network).echelon
        surplus = count_surplus(view, self.network, level)
        return replace(targets, supplier_gap=targets.supplier_gap + surplus)

    def propose(self, options: ModuleOptions, view: View, online_share: FloatArray) -> Proposals:
        """Returns all proposals, of each proposer one on the first axis.

        Args:
            options: by module, (B, A_m, K).
            view: what is known.
            online_share: that quantities are proposed for, (B, S, K).
        """
        checked = self._check(options, len(view.period))
        return self._averaging.propose(checked, view, online_share)

    def coordinate(self, options: ModuleOptions, view: View) -> tuple[Proposals, Targets]:
        """Returns all proposals and the targets; args as of `compute_targets`."""
        targets = self.compute_targets(options, view)
        return self.propose(options, view, targets.online_share), targets

    def _check(self, options: ModuleOptions, copies: int) -> tuple[IntArray, ...]:
        """Returns the options for a compiled loop, which would read beyond what it is given."""
        checked = []
        for module_id in self._averaging.modules:
            found = np.ascontiguousarray(options[module_id], np.int64)
            if found.shape != (copies, *self._shapes[module_id]):
                shape = (copies, *self._shapes[module_id])
                raise ValueError(f"{module_id} has options of shape {found.shape}, not {shape}")
            checked.append(found)
        return tuple(checked)


def make_decisions(scenario: Scenario, network: Network) -> tuple[Decision, ...]:
    """Builds all decisions of a scenario."""
    rows = list_rows(network.num_dcs, network.num_stores)
    return tuple(decision(scenario, network, rows) for decision in DECISIONS)


def make_feasible(
    targets: Targets,
    *,
    whole_trucks: bool = False,
    with_surplus: bool = False,
    lots: Lots | None = None,
) -> Decisions:
    """Returns integer orders >= 0 and valid fractions.

    The stock that the DCs can really ship is the simulator's rationing, not this projection.

    Args:
        targets: signed.
        whole_trucks: round a shipment's SKUs together, so that a full truck stays one truck.
        with_surplus: say what stores have above their targets, for transshipment.
        lots: of all nodes, that orders are to be made of; None: single units.
    """
    settled, num_dcs = {}, targets.supplier_gap.shape[1]
    by_place = (
        [None, None]
        if lots is None
        else [lots.take(s) for s in (slice(num_dcs, None), slice(num_dcs))]
    )
    for decision in DECISIONS:
        target = getattr(targets, decision.target)
        if target is not None:
            settled[decision.name] = decision.settle(
                target, whole_trucks=whole_trucks, lots=by_place[decision.at_dcs]
            )
    surplus = np.maximum(-targets.shipment_gap, 0).astype(np.int64) if with_surplus else None
    return Decisions(surplus=surplus, **settled)


def _sum_last(weights: FloatArray) -> FloatArray:
    return weights.sum(axis=-1, keepdims=True)


def _make_weights(rules: Coordination) -> dict[str, FloatArray]:
    """The scenario's weights by target, (P,)."""
    found = {t: np.array([_module_weight(m, rules) for m in p]) for t, p in PROPOSERS.items()}
    if rules.strategy == "learned":
        own = rules.proposer_weights.model_dump()
        found |= {target: np.array(weights, float) for target, weights in own.items()}
    # A decision that nobody with a weight proposes falls back to eq. 6.
    return {d: weights if weights.any() else np.ones(len(weights)) for d, weights in found.items()}


def _module_weight(module_id: str, rules: Coordination) -> float:
    role, level = role_of(module_id), level_of(module_id)
    if rules.strategy in {"low_only", "valued"}:
        return float(level == "low")
    if rules.strategy == "high_only":
        return float(level == "high")
    if rules.strategy == "weighted":
        weight_of_role = {str(k): v for k, v in rules.role_weights.items()}.get(role, 1.0)
        weight_of_level = {str(k): v for k, v in rules.level_weights.items()}.get(level, 1.0)
        return weight_of_role * weight_of_level
    return 1.0
