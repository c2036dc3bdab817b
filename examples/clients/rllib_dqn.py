"""RLlib's stock DQN on the cell view, parameters shared by role and level."""

from ray.rllib.algorithms.dqn import DQNConfig
from ray.rllib.env.wrappers.pettingzoo_env import ParallelPettingZooEnv
from ray.tune.registry import register_env

from envs.omnichannel import cell_env, module_of
from marl.training.ray_start import start_ray

if __name__ == "__main__":
    start_ray(None, num_env_runners=1)
    register_env("cells", lambda config: ParallelPettingZooEnv(cell_env(**config)))
    modules = {module_of(agent) for agent in cell_env("tiny").possible_agents}
    config = (
        DQNConfig()
        .environment("cells", env_config={"scenario": "tiny"})
        .multi_agent(policies=modules, policy_mapping_fn=lambda agent, *_, **__: module_of(agent))
        .env_runners(num_env_runners=0)
        .training(
            train_batch_size_per_learner=32,
            num_steps_sampled_before_learning_starts=28,
            replay_buffer_config={
                "type": "MultiAgentPrioritizedEpisodeReplayBuffer",
                "capacity": 10_000,
                "alpha": 0.6,
                "beta": 0.4,
            },
        )
    )
    config.min_sample_timesteps_per_iteration, config.min_time_s_per_iteration = 28, 0
    algorithm = config.build_algo()
    for _ in range(2):
        result = algorithm.train()
        print(f"{result['num_env_steps_sampled_lifetime']:.0f} env steps")
    algorithm.stop()
