from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from envs.errors import InputError
from envs.omnichannel.agents.roster import HIGH_MODULES, LEVELS, MODULES
from envs.omnichannel.layout import Layout
from envs.omnichannel.scenario import Scenario, load_scenario
from marl.config import Prioritized, load_config
from marl.learning.pool.experience_pool import ExperiencePool, Fragment
from marl.learning.pool.size import PoolShape, PoolSize, check_pool_fits, measure_memory_mb

T, ROWS, SKUS, FEATURES = 5, 4, 2, 3  # one DC, two stores, the network
REVIEWS = 3  # periods 0, 2 and 4
LEARNT = 2  # of them: the horizon cuts the last review period


def make_shape() -> PoolShape:
    layout = Layout.from_scenario(load_scenario("tiny"))
    return PoolShape(replace(layout, horizon=T, review_period=2, features=("a", "b", "c")))


def make_pool(
    env_steps: int = 20,
    max_memory_mb: float = 1.0,
    high_env_steps: int | None = None,
    **changes: Any,
) -> ExperiencePool:
    size = PoolSize(env_steps, max_memory_mb, high_env_steps)
    settings = {"n_step": 2, "gamma": 0.5, "seed": 0}
    return ExperiencePool(make_shape(), size, **{**settings, **changes})


def make_fragment(first: int, count: int = 1) -> Fragment:
    """Episodes whose every number tells where it belongs: 1000 e + 100 t + 10 row + k."""
    shape = make_shape()
    episode = np.arange(first, first + count)[:, None, None, None]
    row = np.arange(ROWS)[:, None]
    code = 100 * np.arange(T + 1)[:, None, None] + 10 * row + np.arange(SKUS) + 1000 * episode
    observations = np.repeat(code[..., None], FEATURES, axis=-1).astype(np.float16)
    actions = {}
    for module_id in MODULES:
        decisions = REVIEWS if module_id in HIGH_MODULES else T
        dims = (count, decisions, shape.layout.modules[module_id].num_agents, SKUS)
        actions[module_id] = np.arange(np.prod(dims)).reshape(dims).astype(np.uint8)
    return Fragment(observations, actions, code[:, :T].astype(np.float32))


def test_pool__returns_by_hand() -> None:
    pool = make_pool()
    fragment = make_fragment(0)
    rewards = np.zeros_like(fragment.rewards)
    rewards[0, :, 0, 0] = [1, 2, 4, 8, 16]  # the DC's row
    rewards[0, :, 3, 1] = [1, 2, 4, 8, 16]  # the network's row
    pool.add(Fragment(fragment.observations, fragment.actions, rewards))

    state = pool.get_state()

    # n = 2, gamma = 1/2: 1 + 2/2, 2 + 4/2, 4 + 8/2, 8 + 16/2, and one period only at the end.
    assert state["low"]["returns"][0, :, 0, 0].tolist() == [2, 4, 8, 16, 16]
    # Review periods of two days: 1 + 2/2, 4 + 8/2; the horizon cuts the last one.
    assert state["high"]["returns"][0, :, 0, 1].tolist() == [2, 8]


@pytest.mark.parametrize("changes", [{}, {"prioritized": Prioritized()}])
def test_sample_in_place__draws_the_same_into_the_memory_of_the_last_batch_but_one(
    changes: dict[str, Any],
) -> None:
    pool, other = make_pool(**changes), make_pool(**changes)
    for each in (pool, other):
        each.add(make_fragment(0, 3))

    for num_updates, batch_size in ((4, 7), (2, 7), (4, 7), (3, 9)):
        found = pool.sample_in_place(num_updates, batch_size)
        expected = other.sample(num_updates, batch_size)
        for name, values in vars(expected).items():
            np.testing.assert_array_equal(getattr(found, name), values, err_msg=name)

    third, fourth = pool.sample_in_place(2, 9), pool.sample_in_place(2, 9)
    assert not np.shares_memory(third.obs_t, found.obs_t)
    assert np.shares_memory(fourth.obs_t, found.obs_t)


