"""tianshou's DQN, one for each agent of the cell view; needs `pip install tianshou`.

tianshou lets agents act one after the other, and takes the mask from the observation.
"""

from pettingzoo.utils import parallel_to_aec
from tianshou.algorithm import DQN
from tianshou.algorithm.algorithm_base import policy_within_training_step
from tianshou.algorithm.modelfree.dqn import DiscreteQLearningPolicy
from tianshou.algorithm.multiagent.marl import MultiAgentOffPolicyAlgorithm
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.data import Collector, VectorReplayBuffer
from tianshou.env import DummyVectorEnv, PettingZooEnv
from tianshou.utils.net.common import Net

from envs.omnichannel import cell_env


def make_env() -> PettingZooEnv:
    """Returns the scenario `tiny` as tianshou takes environments."""
    return PettingZooEnv(parallel_to_aec(cell_env("tiny", action_mask=True)))


def make_dqn(env: PettingZooEnv) -> DQN:
    """Returns the learner of one agent."""
    features = env.observation_space["observation"]
    network = Net(state_shape=features.shape, action_shape=env.action_space.n, hidden_sizes=(64,))
    policy = DiscreteQLearningPolicy(
        model=network,
        action_space=env.action_space,
        observation_space=env.observation_space,
        eps_training=0.1,
    )
    return DQN(policy=policy, optim=AdamOptimizerFactory(lr=1e-3), target_update_freq=10)


def train(decisions: int = 320) -> int:
    """Collects decisions and updates every agent once; returns how many were collected."""
    env = make_env()
    learners = [make_dqn(env) for _ in env.agents]
    algorithm = MultiAgentOffPolicyAlgorithm(algorithms=learners, env=env)
    copies, buffer = DummyVectorEnv([make_env]), VectorReplayBuffer(2_000, 1)
    collector = Collector(algorithm.policy, copies, buffer, exploration_noise=True)
    collector.reset()
    collected = collector.collect(n_step=decisions)
    with policy_within_training_step(algorithm.policy):
        algorithm.update(buffer=buffer, sample_size=128)
    return int(collected.n_collected_steps)


if __name__ == "__main__":
    print(f"learned from {train()} decisions")
