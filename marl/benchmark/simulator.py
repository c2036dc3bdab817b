"""The simulator and the environment alone, and how their time grows with the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from envs.omnichannel.agents.coordinator import make_feasible
from envs.omnichannel.agents.roster import MODULES
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.flows import Targets
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.simulator import Simulator
from marl.benchmark.rows import CELLS, ENV_STEPS, Probe, Row, measure_probes

SIZES = ((1, 10, 5), (2, 50, 20), (5, 250, 50), (10, 1000, 100))  # DCs, stores, SKUs
WIDE = 256  # copies at which the cost per call of NumPy no longer counts

_PERIODS = 30  # at most, where an episode would take long and every period costs the same
_SCALE_CELLS = 100_000  # of all copies together, in the rows on scale
_SCALE_PERIODS = 5


def measure_scale(sizes: Sequence[tuple[int, int, int]], rounds: int) -> list[Row]:
    """Measures how the simulator's time grows with the network: no agents, constant decisions.

    A cell is a SKU in a store. Every size runs as many copies as keep the cells of all copies
    equal, so that what grows is the work per cell; with one copy of each, the cost per call of
    NumPy would hide growth behind the smallest networks.

    Args:
        sizes: DCs, stores and SKUs of each network, smallest first.
        rounds: how often each is measured.

    Returns:
        Env steps/s and cells/s of each size, the latter as a ratio to the smallest network's, then
        the exponent b of seconds per period = a x cells^b, by least squares in logarithms.
    """
    cells = [stores * skus for _, stores, skus in sizes]
    names = [f"{stores:,} x {skus}" for _, stores, skus in sizes]
    probes = [
        Probe(
            f"scale {name}",
            ENV_STEPS,
            make_simulator_run(
                _make_scale_scenario(*size), max(1, _SCALE_CELLS // n), _SCALE_PERIODS
            ),
        )
        for name, size, n in zip(names, sizes, cells, strict=True)
    ]
    steps = measure_probes(probes, rounds)
    speeds = [row.value * n for row, n in zip(steps, cells, strict=True)]
    rows = list(steps)
    for name, speed in zip(names, speeds, strict=True):
        rows.append(Row(f"cells {name}", speed, CELLS, f"cells {names[0]}", speed / speeds[0]))
    exponent = fit_exponent(cells, [1 / row.value for row in steps])
    return [*rows, Row("growth exponent", exponent, "of cells")]


def fit_exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Returns b of seconds = a x size^b, by least squares in logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def _make_scale_scenario(num_dcs: int, num_stores: int, num_skus: int) -> Scenario:
    """A network of any size, with the defaults of everything else."""
    return Scenario.model_validate(
        {
            "name": "scale",
            "network": {
                "dcs": [{"name": f"dc_{w}"} for w in range(num_dcs)],
                "stores": [
                    {
                        "name": f"store_{s}",
                        "parent": f"dc_{s % num_dcs}",
                        "distance": 1 + s % 3,
                        "lead_time": 1 + s % 3,
                    }
                    for s in range(num_stores)
                ],
            },
            "skus": [
                {"name": f"sku_{k}", "category": "any", "store_demand": 6, "online_demand": 3}
                for k in range(num_skus)
            ],
            "categories": {"any": {}},
        }
    )


def make_simulator_run(
    scenario: Scenario, copies: int = WIDE, most_periods: int = _PERIODS
) -> Callable[[], float]:
    """Periods under constant decisions: mean demand is ordered and shipped."""
    simulator = Simulator(scenario)
    net = simulator.network
    seeds, periods = make_seeds("train", 0, copies), min(scenario.horizon, most_periods)
    shape = (copies, net.num_stores, net.num_skus)
    mean = np.broadcast_to(simulator.demand.mean.sum(axis=-1), shape)
    targets = Targets(
        supplier_gap=net.sum_by_dc(mean),
        shipment_gap=mean,
        online_share=np.full(shape, 0.5),
        disposition=np.full((*shape, 3), 1 / 3),
    )
    decisions = make_feasible(targets)

    def run() -> float:
        state = simulator.make_state(seeds)
        for _ in range(periods):
            demand = simulator.sample_demand(state)
            state, _ = simulator.simulate_period(state, decisions, demand)
        return copies * periods

    return run


def make_env_run(scenario: Scenario, copies: int) -> Callable[[], float]:
    """Periods under random options, the same ones in every period."""
    env = BatchedEnv(scenario, copies)
    seeds, periods = make_seeds("train", 0, copies), min(scenario.horizon, _PERIODS)
    rng = np.random.default_rng(0)
    options = {
        m: rng.integers(
            env.layout.modules[m].num_options,
            size=(copies, env.layout.modules[m].num_agents, env.network.num_skus),
        )
        for m in MODULES
    }

    def run() -> float:
        env.reset(seeds)
        for _ in range(periods):
            env.observe()
            env.step(options)
        return copies * periods

    return run
