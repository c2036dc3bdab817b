"""One agent decides for all: one copy by `gymnasium.make`, 16 copies by `make_vec`."""

import gymnasium

import envs.omnichannel  # noqa: F401  registers omnichannel/Joint-v0

if __name__ == "__main__":
    env = gymnasium.make("omnichannel/Joint-v0", scenario="tiny")
    env.reset(seed=0)
    total, done = 0.0, False
    while not done:
        _, reward, _, done, _ = env.step(env.action_space.sample())
        total += float(reward)
    print(f"one copy: return {total:.2f}")

    copies = gymnasium.make_vec(
        "omnichannel/Joint-v0", 16, vectorization_mode="vector_entry_point", scenario="tiny"
    )
    copies.reset(seed=0)
    for _ in range(14):
        _, rewards, _, truncated, _ = copies.step(copies.action_space.sample())
    print(f"16 copies: last rewards {rewards.min():.2f} to {rewards.max():.2f}")
    assert truncated.all()
