"""Speed of every stage, from the simulator alone to training end to end.

Absolute figures belong to a machine and to what else runs on it; ratios of one run carry further.
So every stage is measured several times in turn, its median is reported, and its ratio is to
another row of the same run.
"""

from __future__ import annotations

import copy
import hashlib
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from envs.omnichannel.agents.coordinator import make_feasible
from envs.omnichannel.agents.roster import HIGH_MODULES, MODULES
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.types import Targets
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.simulator import Simulator
from marl.config import Learner, TrainConfig, list_configs, load_config

if TYPE_CHECKING:
    from marl.learning.algorithm import SharedPoolDQN
    from marl.learning.experience_pool import Batch, Fragment
    from marl.learning.network import QNetwork

ENV_STEPS = "env steps/s"
TRANSITIONS = "transitions/s"
CELLS = "cells/s"
HASHED = "MB hashed/s"
ONE_THREAD, TWO_THREADS = "one busy thread", "two busy threads"

_WIDE = 256  # copies at which the cost per call of NumPy no longer counts
_PERIODS = 30  # at most, where an episode would take long and every period costs the same
_SIZES = ((1, 10, 5), (2, 50, 20), (5, 250, 50), (10, 1000, 100))  # DCs, stores, SKUs
_SCALE_CELLS = 100_000  # of all copies together, in the rows on scale
_SCALE_PERIODS = 5
_HASH_MB = 64
_NEVER_DUE = 2**62  # updates counted as done, so that none is due
_FREE_CORES = 1.6  # speed-up of two busy threads below which a second core was not free


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    value: float  # `unit`, median over the rounds
    unit: str
    ratio_to: str | None = None  # name of the row that `value` is divided by
    ratio: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `benchmark --json`."""
        return asdict(self)


@dataclass(frozen=True)
class Probe:
    """Something to measure: `run` does the work and returns how many units it was."""

    name: str
    unit: str
    run: Callable[[], float]
    ratio_to: str | None = None


def run_benchmark(*, quick: bool = False, scenario: str = "paper") -> list[Row]:
    """Measures every stage in this process and on Ray actors of this machine.

    An env step is one period of one copy. A transition is one agent's decision for one SKU. B is
    the configuration's number of copies per runner.

    - `simulator x256`: demand and events 3 to 7 under decisions that never change; no agents.
    - `environment xB`, `x256`: observations, coordination, simulator, costs and credit under
      random levels drawn beforehand; no networks.
    - `forward passes alone`: the networks of a runner choose the best levels of B copies, one
      thread, on observations that are there already: the least that sampling can take.
    - `sampling in process`: whole episodes as a runner samples them, B copies, one thread.
    - `one busy thread`, `two busy threads`: no part of the project. Their ratio is the most that
      two runners can gain over one on this machine at this hour.
    - `runner actors x1`, `x2`: training iterations with one and with two Ray actors while the
      learner is off: sampling, transport, storing, sending weights.
    - `pool add`: storing a runner's fragment, returns computed. `pool sample`: batches for the
      updates of one call of the learner; its ratio to `learner` is learning time by sampling time.
    - `learner`: updates through RLlib's `LearnerGroup`, default batch. `bare torch loop`: the same
      arithmetic on the same batch, one network after the other, nothing around it.
    - `end to end`: training iterations with one actor, env steps sampled and transitions learnt;
      the ratios say what share of the stage's own speed is left.
    - `scale`, `cells`, `growth exponent`: see `measure_scale`; not when `quick`.

    Args:
        quick: fewer rounds and no scale, for a first look.
        scenario: built-in name or YAML file; a configuration of the same name is used if there
            is one.

    Returns:
        Rows in the order above.
    """
    loaded = load_scenario(scenario)
    config = load_config(loaded.name if loaded.name in list_configs() else "default")
    rounds = 2 if quick else 5
    with _one_torch_thread():
        rows = measure_probes(_make_sampling_probes(loaded, config), rounds)
        scale = [] if quick else measure_scale(_SIZES, rounds)
    with _ray_running(num_actors=3):
        rows += _measure_training(loaded, config, rounds, rows)
    return rows + scale


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
            _make_simulator_run(
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


def measure_probes(probes: Sequence[Probe], rounds: int, earlier: Sequence[Row] = ()) -> list[Row]:
    """Runs every probe once a round, after a warm-up, and returns the medians of units a second.

    Args:
        probes: run one after the other in every round, so that a disturbance of the machine
            spreads over all of them.
        rounds: how often.
        earlier: rows that a ratio may refer to besides those of `probes`.

    Returns:
        A row for each probe.
    """
    speeds: dict[str, list[float]] = {probe.name: [] for probe in probes}
    for measured in [False] + [True] * rounds:
        for probe in probes:
            started = time.perf_counter()
            amount = probe.run()
            seconds = time.perf_counter() - started
            if measured:
                speeds[probe.name].append(amount / seconds)
    values = {row.name: row.value for row in earlier}
    values |= {name: statistics.median(of_rounds) for name, of_rounds in speeds.items()}
    return [_make_row(probe, values) for probe in probes]


def make_table(rows: Sequence[Row]) -> Table:
    """Builds the table that the command line prints."""
    table = Table(title="speed, medians of one run", caption=_describe_cores(rows), box=SIMPLE_HEAD)
    table.add_column("stage", no_wrap=True)
    table.add_column("speed", justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    table.add_column("ratio", justify="right")
    table.add_column("to", no_wrap=True)
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        table.add_row(row.name, _format_speed(row.value), row.unit, ratio, row.ratio_to or "")
    return table


def _format_speed(value: float) -> str:
    """Three digits and more, short enough for the table to fit 80 columns."""
    if value >= 1e6:
        return f"{value / 1e6:,.1f} M"
    if value >= 1e3:
        return f"{value / 1e3:,.1f} k"
    return f"{value:,.1f}" if value >= 10 else f"{value:.2f}"


def _make_row(probe: Probe, values: Mapping[str, float]) -> Row:
    value = values[probe.name]
    ratio = None if probe.ratio_to is None else value / values[probe.ratio_to]
    return Row(probe.name, value, probe.unit, probe.ratio_to, ratio)


def _describe_cores(rows: Sequence[Row]) -> str | None:
    """Says whether a second core was free while the actors ran."""
    gains = [row.ratio for row in rows if row.name == TWO_THREADS and row.ratio is not None]
    if not gains:
        return None
    if gains[0] >= _FREE_CORES:
        return f"Two busy threads did {gains[0]:.2f} times the work of one: two cores were free."
    return (
        f"Two busy threads did {gains[0]:.2f} times the work of one: fewer than two cores were "
        "free, so the rows with actors say little about scaling."
    )


def _make_sampling_probes(scenario: Scenario, config: TrainConfig) -> list[Probe]:
    """What happens in one process: simulator, environment, networks, sampling."""
    from marl.learning.env_runner import sample_episodes
    from marl.learning.learned_policy import make_network_arguments, make_untrained

    copies = config.env_runners.num_envs_per_env_runner
    env = BatchedEnv(scenario, copies)
    seeds = make_seeds("train", config.seed, copies)
    arguments = make_network_arguments(scenario, config.learner)
    networks = dict(make_untrained(arguments).networks)
    epsilon = np.full(copies, config.exploration.epsilon)
    rng = np.random.default_rng(config.seed)

    def sample() -> Fragment:
        env.reset(seeds)
        return sample_episodes(env, networks, epsilon, rng)

    forward, simulator = "forward passes alone", f"simulator x{_WIDE}"
    return [
        Probe(simulator, ENV_STEPS, _make_simulator_run(scenario)),
        *(
            Probe(f"environment x{n}", ENV_STEPS, _make_env_run(scenario, n), simulator)
            for n in dict.fromkeys((_WIDE, copies))
        ),
        Probe(forward, ENV_STEPS, _make_forward_run(env, networks, sample())),
        Probe("sampling in process", ENV_STEPS, lambda: sample().env_steps(), forward),
    ]


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


def _make_simulator_run(
    scenario: Scenario, copies: int = _WIDE, most_periods: int = _PERIODS
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


def _make_env_run(scenario: Scenario, copies: int) -> Callable[[], float]:
    """Periods under random levels, the same ones in every period."""
    env = BatchedEnv(scenario, copies)
    seeds, periods = make_seeds("train", 0, copies), min(scenario.horizon, _PERIODS)
    rng = np.random.default_rng(0)
    levels = {
        m: rng.integers(
            env.decoder.num_levels[m],
            size=(copies, env.roster.num_agents(m), env.network.num_skus),
        )
        for m in MODULES
    }

    def run() -> float:
        env.reset(seeds)
        for _ in range(periods):
            env.observe()
            env.step(levels)
        return copies * periods

    return run


def _make_forward_run(
    env: BatchedEnv, networks: Mapping[str, QNetwork], fragment: Fragment
) -> Callable[[], float]:
    """The forward passes of a fragment: the high level's on review periods only."""
    import torch

    review_period, horizon = env.scenario.review_period, env.scenario.horizon
    rows = {
        m: torch.from_numpy(fragment.observations[:, 0, env.roster.module_rows[m]])
        .float()
        .contiguous()
        for m in MODULES
    }

    def run() -> float:
        with torch.inference_mode():
            for period in range(horizon):
                for module_id in MODULES:
                    if module_id not in HIGH_MODULES or period % review_period == 0:
                        networks[module_id].select_greedy(rows[module_id])
        return fragment.env_steps()

    return run


