"""Networks, sampling, and what two runners gain on this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from envs.omnichannel.agents.roster import HIGH_MODULES, MODULES
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.world.draws import make_seeds
from marl.benchmark.rows import ENV_STEPS, HASHED, ONE_THREAD, TWO_THREADS, Probe
from marl.benchmark.simulator import WIDE, make_env_run, make_simulator_run
from marl.config import TrainConfig

if TYPE_CHECKING:
    from marl.learning.dqn.network import QNetwork
    from marl.learning.pool.experience_pool import Fragment
    from marl.learning.rllib.algorithm import MethodAlgorithm

_HASH_MB = 64
_ROUNDS_AT_ONCE = 4  # the first one waits for the runners; from then on they work ahead


def make_sampling_probes(scenario: Scenario, config: TrainConfig) -> list[Probe]:
    """What happens in one process: simulator, environment, networks, sampling."""
    from marl.learning.dqn.policy import make_network_arguments, make_untrained
    from marl.learning.dqn.sampling import sample_episodes

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

    forward, simulator = "forward passes alone", f"simulator x{WIDE}"
    return [
        Probe(simulator, ENV_STEPS, make_simulator_run(scenario)),
        *(
            Probe(f"environment x{n}", ENV_STEPS, make_env_run(scenario, n), simulator)
            for n in dict.fromkeys((WIDE, copies))
        ),
        Probe(forward, ENV_STEPS, _make_forward_run(env, networks, sample())),
        Probe("sampling in process", ENV_STEPS, lambda: sample().env_steps(), forward),
    ]


def _make_forward_run(
    env: BatchedEnv, networks: Mapping[str, QNetwork], fragment: Fragment
) -> Callable[[], float]:
    """The forward passes of a fragment: the high level's on review periods only."""
    import torch

    review_period, horizon = env.scenario.review_period, env.scenario.horizon
    rows = {
        m: torch.from_numpy(fragment.observations[:, 0, env.layout.modules[m].rows])
        .float()
        .contiguous()
        for m in MODULES
    }

    def run() -> float:
        with torch.inference_mode():
            for period in range(horizon):
                for module_id in MODULES:
                    if module_id not in HIGH_MODULES or period % review_period == 0:
                        networks[module_id].rank_actions(rows[module_id])
        return fragment.env_steps()

    return run


def make_runner_probes(one: MethodAlgorithm, two: MethodAlgorithm) -> list[Probe]:
    """Algorithms with one and with two runners, the learner off, beside what the machine allows."""
    return [
        Probe(ONE_THREAD, HASHED, lambda: _hash(1)),
        Probe(TWO_THREADS, HASHED, lambda: _hash(2), ONE_THREAD),
        _make_actors_probe("runner actors x1", one, "sampling in process"),
        _make_actors_probe("runner actors x2", two, "runner actors x1"),
    ]


def _make_actors_probe(name: str, algorithm: MethodAlgorithm, ratio_to: str) -> Probe:
    """Rounds of one algorithm, whose runners rest while another one is measured."""

    def run() -> float:
        return sum(iterate(algorithm) for _ in range(_ROUNDS_AT_ONCE))

    return Probe(name, ENV_STEPS, run, ratio_to, settle=algorithm.crew.drop_rounds)


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


def iterate(algorithm: MethodAlgorithm) -> float:
    """Trains for an iteration; returns the env steps sampled."""
    env_steps = algorithm.env_steps
    algorithm.train()
    return float(algorithm.env_steps - env_steps)


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """As in a runner, which leaves the other cores to its siblings."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
