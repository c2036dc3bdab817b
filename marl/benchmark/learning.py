"""Pool, learner, and all of it together."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from envs.omnichannel.agents.roster import LEVELS, MODULES, MODULES_OF
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.world.draws import make_seeds
from marl.benchmark.rows import ENV_STEPS, TRANSITIONS, Probe, Row, measure_probes
from marl.benchmark.sampling import iterate, make_runner_probes, one_torch_thread
from marl.config import Learner, Prioritized, TrainConfig

if TYPE_CHECKING:
    from marl.learning.dqn.network import QNetwork
    from marl.learning.pool.driver import DriverPool
    from marl.learning.pool.experience_pool import Batch, ExperiencePool, Fragment
    from marl.learning.pool.size import PoolShape
    from marl.learning.rllib.algorithm import MethodAlgorithm

_NEVER_DUE = 2**62  # updates counted as done, so that none is due
_CALLS_PER_ROUND = 6  # of the learner, about: 3,200 env steps at 32 an update


def measure_training(
    scenario: Scenario, config: TrainConfig, rounds: int, earlier: Sequence[Row]
) -> list[Row]:
    """What happens between processes: actors, pool, learner, and all of it together."""
    fragment = _sample_fragment(scenario, config)
    one = _make_algorithm(scenario, config, 1, fragment)
    try:
        two = _make_algorithm(scenario, config, 2, fragment)
        try:
            rows = measure_probes(make_runner_probes(one, two), rounds, earlier)
        finally:
            two.stop()
        rows += measure_probes(_make_learning_probes(scenario, config, one, fragment), rounds)
        rows += describe_memory(one.pool.shape)
        return rows + _measure_end_to_end(config, one, rounds, [*earlier, *rows])
    finally:
        one.stop()


def _sample_fragment(scenario: Scenario, config: TrainConfig) -> Fragment:
    """A runner's episodes under untrained networks."""
    from marl.learning.dqn.policy import make_network_arguments, make_untrained
    from marl.learning.dqn.sampling import sample_episodes

    copies = config.env_runners.num_envs_per_env_runner
    networks = make_untrained(make_network_arguments(scenario, config.learner)).networks
    env = BatchedEnv(scenario, copies)
    env.reset(make_seeds("train", config.seed, copies))
    with one_torch_thread():
        return sample_episodes(env, dict(networks), np.zeros(copies), np.random.default_rng(0))


def _make_algorithm(
    scenario: Scenario, config: TrainConfig, num_runners: int, fragment: Fragment
) -> MethodAlgorithm:
    """Builds the algorithm with its learner off and its pool full.

    Full, as in most of a run: the first lap would measure the kernel handing out pages.
    """
    from marl.learning.methods import make_method
    from marl.learning.rllib.algorithm import build_algorithm

    runners = config.env_runners.model_copy(update={"num_env_runners": num_runners})
    changed = config.model_copy(update={"env_runners": runners})
    algorithm = build_algorithm(make_method(scenario, changed))
    algorithm.updates = _NEVER_DUE
    _fill(algorithm.pool, fragment)
    return algorithm


def _fill(pool: ExperiencePool, fragment: Fragment) -> None:
    """Stores the same episodes until the pool is full."""
    capacity = max(ring.capacity for ring in pool.rings.values())
    for _ in range(math.ceil(capacity / fragment.num_episodes)):
        pool.add(fragment)


def _measure_end_to_end(
    config: TrainConfig, algorithm: MethodAlgorithm, rounds: int, earlier: Sequence[Row]
) -> list[Row]:
    """Whole iterations of sampling and learning, in env steps and in transitions."""
    # The learner goes on as if it had kept pace; the backlog would all come in one iteration.
    algorithm.updates = math.floor(algorithm.env_steps / config.learner.env_steps_per_update)
    iterate(algorithm)  # updates are for the iteration before, so the first one learns nothing
    env_steps, updates = algorithm.env_steps, algorithm.updates
    probe = Probe("end to end, sampled", ENV_STEPS, lambda: iterate(algorithm), "runner actors x1")
    sampled = measure_probes([probe], rounds, earlier)[0]
    # The replay ratio is exact, so one clock serves both rows.
    learnt = (algorithm.updates - updates) * len(MODULES) * config.learner.batch_size
    speed = sampled.value * learnt / (algorithm.env_steps - env_steps)
    learner = next(row for row in earlier if row.name == "learner")
    ratio = speed / learner.value
    return [sampled, Row("end to end, learnt", speed, TRANSITIONS, learner.name, ratio)]


