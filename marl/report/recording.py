"""Episodes run for the report: what moved on an average day, and one episode day by day."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from envs.omnichannel.agents.roster import PROPOSERS
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.flows import Flows
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import FloatArray, IntArray, Network, SeedArray, sum_channels
from envs.omnichannel.world.demand import make_demand
from marl.policies.base import Policy

# Ledger entries that the figures read.
_LEDGER = (
    "supplied", "shipped", "demand", "sold_store", "sold_pickup",
    "store_from_dc", "pickup_from_dc", "online_from_store", "online_from_dc", "on_time", "lost",
    "returned", "restocked", "consolidated", "liquidated", "scrapped", "mailed", "shrunk", "wasted",
)  # fmt: skip
PROPOSING_MODULES = PROPOSERS["shipment_gap"]
MOST_SHOWN = 30  # stores, and SKUs, that figures show one by one
MOST_DAYS = 28  # of proposals


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The nodes and SKUs that figures show one by one: the largest, in the network's order."""

    dcs: IntArray  # (W',)
    stores: IntArray  # (S',)
    skus: IntArray  # (K',)
    node_names: tuple[str, ...]  # M = W' + S', DCs first
    sku_names: tuple[str, ...]
    demand: FloatArray  # (M, K') units a period to be served from or through the node
    period: str = "day"

    @classmethod
    def from_scenario(cls, scenario: Scenario, most: int = MOST_SHOWN) -> Selection:
        """Selects the `most` stores and SKUs of the highest mean demand, and the stores' DCs."""
        network = Network.from_scenario(scenario)
        demand = compute_node_demand(scenario)
        by_dc, by_store = demand[: network.num_dcs], demand[network.num_dcs :]
        stores = _find_largest(by_store.sum(axis=1), most)
        skus = _find_largest(by_store.sum(axis=0), most)
        dcs = np.unique(network.parent[stores])
        nodes = scenario.network
        names = [nodes.dcs[w].name for w in dcs] + [nodes.stores[s].name for s in stores]
        return cls(
            dcs=dcs,
            stores=stores,
            skus=skus,
            node_names=tuple(names),
            sku_names=tuple(scenario.skus[k].name for k in skus),
            demand=np.concatenate([by_dc[dcs], by_store[stores]])[:, skus],
            period=scenario.period,
        )

    def select(self, by_dc: FloatArray | IntArray, by_store: FloatArray | IntArray) -> FloatArray:
        """Returns the selected rows and SKUs of (..., W, K) and (..., S, K), (..., M, K')."""
        rows = [by_dc[..., self.dcs, :], by_store[..., self.stores, :]]
        chosen: FloatArray = np.concatenate(rows, axis=-2)[..., self.skus].astype(np.float64)
        return chosen


def compute_node_demand(scenario: Scenario) -> FloatArray:
    """Returns mean demand to be served from or through each node, units a day, (N, K)."""
    by_store = sum_channels(make_demand(scenario).mean)
    by_dc = Network.from_scenario(scenario).sum_by_dc(by_store[None])[0]
    demand: FloatArray = np.concatenate([by_dc, by_store])
    return demand


def _find_largest(values: FloatArray, most: int) -> IntArray:
    """Indices of the largest values, ascending."""
    return np.sort(np.argsort(-values, kind="stable")[:most])


@dataclass(frozen=True, kw_only=True)
class Recording:
    """What a policy did in a few episodes."""

    episodes: int
    # Units a day, mean over days and episodes, by entry of `Flows`; its axes without B.
    units: dict[str, FloatArray]
    stock: FloatArray  # (T, M, K') units at the end of a day, mean over the episodes
    # The first days of the first episode. What no module proposes for a node is NaN; policies that
    # decide without agents have no proposals, P = 0.
    proposals: FloatArray  # (P, T', M, K') gaps by `PROPOSING_MODULES`, units, signed
    average: FloatArray  # (T', M, K') what the coordinator made of them; T' is 0 without them
    moved: FloatArray  # (T', M, K') units ordered from suppliers (DCs) or shipped in (stores)


def record_episodes(
    policy: Policy, scenario: Scenario, seeds: SeedArray, selection: Selection
) -> Recording:
    """Runs one episode for each seed, in lock-step.

    Args:
        policy: who decides.
        scenario: what to simulate, on the held-back part of recorded demand.
        seeds: one an episode, (B,), B >= 1; equal seeds give every policy equal demand.
        selection: the nodes and SKUs to keep day by day.
    """
    env = BatchedEnv(scenario, len(seeds), "evaluate")
    env.reset(seeds)
    tape = _Tape(env, selection)
    done = False
    while not done:
        step = policy.run_period(env)
        tape.add(step.flows)
        done = step.done
    return tape.finish()


@dataclass
class _Tape:
    """Collects periods."""

    env: BatchedEnv
    selection: Selection
    sums: dict[str, FloatArray] = field(default_factory=dict)
    stock: list[FloatArray] = field(default_factory=list)
    proposals: list[FloatArray] = field(default_factory=list)
    average: list[FloatArray] = field(default_factory=list)
    moved: list[FloatArray] = field(default_factory=list)

    def add(self, flows: Flows) -> None:
        """Adds the period that has just been run."""
        num_dcs = self.env.network.num_dcs
        rare = ("undelivered", "substituted_in")
        names = [*_LEDGER, *(name for name in rare if getattr(flows, name) is not None)]
        for name in names:
            total = getattr(flows, name).sum(axis=0, dtype=np.float64)
            self.sums[name] = self.sums[name] + total if name in self.sums else total
        on_hand = flows.on_hand.mean(axis=0)
        self.stock.append(self.selection.select(on_hand[:num_dcs], on_hand[num_dcs:]))
        if len(self.moved) < MOST_DAYS:
            self.moved.append(self.selection.select(flows.supplied[0], flows.shipped[0]))
            self._add_proposals()

    def _add_proposals(self) -> None:
        found = self.env.proposals
        if found is None:
            return
        orders, shipments = found["supplier_gap"][:, 0], found["shipment_gap"][:, 0]
        weights = self.env.coordinator.weights
        self.average.append(
            self.selection.select(
                np.tensordot(weights["supplier_gap"], orders, axes=1),
                np.tensordot(weights["shipment_gap"], shipments, axes=1),
            )
        )
        by_module = dict(zip(PROPOSERS["supplier_gap"], orders, strict=True))
        nothing = np.full(orders.shape[1:], np.nan)
        to_order = np.stack([by_module.get(module, nothing) for module in PROPOSING_MODULES])
        self.proposals.append(self.selection.select(to_order, shipments))

    def finish(self) -> Recording:
        """Returns what was collected."""
        count = self.env.num_copies * len(self.stock)
        shape = (0, *self.stock[0].shape)
        has_agents = bool(self.proposals)
        return Recording(
            episodes=self.env.num_copies,
            units={name: total / count for name, total in self.sums.items()},
            stock=np.stack(self.stock),
            proposals=np.stack(self.proposals, axis=1) if has_agents else np.empty((0, *shape)),
            average=np.stack(self.average) if has_agents else np.empty(shape),
            moved=np.stack(self.moved),
        )
