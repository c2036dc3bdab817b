import numpy as np
import pytest

from envs.omnichannel.agents.reward import RewardModel
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.scenario.agents import Credit, Reward
from envs.omnichannel.types import FloatArray, Network
from envs.omnichannel.world.account.costs import TERMS, Costs
from envs.omnichannel.world.demand import make_demand
from envs.omnichannel.world.draws import make_seeds
from marl.policies import make_policy

# Expected demand of `tiny` by store and SKU: (9, 5) and (4.5, 2.5), 21 units in all.
LOSS = np.array([[[7.0, 0], [9, 0], [0, 5]]])


def make_model(tiny: Scenario, **reward: object) -> RewardModel:
    scenario = tiny.model_copy(update={"reward": Reward.model_validate(reward)})
    return RewardModel(scenario, Network.from_scenario(tiny), make_demand(tiny).mean)


def make_costs(**money: float) -> Costs:
    """All of a term's money arises at store_0's first SKU."""
    costs = Costs(np.zeros((len(TERMS), 1, 3, 2)))
    for term, value in money.items():
        costs[term][0, 1, 0] = value
    return costs


def test_team_reward__is_equation_8(tiny: Scenario) -> None:
    """All by hand: service 1 - (2.1 + 1.05) / 21, inventory 4.2 / 21, returns 6.3 / 21, ...

    R = alpha x 0.85 - beta x 0.2 - gamma x 0.3 - delta x 0.1.
    """
    model = make_model(tiny, alpha=2.0, beta=0.5, gamma=0.25, delta=3.0)
    costs = make_costs(
        lost_sales=2.1,
        late=1.05,
        holding=3.2,
        overflow=1.0,
        returns=6.3,
        transport=1.6,
        ordering=0.5,
    )
    reward = model.compute_team_reward(model.compute_loss(costs))
    assert reward == pytest.approx(2.0 * 0.85 - 0.5 * 0.2 - 0.25 * 0.3 - 3.0 * 0.1)


def test_team_reward__is_alpha_without_costs(tiny: Scenario) -> None:
    model = make_model(tiny, alpha=1.5)
    assert model.compute_team_reward(model.compute_loss(make_costs())) == 1.5


def test_team_reward__divides_money_by_the_scale(tiny: Scenario) -> None:
    model = make_model(tiny, cost_scale=2.0)
    loss = model.compute_loss(make_costs(lost_sales=21.0))
    assert model.compute_team_reward(loss) == pytest.approx(0.5)


def test_compute_loss__leaves_transport_out_with_delta_zero(tiny: Scenario) -> None:
    model = make_model(tiny, delta=0.0)
    assert not model.compute_loss(make_costs(transport=5.0, ordering=1.0)).any()


def credit(tiny: Scenario, local: float, store: float, team: float) -> FloatArray:
    weights = Credit(local=local, store=store, team=team)
    return make_model(tiny, credit=weights).compute_credit(LOSS)[0].astype(np.float64)


def test_credit__local_share_is_the_own_cell_per_unit_of_its_demand(tiny: Scenario) -> None:
    # Stores: 9 / 9 and 5 / 2.5. DC and network: (7 + 9) / 13.5 and 5 / 7.5 by SKU.
    below = [-16 / 13.5, -5 / 7.5]
    expected = np.array([below, [-1, 0], [0, -2], below])
    np.testing.assert_allclose(credit(tiny, 1, 0, 0), expected, rtol=1e-6)


def test_credit__store_share_is_the_location_per_unit_of_its_demand(tiny: Scenario) -> None:
    # 9 / 14 and 5 / 7 for both SKUs of a store; the DC's location is all below it.
    below = [-16 / 13.5, -5 / 7.5]
    expected = np.array([below, [-9 / 14, -9 / 14], [-5 / 7, -5 / 7], below])
    np.testing.assert_allclose(credit(tiny, 0, 1, 0), expected, rtol=1e-6)


def test_credit__team_share_is_the_same_for_all(tiny: Scenario) -> None:
    # 21 money for 21 units.
    np.testing.assert_allclose(credit(tiny, 0, 0, 1), np.full((4, 2), -1.0), rtol=1e-6)


def test_credit__is_the_mixture_of_its_shares(tiny: Scenario) -> None:
    parts = [credit(tiny, 1, 0, 0), credit(tiny, 0, 1, 0), credit(tiny, 0, 0, 1)]
    expected = 0.5 * parts[0] + 0.3 * parts[1] + 0.2 * parts[2]
    np.testing.assert_allclose(credit(tiny, 0.5, 0.3, 0.2), expected, rtol=1e-6)


def test_service_weight__changes_the_agents_reward_alone() -> None:
    """Twice the weight: the team's share of lost and late units counts once more."""
    data = load_scenario("paper").model_dump(mode="json")
    data["reward"]["credit"] = {"local": 0.0, "store": 0.0, "team": 1.0}
    scenario = Scenario.model_validate({**data, "initial_store_cover": 0.1})
    steps = []
    for weight in (1.0, 2.0):
        env = BatchedEnv(scenario, 2)
        env.service_weight = weight
        env.reset(make_seeds("test", 0, 2))
        steps.append(make_policy("before", scenario).run_period(env))
    plain, weighted = steps
    np.testing.assert_array_equal(weighted.team_reward, plain.team_reward)
    missed = (plain.costs["lost_sales"] + plain.costs["late"]).sum(axis=(1, 2))
    assert (missed > 0).all()
    more = (plain.rewards - weighted.rewards)[:, 0, 0]
    np.testing.assert_allclose(more, missed / env.reward_model.team_scale, rtol=1e-5)
