"""A whole training run built by hand, part by part, without Ray: the trainer's work on a screen."""

import numpy as np

from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario import load_scenario
from envs.omnichannel.world.draws import make_seeds
from marl.config import load_config
from marl.evaluation.evaluate import EpisodeRunner
from marl.learning.methods import make_method

COPIES, ROUNDS, UPDATES = 8, 12, 16

scenario = load_scenario("tiny")
config = load_config("default", [f"env_runners.num_envs_per_env_runner={COPIES}"])
method = make_method(scenario, config)

networks = {name: method.make_network(name) for name in method.module_ids}
trainees = method.make_trainees(networks)  # with their optimizers, slow copies and averages
pool = method.make_pool()
env = BatchedEnv(scenario, COPIES)
rng = np.random.default_rng(0)
updates = 0

for round_ in range(ROUNDS):
    seeds = make_seeds("train", config.seed, COPIES, skip=round_ * COPIES)
    epsilon = method.spread_epsilon(config.exploration.epsilon, 0, COPIES)
    pool.add(method.sample(env, networks, seeds, epsilon, rng))
    batch = pool.sample(UPDATES, method.batch_size)
    for update in range(UPDATES):
        updates += 1
        for name, trainee in trainees.items():
            losses = method.compute_losses(name, trainee, batch, update, updates)
            trainee.descend(losses, updates)

weights = {m: w for trainee in trainees.values() for m, w in trainee.get_averaged().items()}
runner = EpisodeRunner(scenario, make_seeds("test", 0, 64), "evaluate")
for policy in (method.make_untrained(), method.make_policy(weights, "learned")):
    print(f"{policy.name}: reward {runner.run(policy)['reward'].mean():.3f}")