def _measure_training(
    scenario: Scenario, config: TrainConfig, rounds: int, earlier: Sequence[Row]
) -> list[Row]:
    """What happens between processes: actors, pool, learner, and all of it together."""
    one = _make_algorithm(scenario, config, 1)
    try:
        two = _make_algorithm(scenario, config, 2)
        try:
            rows = measure_probes(_make_runner_probes(one, two), rounds, earlier)
        finally:
            two.stop()
        rows += measure_probes(_make_learning_probes(scenario, config, one), rounds)
        return rows + _measure_end_to_end(config, one, rounds, [*earlier, *rows])
    finally:
        one.stop()


def _make_algorithm(scenario: Scenario, config: TrainConfig, num_runners: int) -> SharedPoolDQN:
    """Builds the algorithm with its learner off."""
    from marl.learning.algorithm import build_algorithm

    runners = config.env_runners.model_copy(update={"num_env_runners": num_runners})
    changed = config.model_copy(update={"env_runners": runners})
    algorithm = build_algorithm(scenario, changed)
    algorithm.updates = _NEVER_DUE
    return algorithm


def _make_runner_probes(one: SharedPoolDQN, two: SharedPoolDQN) -> list[Probe]:
    return [
        Probe(ONE_THREAD, HASHED, lambda: _hash(1)),
        Probe(TWO_THREADS, HASHED, lambda: _hash(2), ONE_THREAD),
        Probe("runner actors x1", ENV_STEPS, lambda: _iterate(one), "sampling in process"),
        Probe("runner actors x2", ENV_STEPS, lambda: _iterate(two), "runner actors x1"),
    ]


