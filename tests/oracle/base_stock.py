"""Base-stock policies on many copies in lock-step, for models whose cost others have published."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from envs.omnichannel.agents.positions import count_positions
from envs.omnichannel.flows import Decisions
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import Demand, FloatArray, IntArray, SeedArray, State
from envs.omnichannel.world.account.costs import CostModel
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.simulator import Simulator

SampleDemand = Callable[[np.random.Generator], IntArray]  # -> (B, S) units


def make_decisions(order: IntArray, shipment: IntArray) -> Decisions:
    """Decisions about one SKU without online orders and returns; (B, W), (B, S)."""
    disposition = np.zeros((*shipment.shape, 1, 3))
    disposition[..., 0] = 1
    return Decisions(
        supplier_order=order[..., None],
        shipment=shipment[..., None],
        online_share=np.zeros((*shipment.shape, 1)),
        disposition=disposition,
    )


def make_demand(template: Demand, units: IntArray) -> Demand:
    """Walk-in demand for one SKU, (B, S), in place of what the scenario's process drew."""
    both = np.stack([units[..., None], np.zeros_like(units)[..., None]], axis=-1)
    return replace(template, units=both)


def make_state(simulator: Simulator, on_hand: IntArray, seeds: SeedArray | None = None) -> State:
    """Empty pipelines and the given stock, (B, N); without seeds each copy has its own."""
    seeds = make_seeds("oracle", 0, len(on_hand)) if seeds is None else seeds
    state = simulator.make_state(seeds)
    return replace(state, on_hand=on_hand[..., None].astype(np.int64))


def run_base_stock(
    scenario: Scenario,
    warehouse: IntArray,
    store: IntArray,
    periods: int,
    sample: SampleDemand | None = None,
    warm_up: int = 0,
    reorder_point: IntArray | None = None,
    seeds: SeedArray | None = None,
    start: IntArray | None = None,
) -> FloatArray:
    """Returns each copy's total cost after the warm-up, (B,).

    Every location starts at its level unless `start` says otherwise. A store asks for the gap to
    its level (with a reorder point: when its position is at or below it), the warehouse orders the
    gap of its echelon.

    Args:
        scenario: one DC, one SKU.
        warehouse: echelon base-stock level, (B,).
        store: base-stock level of each store, (B, S).
        periods: counted ones.
        sample: draws a period's demand, where it is not the scenario's process that does.
        warm_up: periods before those.
        reorder_point: of the stores, (B, S).
        seeds: of the scenario's process, (B,); copies with the same seed meet the same demand.
        start: units on hand at the start, (B, 1 + S).
    """
    simulator = Simulator(scenario)
    model, rng = CostModel(scenario, simulator.network), np.random.default_rng(20240101)
    on_hand = np.concatenate([(warehouse - store.sum(axis=1))[:, None], store], axis=1)
    on_hand = on_hand if start is None else start
    state, total = make_state(simulator, np.maximum(on_hand, 0), seeds), np.zeros(len(store))
    for period in range(warm_up + periods):
        positions = count_positions(state, simulator.network)
        position, echelon = positions.store, positions.echelon
        gap = np.maximum(store - position[..., 0], 0)
        if reorder_point is not None:
            gap = np.where(position[..., 0] <= reorder_point, gap, 0)
            order = gap.sum(axis=1, keepdims=True)
        else:
            order = np.maximum(warehouse[:, None] - echelon[..., 0], 0)
        demand = simulator.sample_demand(state)
        if sample is not None:
            demand = make_demand(demand, sample(rng))
        state, flows = simulator.simulate_period(state, make_decisions(order, gap), demand)
        if period >= warm_up:
            total += sum(money.sum(axis=(1, 2)) for money in model.compute_costs(flows).values())
    return total