def test_sample__separate_draws_for_every_agent_its_own_transitions() -> None:
    pool, shape = make_pool(separate=True), make_shape()
    pool.add(make_fragment(0, 2))

    batch = pool.sample(4, 8)

    rows = [
        shape.layout.modules[m].rows.start + a
        for m in MODULES
        for a in range(shape.layout.modules[m].num_agents)
    ]
    assert batch.obs_tm1.shape == (4, len(rows), 8, FEATURES)
    code = batch.obs_tm1[..., 0].astype(int)
    assert (code // 10 % 10 == np.array(rows)[:, None]).all()
    assert set(np.unique(code % 10)) == {0, 1}
    actions = pool.get_state()["low"]["actions/shipping_low"]
    place = sum(
        shape.layout.modules[m].num_agents for m in MODULES[: MODULES.index("shipping_low")]
    )
    for u in range(4):
        for n in range(8):
            own = code[u, place, n]
            assert batch.a_tm1[u, place, n] == actions[own // 1000, own // 100 % 10, 0, own % 10]


def test_pool__cuts_transitions_that_belong_together() -> None:
    pool = make_pool()
    pool.add(make_fragment(0, 2))
    shape = make_shape()

    batch = pool.sample(num_updates=3, batch_size=200)

    for m, module_id in enumerate(MODULES):
        first = batch.obs_tm1[:, m, :, 0].astype(int)
        later = batch.obs_t[:, m, :, 0].astype(int)
        episode, now = first // 1000, first % 1000 // 100
        row, sku = first % 100 // 10, first % 10
        step = 2
        then = np.minimum(now + step, T)
        assert (later == 1000 * episode + 100 * then + 10 * row + sku).all()
        assert (batch.discount_t[:, m] == 0.5 ** (then - now)).all()
        rows = shape.layout.modules[module_id].rows
        assert set(np.unique(row)) == set(range(rows.start, rows.stop))
        decision = now // 2 if module_id in HIGH_MODULES else now
        stored = make_fragment(0, 2).actions[module_id]
        assert (batch.a_tm1[:, m] == stored[episode, decision, row - rows.start, sku]).all()
        reward = first + 0.5 * np.where(then - now == 2, first + 100, 0)
        assert (batch.r_t[:, m] == reward).all()


def test_pool__high_level_decides_on_review_periods_only() -> None:
    pool = make_pool()
    pool.add(make_fragment(0, 2))

    batch = pool.sample(1, 300)

    for m, module_id in enumerate(MODULES):
        periods = set((batch.obs_tm1[0, m, :, 0].astype(int) % 1000 // 100).tolist())
        assert periods == ({0, 2} if module_id in HIGH_MODULES else {0, 1, 2, 3, 4})
        ends = set((batch.obs_t[0, m, :, 0].astype(int) % 1000 // 100).tolist())
        assert ends == ({2, 4} if module_id in HIGH_MODULES else {2, 3, 4, 5})


def test_pool__keeps_the_latest_episodes() -> None:
    pool = make_pool(env_steps=3 * T)

    for first in range(5):
        pool.add(make_fragment(first))

    for level in LEVELS:
        codes = pool.get_state()[level]["observations"][:, 0, 0, 0, 0]
        assert set((codes // 1000).astype(int).tolist()) == {2, 3, 4}
    assert pool.num_env_steps == 3 * T
    assert pool.num_transitions("ordering_low") == 3 * T * 3 * SKUS
    assert pool.num_transitions("return_high") == 3 * LEARNT * 1 * SKUS


def test_pool__memory_limit_shrinks_the_capacity() -> None:
    pool = make_pool(env_steps=10**9, max_memory_mb=0.01)

    assert pool.memory_mb <= 0.01
    filled = make_pool()
    assert count_bytes(filled) == 0
    filled.add(make_fragment(0))
    assert count_bytes(filled) == sum(make_shape().bytes_per_episode(level) for level in LEVELS)


def count_bytes(pool: ExperiencePool) -> int:
    """Of what a checkpoint would hold of the episodes."""
    state = pool.get_state()
    return sum(
        v.nbytes for level in LEVELS for v in state[level].values() if isinstance(v, np.ndarray)
    )


def test_pool__the_high_level_may_keep_more_episodes() -> None:
    pool = make_pool(env_steps=2 * T, high_env_steps=4 * T)
    for first in range(5):
        pool.add(make_fragment(first))

    batch = pool.sample(1, 300)

    for m, module_id in enumerate(MODULES):
        episodes = set((batch.obs_tm1[0, m, :, 0].astype(int) // 1000).tolist())
        assert episodes == ({1, 2, 3, 4} if module_id in HIGH_MODULES else {3, 4})
        later = batch.obs_t[0, m, :, 0] - batch.obs_tm1[0, m, :, 0]
        spans = {200} if module_id in HIGH_MODULES else {100, 200}
        assert set(np.round(later, -2).astype(int).tolist()) == spans  # codes are rounded
    assert pool.num_env_steps == 2 * T
    assert pool.num_transitions("shipping_high") == 4 * LEARNT * SKUS
    shape = make_shape()
    taken = 2 * shape.bytes_per_episode("low") + 4 * shape.bytes_per_episode("high")
    assert pool.memory_mb * 2**20 == pytest.approx(taken)


def test_pool__memory_limit_shrinks_both_levels_alike() -> None:
    most = make_pool(env_steps=20 * T, high_env_steps=100 * T).memory_mb

    pool = make_pool(env_steps=20 * T, high_env_steps=100 * T, max_memory_mb=most / 2)

    assert {level: ring.capacity for level, ring in pool.rings.items()} == {"high": 50, "low": 10}


def test_pool__restores_exactly() -> None:
    pool = make_pool(env_steps=3 * T)
    for first in range(4):
        pool.add(make_fragment(first))
    pool.sample(1, 10)
    restored = make_pool(env_steps=3 * T, seed=99)

    restored.set_state(pool.get_state())
    for other in (pool, restored):
        other.add(make_fragment(7))

    expected, found = pool.sample(2, 50), restored.sample(2, 50)
    for name, values in vars(expected).items():
        np.testing.assert_array_equal(getattr(found, name), values)


def test_pool__refuses_a_state_of_another_capacity() -> None:
    pool = make_pool()

    with pytest.raises(ValueError, match="capacity 2 differs from the checkpoint's 4"):
        make_pool(env_steps=2 * T).set_state(pool.get_state())


def test_pool__refuses_a_fragment_that_overwrites_itself() -> None:
    with pytest.raises(ValueError, match="5 episodes does not fit a pool of 4"):
        make_pool().add(make_fragment(0, 5))
    larger = make_pool(high_env_steps=10 * T)
    with pytest.raises(ValueError, match="5 episodes does not fit a pool of 4"):
        larger.add(make_fragment(0, 5))
    assert [ring.size for ring in larger.rings.values()] == [0, 0]


def test_pool_size__is_divided_among_shards() -> None:
    assert PoolSize(41, 8.0, 80).divide(4) == PoolSize(10, 2.0, 20)
    assert PoolSize(41, 8.0).divide(4) == PoolSize(10, 2.0)


def test_pool__prioritized_draws_follow_the_errors_and_count_less() -> None:
    pool = make_pool(prioritized=Prioritized(alpha=1, beta=1))
    pool.add(make_fragment(0, 2))
    batch = pool.sample(2, 50)
    assert batch.weight is not None
    assert batch.cells is not None
    assert (batch.weight == 1).all()  # nothing is learnt, so all are equal

    errors = np.zeros(batch.cells.shape, np.float32)
    errors[1, :, -1] = 1e6  # the last one drawn of each module dwarfs the rest
    pool.update_priorities(batch, errors)
    again = pool.sample(1, 50)

    assert again.cells is not None
    for m in range(len(MODULES)):
        assert (again.cells[0, m] == batch.cells[1, m, -1]).all()
        assert (again.obs_tm1[0, m] == batch.obs_tm1[1, m, -1]).all()


def test_pool__restores_prioritized_draws_exactly() -> None:
    pool, restored = (
        make_pool(prioritized=Prioritized(), seed=seed, env_steps=3 * T) for seed in (0, 9)
    )
    for first in range(4):
        pool.add(make_fragment(first))
        batch = pool.sample(1, 40)
        errors = np.random.default_rng(first).exponential(size=(1, 6, 40)).astype(np.float32)
        pool.update_priorities(batch, errors)

    restored.set_state(pool.get_state())
    for other in (pool, restored):
        other.add(make_fragment(7))

    expected, found = pool.sample(2, 50), restored.sample(2, 50)
    for name, values in vars(expected).items():
        np.testing.assert_array_equal(getattr(found, name), values)


def test_pool__prioritized_memory_is_counted() -> None:
    """Of 256 episodes, so that no module's tree has a node that is not full."""
    shape = replace(make_shape(), prioritized=True)
    pool = ExperiencePool(
        shape,
        PoolSize(256 * T, max_memory_mb=100),
        n_step=2,
        gamma=0.5,
        seed=0,
        prioritized=Prioritized(),
    )
    priorities = (pool._priorities or {}).values()

    held = sum(array.nbytes for p in priorities for array in p._tree)

    plain = make_shape()
    counted = sum(
        ring.capacity * (shape.bytes_per_episode(level) - plain.bytes_per_episode(level))
        for level, ring in pool.rings.items()
    )
    assert all(ring.capacity == 256 for ring in pool.rings.values())
    assert 0 <= counted - held < 2 * 256  # rounded up to whole bytes an episode and level


@pytest.mark.parametrize("high", ["null", "9600", "400000"])
def test_check_pool_fits__names_the_least_memory_that_is_enough(high: str) -> None:
    paper = load_scenario("paper")
    settings = [f"pool.high_capacity_env_steps={high}", "pool.capacity_env_steps=6400"]
    with pytest.raises(InputError, match="at least") as refused:
        check_pool_fits(paper, load_config("default", [*settings, "pool.max_memory_mb=0.5"]))

    least = int(str(refused.value).split("at least ")[1].split()[0])

    check_pool_fits(paper, load_config("default", [*settings, f"pool.max_memory_mb={least}"]))
    with pytest.raises(InputError, match=f"at least {least} "):
        check_pool_fits(
            paper, load_config("default", [*settings, f"pool.max_memory_mb={least - 1}"])
        )


def test_check_pool_fits__refuses_what_this_machine_cannot_hold(
    tiny: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config("default")
    check_pool_fits(tiny, config)
    monkeypatch.setattr("marl.learning.pool.size.measure_memory_mb", lambda: 8.0)

    with pytest.raises(InputError, match=r"pool.max_memory_mb: 2048 .* at most 4 \(half of"):
        check_pool_fits(tiny, config)
    assert measure_memory_mb() > 256