def _make_learning_probes(
    scenario: Scenario, config: TrainConfig, algorithm: MethodAlgorithm, fragment: Fragment
) -> list[Probe]:
    """Pool and learner of an algorithm, one at a time."""
    from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME

    from marl.learning.dqn.policy import make_network_arguments, make_untrained
    from marl.learning.rllib.algorithm import UPDATES_PER_CALL

    size = config.learner.batch_size
    pool, group = algorithm.pool, algorithm.learner_group
    networks = dict(make_untrained(make_network_arguments(scenario, config.learner)).networks)
    prioritized = _make_prioritized_pool(scenario, config, fragment)
    num_stored = sum(actions.size for actions in fragment.actions.values())
    batch = pool.sample(UPDATES_PER_CALL, size)
    bare = BareLoop(networks, config.learner)
    timesteps = {NUM_ENV_STEPS_SAMPLED_LIFETIME: algorithm.env_steps}

    def add() -> float:
        pool.add(fragment)
        return num_stored

    def draw_by_priority() -> float:
        drawn = prioritized.sample_in_place(UPDATES_PER_CALL, size)
        prioritized.update_priorities(drawn, np.abs(drawn.r_t))  # for want of real errors
        return drawn.r_t.size

    def learn_by_priority() -> float:
        """Each batch is drawn while the one before is learnt from, as in training."""
        counts = [UPDATES_PER_CALL] * _CALLS_PER_ROUND
        for drawn in prioritized.draw(counts, size):
            group.update(batch=drawn, timesteps=timesteps)
            prioritized.update_priorities(drawn, group._learner.get_td_errors())
        return sum(counts) * len(MODULES) * size

    def learn() -> float:
        for _ in range(_CALLS_PER_ROUND):
            group.update(batch=batch, timesteps=timesteps)
        return _CALLS_PER_ROUND * batch.r_t.size

    def learn_bare() -> float:
        bare.update(batch)
        return batch.r_t.size

    return [
        Probe("pool add", TRANSITIONS, add),
        Probe(
            "pool sample",
            TRANSITIONS,
            lambda: pool.sample_in_place(UPDATES_PER_CALL, size).r_t.size,
            "learner",
        ),
        Probe("prioritised, with updates", TRANSITIONS, draw_by_priority, "learner"),
        Probe("learner, by priority", TRANSITIONS, learn_by_priority, "learner"),
        Probe("learner", TRANSITIONS, learn, "bare torch loop"),
        Probe("bare torch loop", TRANSITIONS, learn_bare),
    ]


def _make_prioritized_pool(
    scenario: Scenario, config: TrainConfig, fragment: Fragment
) -> DriverPool:
    """A full pool of the configuration's size whose draws follow priorities."""
    from marl.learning.dqn.agents import AgentsMethod

    rules = config.pool.model_copy(update={"prioritized": Prioritized()})
    pool = AgentsMethod(scenario, config.model_copy(update={"pool": rules})).make_pool()
    _fill(pool, fragment)
    return pool


def describe_memory(shape: PoolShape) -> list[Row]:
    """Computes what a stored transition takes, and pools of a million transitions a module.

    The modules of a level read the same observations, so its ring holds them once, and its size
    follows from the module with the fewest agents.
    """

    def count_mb(levels: Sequence[str]) -> float:
        """Of a million transitions of each of the levels' modules."""
        fewest = {n: min(map(shape.transitions_per_episode, MODULES_OF[n])) for n in levels}
        return shape.compute_memory_mb({n: math.ceil(1e6 / count) for n, count in fewest.items()})

    stored = shape.compute_memory_mb(dict.fromkeys(LEVELS, 1)) * 2**20
    return [
        Row(
            "stored transition", stored / sum(map(shape.transitions_per_episode, MODULES)), "bytes"
        ),
        Row("pool, 1 M a low module", count_mb(["low"]), "MB"),
        Row("pool, 1 M every module", count_mb(LEVELS), "MB"),
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
