from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from envs.omnichannel.batched_env import BatchedEnv, Step
from envs.omnichannel.branches.branching import Recording, record_episodes, simulate_branches
from envs.omnichannel.flows import Targets
from envs.omnichannel.scenario import load_scenario
from envs.omnichannel.world.draws import make_seeds
from marl.policies import make_policy
from marl.policies.base import TargetRule

COPIES = 3
FAMILY = {"tiny": "order_up_to", "scarce": "full_truck", "miscounted": "forecast_order_up_to"}


class Losses:
    """Keeps the weighted cost of every period that it runs."""

    def __init__(self, rule: TargetRule, env: BatchedEnv) -> None:
        self.rule, self.env = rule, env
        self.by_period: list[np.ndarray] = []

    def run_period(self, env: BatchedEnv) -> Step:
        step = self.rule.run_period(env)
        self.by_period.append(env.reward_model.compute_loss(step.costs).sum(axis=(1, 2)))
        return step


def record(
    name: str, rationing: str | None = None
) -> tuple[BatchedEnv, TargetRule, Losses, Recording]:
    scenario = load_scenario(name)
    if rationing is not None:
        fulfillment = scenario.fulfillment.model_copy(update={"rationing": rationing})
        scenario = scenario.model_copy(update={"fulfillment": fulfillment})
    env = BatchedEnv(scenario, COPIES)
    rule = make_policy(FAMILY[name], scenario)
    losses = Losses(rule, env)
    return env, rule, losses, record_episodes(env, losses, make_seeds("test", 0, COPIES))


def select_targets(
    env: BatchedEnv, rule: TargetRule, recording: Recording, entries: np.ndarray
) -> Targets:
    return rule.compute_targets(recording.see(env, entries))


@pytest.mark.parametrize(
    ("name", "rationing"), [*((name, None) for name in FAMILY), ("scarce", "equal_cover")]
)
def test_simulate_branches__the_same_decisions_repeat_what_happened(
    name: str, rationing: str | None
) -> None:
    env, rule, losses, recording = record(name, rationing)
    periods = 4
    assert recording.num_entries == COPIES * env.scenario.horizon
    entries = np.array([0, 4, 4, 8, recording.list_entries(periods)[-1] - COPIES])
    branch = simulate_branches(
        env, recording, entries, select_targets(env, rule, recording, entries), periods, rule
    )
    period, copy = np.divmod(entries, COPIES)
    happened = np.stack(losses.by_period)
    expected = [happened[t : t + periods, b].sum() for t, b in zip(period, copy, strict=True)]
    np.testing.assert_allclose(branch.loss, expected)
    after = recording.states.select(entries + periods * COPIES)
    for field in fields(after):
        np.testing.assert_array_equal(
            getattr(branch.state, field.name), getattr(after, field.name), err_msg=field.name
        )


def test_simulate_branches__another_decision_meets_the_same_demand() -> None:
    env, rule, _, recording = record("tiny")
    entries = np.zeros(2, np.int64)
    targets = select_targets(env, rule, recording, entries)
    more = targets.supplier_gap.copy()
    more[1] += 50  # units of both SKUs, on hand at the DC two periods later
    targets = replace(targets, supplier_gap=more)
    asked = np.diff(env.decide(targets, env.view).supplier_order.sum(axis=(1, 2)))
    branch = simulate_branches(env, recording, entries, targets, 3, rule)
    assert branch.state.log_drift is None
    np.testing.assert_array_equal(branch.state.returns_due[0], branch.state.returns_due[1])
    held = branch.state.on_hand.sum(axis=(1, 2)) + branch.state.in_transit.sum(axis=(1, 2, 3))
    rest = np.diff(held)
    assert 0 < rest <= asked  # later orders are smaller
    assert branch.loss[1] > branch.loss[0]  # it costs its holding


def test_simulate_branches__must_stay_within_the_recording() -> None:
    env, rule, _, recording = record("tiny")
    last = recording.list_entries(3)[-1:]
    simulate_branches(env, recording, last, select_targets(env, rule, recording, last), 3, rule)
    with pytest.raises(ValueError, match="not followed by 4 periods"):
        simulate_branches(env, recording, last, select_targets(env, rule, recording, last), 4, rule)
