"""AgileRL's IPPO on the cell view; needs `pip install agilerl peft`.

AgileRL groups agents by their names without the last number: a location's SKUs share a network.
Its IPPO of version 2.58 cannot compare the masks that it reads from the infos, so they are left
out: what the high level says between reviews has no effect.
"""

from typing import Any

from agilerl.algorithms import IPPO
from agilerl.training.train_multi_agent_on_policy import train_multi_agent_on_policy
from pettingzoo.utils.wrappers import BaseParallelWrapper

from envs.omnichannel import cell_env


class WithoutInfos(BaseParallelWrapper):
    """The same environment with empty infos."""

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        """Begins an episode."""
        observations, infos = self.env.reset(seed, options)
        return observations, {agent: {} for agent in infos}

    def step(self, actions: Any) -> Any:
        """Runs a period."""
        *told, infos = self.env.step(actions)
        return *told, {agent: {} for agent in infos}


def train(steps: int = 56) -> int:
    """Trains for a moment and returns how many periods were sampled."""
    env = WithoutInfos(cell_env("tiny"))
    agents = env.possible_agents
    learner = IPPO(
        observation_spaces=[env.observation_space(agent) for agent in agents],
        action_spaces=[env.action_space(agent) for agent in agents],
        agent_ids=agents,
        batch_size=14,
        learn_step=28,
        update_epochs=1,
    )
    (learner,), _ = train_multi_agent_on_policy(
        env, "tiny", "IPPO", [learner], max_steps=steps, evo_steps=28, eval_steps=14, verbose=False
    )
    return int(learner.steps)


if __name__ == "__main__":
    print(f"learned from {train()} periods")
