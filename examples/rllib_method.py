"""This project's learner as an algorithm of RLlib: settings, training, evaluation, restoring."""

import tempfile

from envs.omnichannel import load_scenario
from marl.config import load_config
from marl.learning.methods import make_method
from marl.learning.rllib.algorithm import MethodAlgorithm
from marl.learning.rllib.config import MethodConfig
from marl.training.ray_start import start_ray

if __name__ == "__main__":
    start_ray(None, num_env_runners=1)
    method = make_method(load_scenario("tiny"), load_config("default", ["pool.min_env_steps=400"]))
    config = (
        MethodConfig.from_method(method)
        .env_runners(num_env_runners=1, num_envs_per_env_runner=8)
        .training(lr=2e-3, n_step=3)
        .evaluation(evaluation_interval=2, evaluation_duration=16)
        .debugging(seed=1)
    )
    algorithm = config.build_algo()
    for _ in range(4):
        result = algorithm.train()
        if "evaluation" in result:
            reward = result["evaluation"]["env_runners"]["reward"]
            print(f"iteration {result['training_iteration']}: reward {reward:.3f}")
    folder = algorithm.save_to_path(tempfile.mkdtemp())
    algorithm.stop()

    restored = MethodAlgorithm.from_checkpoint(folder)
    print(f"goes on with iteration {restored.train()['training_iteration']}")
    restored.stop()
