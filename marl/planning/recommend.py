"""From a stock count to today's orders, by the same parts that trained the policy.

What is uncertain is simulated: futures of the scenario's demand and returns from this morning on,
the same ones for the policy and for the classical rule. A node's stock must last until what is
decided tomorrow can arrive; no later decision can help a store before that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from envs.errors import InputError
from envs.omnichannel.agents.inventory import (
    compute_echelon_position,
    compute_online_waiting,
    compute_store_position,
    compute_store_rate,
    compute_system_rate,
)
from envs.omnichannel.agents.roster import HIGH_MODULES
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario import DISPOSITIONS, Scenario
from envs.omnichannel.scenario.demand import Trace
from envs.omnichannel.types import (
    ONLINE,
    Decisions,
    FloatArray,
    Flows,
    IntArray,
    View,
    sum_axis,
    sum_channels,
)
from marl.planning.planner import Proposed, Rule, make_decider
from marl.planning.policy_file import OnnxPolicy
from marl.planning.recommendation import Decision, Goals, Outlook, Recommendation
from marl.planning.restore import HeldOptions, Morning, restore
from marl.planning.stock_count import Situation, SituationSchema
from marl.policies import FAMILIES, list_families, make_policy
from marl.policies.base import Setting, TargetRule

NUM_FUTURES = 100
_UNTUNED = "forecast_order_up_to"  # the rule to compare with where none was tuned


@dataclass(frozen=True)
class Plan:
    """What a rule decides today, and what comes of it."""

    decisions: Decisions  # of one copy; orders and shipments as carried out
    requested: IntArray  # (S, K) units asked of the DCs
    wanted: IntArray  # (W, K) units asked of suppliers
    today: Flows  # of all futures, (F, ...)
    shortage: FloatArray  # (N, K) share of futures with one in the node's protection days


class Planner:
    """Answers what to order, to ship and to do with returns today.

    Args:
        policy: exported.
        scenario: the planner's network, demand and costs; the policy brings its action grids and
            its coordinator.
        num_futures: F, what probabilities and expected units are averages over.

    Raises:
        InputError: if the policy does not fit the scenario.
    """

    def __init__(
        self, policy: OnnxPolicy, scenario: Scenario, num_futures: int = NUM_FUTURES
    ) -> None:
        self.policy = policy
        self.notes: list[str] = []
        if policy.metadata.scenario_hash != scenario.hash():
            self.notes.append(
                f"the policy was trained on scenario {policy.metadata.scenario!r}, which is not "
                f"this {scenario.name!r}"
            )
        self.scenario = self._leave_out_promotions(policy.adapt(scenario))
        if self.scenario.has_perishables:
            self.notes.append(
                "perishables count as fresh: a stock count does not say how old they are"
            )
        self.today = BatchedEnv(self.scenario, 1)
        self.decider = make_decider(policy, self.scenario)
        self.schema = SituationSchema(self.today.simulator)
        self.futures = BatchedEnv(self.scenario, num_futures)
        self.network = self.today.network
        self.classical = self._make_classical()

    def recommend(self, situation: Situation, goals: Goals | None = None) -> Recommendation:
        """Decides today.

        Args:
            situation: of this morning.
            goals: what the high level has held since its last review. It reviews today without
                them, and `review_period` days after they were chosen.

        Raises:
            InputError: if the goals do not fit the policy, the scenario or the day.
        """
        morning = self.read_morning(situation, goals)
        env = self.today
        restore(env, morning)
        view, reviews = env.view, env.is_review
        decided = self.decider.decide(env, morning.held)
        plan = self._make_plan(morning, decided.follow)
        other = self._make_plan(morning, self.classical.compute_targets)
        return Recommendation(
            policy=self.policy.name,
            scenario=self.scenario.name,
            day=situation.day,
            review=self.decider.has_goals and reviews,
            classical=self.classical.name,
            notes=self.notes,
            goals=(
                self._write_goals(decided.levels, situation.day - morning.since_review)
                if self.decider.has_goals
                else None
            ),
            decisions=[
                *self._list_orders(plan, other, decided.proposed),
                *self._list_store_decisions(plan, other, decided.proposed),
            ],
            outlook=[*self._list_outlook(view, plan, other)],
        )

    def _leave_out_promotions(self, scenario: Scenario) -> Scenario:
        """The scenario without promotions: a stock count does not tell which are coming."""
        if isinstance(scenario.demand, Trace) or scenario.demand.promotions is None:
            return scenario
        self.notes.append("promotions are left out: a stock count does not say which are coming")
        demand = scenario.demand.model_copy(update={"promotions": None})
        return scenario.model_copy(update={"demand": demand})

    def _make_classical(self) -> TargetRule:
        """The best family of which the policy file has tuned parameters that fit this network."""
        setting = Setting.from_scenario(self.scenario)
        tuned = self.policy.metadata.classical
        fitting = [
            family
            for family in list_families(self.scenario)
            if family in tuned
            and set(tuned[family].parameters) == set(FAMILIES[family].make_space(setting).names)
        ]
        if fitting:
            best = max(fitting, key=lambda family: tuned[family].reward)
            return make_policy(best, self.scenario, tuned[best].parameters)
        self.notes.append(
            f"{_UNTUNED} is not tuned for this network: its parameters are first guesses"
        )
        return make_policy(_UNTUNED, self.scenario)

    def read_morning(self, situation: Situation, goals: Goals | None = None) -> Morning:
        """Returns where every simulation begins: the stock, what is held, and for how long.

        Args and errors as of `recommend`.
        """
        decoder, skus = self.today.decoder, self.schema.skus
        initial = {
            m: np.full((1, 1, len(skus)), decoder.initial_option[m], np.int64) for m in HIGH_MODULES
        }
        if goals is None:
            return Morning(situation, initial, 0)
        if not self.decider.has_goals:
            raise InputError(
                f"goals: policy {self.policy.name!r} decides on every day anew and holds none; "
                "leave them out"
            )
        if goals.day >= situation.day:
            raise InputError(
                f"goals.day: {goals.day} is not allowed; a day before today's {situation.day} is "
                "needed"
            )
        held: HeldOptions = {}
        for m in HIGH_MODULES:
            levels = goals.levels.get(m, {})
            for sku in skus:
                if not 0 <= levels.get(sku, -1) < decoder.num_options[m]:
                    raise InputError(
                        f"goals.levels.{m}.{sku}: {levels.get(sku)} is not allowed; a level from "
                        f"0 to {decoder.num_options[m] - 1} is needed"
                    )
            held[m] = np.array([levels[sku] for sku in skus], np.int64).reshape(1, 1, -1)
        since = situation.day - goals.day
        return Morning(situation, held, since if since < self.scenario.review_period else 0)

    def _write_goals(self, levels: Mapping[str, IntArray], day: int) -> Goals:
        return Goals(
            day=day,
            levels={
                m: dict(zip(self.schema.skus, levels[m][0, 0].tolist(), strict=True))
                for m in HIGH_MODULES
            },
        )

    def _make_plan(self, morning: Morning, rule: Rule) -> Plan:
        """What the rule decides today, and its futures."""
        restore(self.today, morning)
        targets = rule(self.today.view)
        decisions = self.today.decide(targets)
        _, flows = self.today.advance(targets)
        carried_out = replace(decisions, supplier_order=flows.supplied, shipment=flows.shipped)
        today, shortage = self._project(morning, rule)
        return Plan(carried_out, flows.requested[0], decisions.supplier_order[0], today, shortage)

    def _project(self, morning: Morning, rule: Rule) -> tuple[Flows, FloatArray]:
        """Simulates the futures; returns today's flows and the share of them with a shortage.

        A store is short of a SKU on a day when walk-ins or pickups go without; a DC when it ships
        less than its stores request or an online order of its regions is not served at once.
        """
        env, net = self.futures, self.network
        restore(env, morning)
        short = np.zeros((env.num_copies, net.num_nodes, net.num_skus), bool)
        first: Flows | None = None
        for day in range(int(net.lead_time.max()) + 1):
            _, flows = env.advance(rule(env.view))
            first = first or flows
            missing = flows.demand - flows.on_time
            online = missing[..., ONLINE]
            at_dcs = net.sum_by_dc(flows.requested - flows.shipped + online)
            at_stores = sum_channels(missing) - online
            within = (net.lead_time >= day)[:, None]
            short |= (np.concatenate([at_dcs, at_stores], axis=1) > 0) & within
        assert first is not None
        return first, short.mean(axis=0)

    def _list_orders(self, plan: Plan, other: Plan, proposed: Proposed) -> Iterator[Decision]:
        """Supplier orders, then shipments to stores."""
        net, nodes = self.network, self.schema.nodes
        for name, requested, units, alternative, gaps, sources, destinations in (
            (
                "order",
                plan.wanted,
                plan.decisions.supplier_order[0],
                other.decisions.supplier_order[0],
                proposed["supplier_gap"],
                ["supplier"] * net.num_dcs,
                nodes[: net.num_dcs],
            ),
            (
                "shipment",
                plan.requested,
                plan.decisions.shipment[0],
                other.decisions.shipment[0],
                proposed["shipment_gap"],
                [nodes[w] for w in net.parent],
                nodes[net.num_dcs :],
            ),
        ):
            for i, node in enumerate(destinations):
                for k, sku in enumerate(self.schema.skus):
                    yield Decision(
                        node=node,
                        sku=sku,
                        decision=name,
                        source=sources[i],
                        destination=node,
                        units=float(units[i, k]),
                        share=None,
                        requested=int(requested[i, k]),
                        proposals={m: float(gap[i, k]) for m, gap in gaps.items()},
                        classical=float(alternative[i, k]),
                    )

    def _list_store_decisions(
        self, plan: Plan, other: Plan, proposed: Proposed
    ) -> Iterator[Decision]:
        """Who serves online orders and what is done with returns, expected units beside."""
        today, net = plan.today, self.network
        stores = self.schema.nodes[net.num_dcs :]
        dcs = [self.schema.nodes[w] for w in net.parent]
        online = proposed["online_share"]
        chosen, alternative = plan.decisions.online_share[0], other.decisions.online_share[0]
        customers = ["customers"] * len(stores)
        yield from self._list_shares(
            "online", stores, customers, chosen, alternative, today.online_from_store, online
        )
        rest = {m: 1 - share for m, share in online.items()}
        yield from self._list_shares(
            "online", dcs, customers, 1 - chosen, 1 - alternative, today.online_from_dc, rest
        )
        destinations = {"restock": stores, "consolidate": dcs, "liquidate": ["sale"] * len(stores)}
        units = (today.restocked, today.consolidated, today.liquidated)
        for d, name in enumerate(DISPOSITIONS):
            yield from self._list_shares(
                name,
                customers,
                destinations[name],
                plan.decisions.disposition[0, ..., d],
                other.decisions.disposition[0, ..., d],
                units[d],
                {m: shares[..., d] for m, shares in proposed["disposition"].items()},
            )

    def _list_shares(
        self,
        name: str,
        sources: list[str],
        destinations: list[str],
        share: FloatArray,
        alternative: FloatArray,
        units: IntArray,
        proposals: Mapping[str, FloatArray],
    ) -> Iterator[Decision]:
        """A share for each store and SKU, (S, K), with the mean of the futures' units."""
        expected = units.mean(axis=0)
        for s, store in enumerate(self.schema.nodes[self.network.num_dcs :]):
            for k, sku in enumerate(self.schema.skus):
                yield Decision(
                    node=store,
                    sku=sku,
                    decision=name,
                    source=sources[s],
                    destination=destinations[s],
                    units=float(expected[s, k]),
                    share=float(share[s, k]),
                    requested=None,
                    proposals={m: float(proposed[s, k]) for m, proposed in proposals.items()},
                    classical=float(alternative[s, k]),
                )

    def _list_outlook(self, view: View, plan: Plan, other: Plan) -> Iterator[Outlook]:
        """Stock, forecast, cover and risk of every node and SKU."""
        net, state = self.network, view.state
        at_store = compute_store_position(state, net)
        position = np.concatenate([compute_echelon_position(state, at_store, net), at_store], 1)[0]
        rate = np.concatenate(
            [compute_system_rate(view, net), compute_store_rate(view, plan.decisions.online_share)],
            axis=1,
        )[0]
        brought = np.concatenate([plan.decisions.supplier_order, plan.decisions.shipment], axis=1)
        coming = sum_axis(state.in_transit, 1)
        coming[:, net.num_dcs :] += sum_axis(state.in_inspection, 1)
        waiting = sum_axis(state.backorders, 1)
        online = compute_online_waiting(state, net)
        owed = np.concatenate([net.sum_by_dc(online), waiting - online], axis=1)
        for n, node in enumerate(self.schema.nodes):
            for k, sku in enumerate(self.schema.skus):
                before = int(position[n, k])
                yield Outlook(
                    node=node,
                    sku=sku,
                    on_hand=int(state.on_hand[0, n, k]),
                    on_the_way=int(coming[0, n, k]),
                    owed=int(owed[0, n, k]),
                    position=before,
                    forecast=float(rate[n, k]),
                    cover_before=_compute_cover(before, rate[n, k]),
                    cover_after=_compute_cover(before + int(brought[0, n, k]), rate[n, k]),
                    protection_days=int(net.lead_time[n]) + 1,
                    stockout_probability=float(plan.shortage[n, k]),
                    classical_stockout_probability=float(other.shortage[n, k]),
                )


def _compute_cover(position: int, rate: float) -> float | None:
    """Days that the position lasts at the rate."""
    return position / rate if rate > 0 else None
