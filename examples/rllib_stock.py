"""RLlib's stock PPO on the multi-agent view, parameters shared by role and level."""

from ray.rllib.algorithms.ppo import PPOConfig

from envs.omnichannel.agents.roster import MODULES
from marl.learning.rllib.env import get_module_id, register_omnichannel
from marl.training.ray_start import start_ray

if __name__ == "__main__":
    start_ray(None, num_env_runners=1)
    config = (
        PPOConfig()
        .environment(register_omnichannel(), env_config={"scenario": "tiny"})
        .multi_agent(policies=list(MODULES), policy_mapping_fn=get_module_id)
        .env_runners(num_env_runners=1)
        .training(train_batch_size_per_learner=140, minibatch_size=140, num_epochs=1)
    )
    algorithm = config.build_algo()
    for _ in range(2):
        result = algorithm.train()
        env_steps = result["num_env_steps_sampled_lifetime"]
        episode_return = result["env_runners"]["episode_return_mean"]
        print(f"{env_steps:.0f} env steps: return {episode_return:.1f}")
    algorithm.stop()
