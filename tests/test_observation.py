from dataclasses import replace

import numpy as np
import pytest

from envs.omnichannel.agents.observation import FEATURES
from envs.omnichannel.agents.observation_kernels import store_half
from envs.omnichannel.agents.roster import HIGH_MODULES
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario import Scenario, list_scenarios, load_scenario
from envs.omnichannel.types import FloatArray
from envs.omnichannel.world.draws import make_seeds

DC, STORE_0, STORE_1, NETWORK = range(4)


def observe(tiny: Scenario) -> dict[str, FloatArray]:
    """Features by name, (N + 1,) of the first SKU, of a hand-made state.

    Forecast 8 + 2 at store_0 and 4 + 1 at store_1: rates 15 (DC), 10, 5, 15 (network).
    """
    env = BatchedEnv(tiny, 1)
    env.reset(make_seeds("test", 0, 1))
    view = env.view
    in_transit = np.zeros_like(view.in_transit)
    in_transit[0, 0, :, 0] = [12, 3, 0]
    in_transit[0, 1, :, 0] = [6, 0, 4]
    backorders = np.zeros_like(view.backorders)
    backorders[0, :, :, 0] = [[5, 0], [1, 1], [0, 1]]
    returns_due = np.zeros_like(view.returns_due)
    returns_due[0, :, :, 0] = [[2, 0], [0, 1], [3, 0], [0, 2]]
    in_inspection = np.zeros_like(view.in_inspection)
    in_inspection[0, 0, :, 0] = [2, 1]
    view = replace(
        view,
        period=np.array([3]),
        day=np.array([0]),
        on_hand=np.array([[[45, 0], [20, 0], [11, 0]]]),
        in_transit=in_transit,
        in_inspection=in_inspection,
        backorders=backorders,
        returns_due=returns_due,
    )
    forecast = np.array([[[8.0, 2], [1, 1]], [[4, 1], [1, 1]]])[None]
    env.view = replace(
        view,
        forecast=forecast,
        smoothed=np.array([[[9.0, 4.5], [1, 1]], [[3, 1.5], [1, 1]]])[None],
        last_demand=np.array([[[12, 3], [0, 0]], [[5, 0], [0, 0]]])[None],
    )
    env.goals = {
        m: np.array([[[option, 0]]]) for m, option in zip(HIGH_MODULES, (4, 5, 3), strict=True)
    }
    rows = env.observe()[0, :, 0].astype(np.float64)
    return {name: rows[:, i] for i, name in enumerate(FEATURES)}


# Rows: DC (lead time 2), store_0 (1), store_1 (2), network (2). Rates 15, 10, 5, 15.
EXPECTED = {
    "stock": [45 / 60 - 1, 20 / 30 - 1, 11 / 20 - 1, 76 / 60 - 1],
    "inbound_1": [12 / 60, 3 / 30, 0, 15 / 60],
    "inbound_2": [6 / 60, 0, 4 / 20, 10 / 60],
    "inbound_3": [0, 0, 0, 0],
    "inbound_later": [0, 0, 0, 0],
    # Stores 20 + 3 + 2 and 11 + 4 + 1; the DC and the network the echelon, less 8 waiting.
    "position": [(63 + 33) / 75 - 1, 25 / 40 - 1, 16 / 25 - 1, (63 + 33) / 75 - 1],
    "waiting_new": [5 / 15, 5 / 10, 0, 5 / 15],
    "waiting_old": [3 / 15, 1 / 10, 2 / 5, 3 / 15],
    "returns_soon": [3 / 15, 2 / 10, 1 / 5, 3 / 15],
    "returns_later": [5 / 15, 3 / 10, 2 / 5, 5 / 15],
    "in_inspection": [3 / 15, 2 / 10, 1 / 5, 3 / 15],
    # What every row sees of its DC: 45 on hand, 12 + 6 on their way.
    "dc_stock": [45 / 75] * 4,
    "dc_inbound_soon": [18 / 30] * 4,
    "dc_inbound_later": [0] * 4,
    "all_stores_stock": [31 / 45] * 4,
    "system_waiting": [8 / 15] * 4,
    # Lead time + 1.5 days: 25 - 25 at store_0, 17.5 - 16 at store_1.
    "system_shortage": [1.5 / 15] * 4,
    # Levels against the known means of 9 and 4.5.
    "smoothed": [18 / 13.5 - 1, 13.5 / 9 - 1, 0, 18 / 13.5 - 1],
    "last_demand": [20 / 15 - 1, 15 / 10 - 1, 0, 20 / 15 - 1],
    "season": [0] * 4,
    "season_ahead": [0] * 4,  # half a season of 14 days later the sine is back at zero
    "lead_time": [0, -1, 0, 0],
    "log_demand": [0.5 * np.log(1.5), 0, 0.5 * np.log(0.5), 0.5 * np.log(1.5)],
    "return_rate": [0.15 * 8 - 1] * 4,
    "online_fraction": [0.2] * 4,
    "days_to_review": [4 / 7] * 4,
    # Days of position beyond the lead time: 25 / 10 - 1 and 16 / 5 - 2.
    "lowest_cover": [1.2 / 5, 1.5 / 5, 1.2 / 5, 1.2 / 5],
    # Goals: cover 2 days; push 1.5 days, share 1; half restock, half consolidate.
    "goal_cover": [2 / 4 - 1] * 4,
    "goal_push_cover": [1.5 / 4 - 1] * 4,
    "goal_online_share": [1] * 4,
    "goal_restock": [0.5] * 4,
    "goal_consolidate": [0.5] * 4,
    "is_dc": [1, 0, 0, 0],
    "is_store": [0, 1, 1, 0],
}