def _hash(num_threads: int) -> float:
    """Hashes as much in every thread, which holds no lock meanwhile; returns MB in all."""
    data = bytes(2**20)

    def work(_: int) -> None:
        digest = hashlib.sha256()
        for _ in range(_HASH_MB):
            digest.update(data)

    with ThreadPoolExecutor(num_threads) as threads:
        list(threads.map(work, range(num_threads)))
    return float(num_threads * _HASH_MB)


def _iterate(algorithm: SharedPoolDQN) -> float:
    """Trains for an iteration; returns the env steps sampled."""
    env_steps = algorithm.env_steps
    algorithm.train()
    return float(algorithm.env_steps - env_steps)


def _measure_end_to_end(
    config: TrainConfig, algorithm: SharedPoolDQN, rounds: int, earlier: Sequence[Row]
) -> list[Row]:
    """Whole iterations of sampling and learning, in env steps and in transitions."""
    # The learner goes on as if it had kept pace; the backlog would all come in one iteration.
    algorithm.updates = math.floor(algorithm.env_steps / config.learner.env_steps_per_update)
    _iterate(algorithm)  # updates are for the iteration before, so the first one learns nothing
    env_steps, updates = algorithm.env_steps, algorithm.updates
    probe = Probe("end to end, sampled", ENV_STEPS, lambda: _iterate(algorithm), "runner actors x1")
    sampled = measure_probes([probe], rounds, earlier)[0]
    # The replay ratio is exact, so one clock serves both rows.
    learnt = (algorithm.updates - updates) * len(MODULES) * config.learner.batch_size
    speed = sampled.value * learnt / (algorithm.env_steps - env_steps)
    learner = next(row for row in earlier if row.name == "learner")
    ratio = speed / learner.value
    return [sampled, Row("end to end, learnt", speed, TRANSITIONS, learner.name, ratio)]


