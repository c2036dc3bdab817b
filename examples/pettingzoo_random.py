"""Random agents in PettingZoo's parallel and AEC APIs."""

from envs import omnichannel


def run_parallel() -> float:
    """All agents act at once; returns the episode's mean reward of the network, eq. 8."""
    env = omnichannel.parallel_env("tiny")
    _, _ = env.reset(seed=0)
    rewards = []
    while env.agents:
        actions = {agent: env.action_space(agent).sample() for agent in env.agents}
        _, _, _, _, infos = env.step(actions)
        rewards.append(infos["ordering_high"]["team_reward"])
    return sum(rewards) / len(rewards)


def run_in_turns() -> int:
    """One agent after the other; returns how many decisions they took."""
    env = omnichannel.aec_env("tiny")
    env.reset(seed=0)
    decisions = 0
    for agent in env.agent_iter():
        _, _, terminated, truncated, _ = env.last()
        done = terminated or truncated
        env.step(None if done else env.action_space(agent).sample())
        decisions += not done
    return decisions


if __name__ == "__main__":
    print(f"parallel: mean reward {run_parallel():.3f}")
    print(f"in turns: {run_in_turns()} decisions")