@pytest.mark.parametrize("name", FEATURES)
def test_compute_observations__feature_by_hand(tiny: Scenario, name: str) -> None:
    assert observe(tiny)[name] == pytest.approx(EXPECTED[name], abs=1e-6)


@pytest.mark.parametrize("name", ["tiny", "paper"])
def test_compute_observations__are_bounded_and_of_one_width(name: str) -> None:
    scenario = load_scenario(name)
    env, rng = BatchedEnv(scenario, 4), np.random.default_rng(0)
    env.reset(make_seeds("test", 0, 4))
    net = env.network
    for _ in range(30):
        observations = env.observe()
        assert observations.shape == (4, net.num_nodes + 1, net.num_skus, env.layout.num_features)
        assert observations.dtype == np.float32
        assert np.isfinite(observations).all()
        assert np.abs(observations).max() <= 5
        env.step(
            {
                m: rng.integers(0, module.num_options, (4, module.num_agents, net.num_skus))
                for m, module in env.layout.modules.items()
            }
        )


def test_compute_observations__lead_times_may_be_shorter_than_three_slots(tiny: Scenario) -> None:
    dcs = [tiny.network.dcs[0].model_copy(update={"supplier_lead_time": 0})]
    stores = [store.model_copy(update={"lead_time": 0}) for store in tiny.network.stores]
    network = tiny.network.model_copy(update={"dcs": dcs, "stores": stores})
    env = BatchedEnv(tiny.model_copy(update={"network": network}), 2)
    env.reset(make_seeds("test", 0, 2))
    assert env.view.in_transit.shape[1] == 1
    assert np.isfinite(env.observe()).all()


def test_compute_observations__rows_of_equal_locations_are_equal(tiny: Scenario) -> None:
    """Stocks are relative to the own forecast: two DCs' networks of different size look alike."""
    raw = tiny.model_dump()
    raw["network"]["dcs"].append(raw["network"]["dcs"][0] | {"name": "dc_1"})
    large, small = raw["network"]["stores"]
    small |= {"parent": "dc_1", "distance": 1, "lead_time": 1}
    large |= {"size": 4.0}
    small |= {"size": 2.0}
    raw |= {"initial_store_cover": 1.0, "initial_dc_cover": 1.0}
    env = BatchedEnv(Scenario.model_validate(raw), 1)
    env.reset(make_seeds("test", 0, 1))
    observations = env.observe()[0]
    size = FEATURES.index("log_demand")
    for left, right in ((0, 1), (2, 3)):
        same = np.isclose(observations[left], observations[right], atol=1e-6).all(axis=0)
        assert [FEATURES[i] for i in np.flatnonzero(~same)] == [FEATURES[size]]


def test_store_half__rounds_as_numpy_does() -> None:
    """Every float16 in [-5, 5], the points half way between neighbours, and what lies beside."""
    halves = np.arange(2**15, dtype=np.uint16).view(np.float16).astype(np.float32)
    halves = halves[halves <= 5]
    middles = (halves[1:] + halves[:-1]) / 2
    around = [np.nextafter(middles, np.float32(x)) for x in (-9, 9)]
    positive = np.concatenate([halves, middles, *around])
    values = np.concatenate([positive, -positive]).astype(np.float32)
    found = np.empty(len(values), np.uint16)

    store_half(values, np.empty_like(values), found)

    np.testing.assert_array_equal(found, values.astype(np.float16).view(np.uint16))


@pytest.mark.parametrize("name", ["perishable", "scarce"])
def test_compute_rows__are_those_of_the_observation(name: str) -> None:
    env = BatchedEnv(load_scenario(name), 3)
    env.reset(make_seeds("test", 0, 3))
    rows = env.observation.compute_rows(env.view, env.goals, slice(2, 5), num_spare=2)
    assert rows.shape == (3, 3, env.network.num_skus, env.layout.num_features + 2)
    np.testing.assert_array_equal(
        rows[..., : env.layout.num_features].swapaxes(0, 1), env.observe()[:, 2:5]
    )


@pytest.mark.parametrize("name", ["paper", "perishable", "scarce"])
def test_observe__stores_what_it_returns(name: str) -> None:
    env = BatchedEnv(load_scenario(name), 3)
    env.reset(make_seeds("test", 0, 3))
    net = env.network
    stored = np.zeros((3, 4, net.num_nodes + 1, net.num_skus, env.layout.num_features), np.float16)

    observations = env.observe(stored, 2)

    np.testing.assert_array_equal(stored[:, 2], observations.astype(np.float16))
    assert not stored[:, [0, 1, 3]].any()


@pytest.mark.parametrize("name", list_scenarios())
def test_observe__writes_every_feature(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Into memory that holds anything before, of all scenarios, so of all options."""
    env = BatchedEnv(load_scenario(name), 2)
    env.reset(make_seeds("test", 0, 2))
    shape = (2, 1, env.network.num_nodes + 1, env.network.num_skus, env.layout.num_features)
    stored = np.full(shape, np.nan, np.float16)
    empty = np.empty
    with monkeypatch.context() as patch:
        patch.setattr(
            "envs.omnichannel.agents.observation.np.empty",
            lambda shape, dtype=float: np.full_like(empty(shape, dtype), np.nan),
        )
        features = env.observe(stored)

    assert np.isfinite(features).all()
    assert np.isfinite(stored).all()