def _make_learning_probes(
    scenario: Scenario, config: TrainConfig, algorithm: SharedPoolDQN
) -> list[Probe]:
    """Pool and learner of an algorithm, one at a time."""
    from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME

    from marl.learning.algorithm import UPDATES_PER_CALL
    from marl.learning.env_runner import sample_episodes
    from marl.learning.learned_policy import make_network_arguments, make_untrained

    copies, size = config.env_runners.num_envs_per_env_runner, config.learner.batch_size
    pool, group = algorithm.pool, algorithm.learner_group
    networks = dict(make_untrained(make_network_arguments(scenario, config.learner)).networks)
    env = BatchedEnv(scenario, copies)
    env.reset(make_seeds("train", config.seed, copies))
    with _one_torch_thread():
        fragment = sample_episodes(env, networks, np.zeros(copies), np.random.default_rng(0))
    # A full ring, as in most of a run: the first lap would measure the kernel handing out pages.
    for _ in range(math.ceil(pool.capacity / copies)):
        pool.add(fragment)
    num_stored = sum(actions.size for actions in fragment.actions.values())
    batch = pool.sample(UPDATES_PER_CALL, size)
    bare = BareLoop(networks, config.learner)

    def add() -> float:
        pool.add(fragment)
        return num_stored

    def learn() -> float:
        group.update(batch=batch, timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: algorithm.env_steps})
        return batch.r_t.size

    def learn_bare() -> float:
        bare.update(batch)
        return batch.r_t.size

    return [
        Probe("pool add", TRANSITIONS, add),
        Probe(
            "pool sample",
            TRANSITIONS,
            lambda: pool.sample(UPDATES_PER_CALL, size).r_t.size,
            "learner",
        ),
        Probe("learner", TRANSITIONS, learn, "bare torch loop"),
        Probe("bare torch loop", TRANSITIONS, learn_bare),
    ]


class BareLoop:
    """Double DQN as one would write it first: a loop over separate networks, in plain torch.

    The arithmetic is the learner's, so that the ratio of the two shows what stacking gains and
    what RLlib around it costs.

    Args:
        networks: by module; trained in place.
        settings: of the learner. The learning rate stays constant.
    """

    def __init__(self, networks: Mapping[str, QNetwork], settings: Learner) -> None:
        import torch

        self.networks = networks
        self.settings = settings
        self.targets = {m: copy.deepcopy(network) for m, network in networks.items()}
        self.averaged = {m: copy.deepcopy(network) for m, network in networks.items()}
        self.optimizers = {
            m: torch.optim.Adam(network.parameters(), lr=settings.lr, fused=True)
            for m, network in networks.items()
        }
        self.num_updates = 0

    def update(self, batch: Batch) -> None:
        """Runs U updates of every network."""
        for u in range(len(batch.r_t)):
            self.num_updates += 1
            for m, module_id in enumerate(MODULES):
                self._update_module(batch, u, m, module_id)

    def _update_module(self, batch: Batch, u: int, m: int, module_id: str) -> None:
        import torch

        network, target = self.networks[module_id], self.targets[module_id]
        optimizer, settings = self.optimizers[module_id], self.settings
        obs_tm1 = torch.from_numpy(batch.obs_tm1[u, m]).float()
        obs_t = torch.from_numpy(batch.obs_t[u, m]).float()
        a_tm1 = torch.from_numpy(batch.a_tm1[u, m])[:, None]
        q_tm1 = network(obs_tm1).gather(-1, a_tm1)[:, 0]
        with torch.no_grad():
            target_q_t = target(obs_t)
            selector_q_t = network(obs_t) if settings.double else target_q_t
            q_t = target_q_t.gather(-1, selector_q_t.argmax(dim=-1, keepdim=True))[:, 0]
            r_t = torch.from_numpy(batch.r_t[u, m])
            goal = r_t + torch.from_numpy(batch.discount_t[u, m]) * q_t
        loss = torch.nn.functional.huber_loss(q_tm1, goal, delta=settings.huber_threshold)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(network.parameters(), settings.grad_clip)
        optimizer.step()
        rate = max(settings.average_rate, 1 / self.num_updates)
        with torch.no_grad():
            for own, of_target, average in zip(
                network.parameters(),
                target.parameters(),
                self.averaged[module_id].parameters(),
                strict=True,
            ):
                of_target.lerp_(own, settings.tau)
                average.lerp_(own, rate)


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """As in a runner, which leaves the other cores to its siblings."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _ray_running(num_actors: int) -> Iterator[None]:
    """Starts Ray unless it runs already, and stops it only if it was started here."""
    import ray

    from marl.training import start_ray

    if ray.is_initialized():
        yield
        return
    start_ray(None, num_actors)
    try:
        yield
    finally:
        ray.shutdown()
