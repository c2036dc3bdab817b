from __future__ import annotations

import io
import json

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

from envs.omnichannel.batched_env import BatchedEnv, Step
from envs.omnichannel.scenario import load_scenario
from envs.omnichannel.types import IntArray
from envs.omnichannel.world.draws import make_seeds
from marl.evaluation.evaluate import (
    EpisodeRunner,
    Evaluation,
    choose_pairs,
    evaluate_policies,
)
from marl.evaluation.tables import make_paired_table, make_tables
from marl.policies import Policy, make_policy

TINY = load_scenario("tiny")
NAMES = ("before", "order_up_to", "forecast_order_up_to")


class Recorder:
    """A policy that keeps the demand which another one meets."""

    name = "recorder"

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.demand: list[IntArray] = []

    def run_period(self, env: BatchedEnv) -> Step:
        step = self.policy.run_period(env)
        self.demand.append(step.flows.demand)
        return step


def make_evaluation(episodes: int = 4) -> Evaluation:
    policies = {name: make_policy(name, TINY) for name in NAMES}
    return evaluate_policies(policies, TINY, episodes, seed=3)


def test_run_episodes__same_demand_for_all_policies() -> None:
    seeds = make_seeds("test", 0, 3)
    met = []
    for name in NAMES:
        recorder = Recorder(make_policy(name, TINY))
        EpisodeRunner(TINY, seeds, "evaluate").run(recorder)
        met.append(np.stack(recorder.demand))
    assert met[0].shape == (TINY.horizon, 3, 2, 2, 2)
    np.testing.assert_array_equal(met[0], met[1])
    np.testing.assert_array_equal(met[0], met[2])


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_run_episodes__independent_of_batch_size(batch_size: int) -> None:
    seeds = make_seeds("test", 0, 7)
    policy = make_policy("order_up_to", TINY)
    expected = EpisodeRunner(TINY, seeds, "evaluate", batch_size=7).run(policy)
    metrics = EpisodeRunner(TINY, seeds, "evaluate", batch_size).run(policy)
    assert metrics.keys() == expected.keys()
    for metric, values in metrics.items():
        assert values.shape == (7,)
        np.testing.assert_allclose(values, expected[metric], rtol=1e-12, err_msg=metric)
    assert len(np.unique(metrics["reward"])) == 7


def test_evaluate_policies__paired_is_the_difference_of_means() -> None:
    evaluation = make_evaluation()
    paired = evaluation.paired["order_up_to - before"]["cost/total"]
    after, before = (evaluation.policies[name]["cost/total"] for name in ("order_up_to", "before"))
    assert paired.mean == pytest.approx(after.mean - before.mean)
    assert paired.low < paired.mean < paired.high


def test_evaluate_policies__other_purpose_other_episodes() -> None:
    policies = {"before": make_policy("before", TINY)}
    test, other = (
        evaluate_policies(policies, TINY, 4, 3, purpose=purpose) for purpose in ("test", "validate")
    )
    assert test.policies["before"]["reward"] != other.policies["before"]["reward"]


def test_to_json__schema() -> None:
    content = json.loads(json.dumps(make_evaluation().to_json(), allow_nan=False))
    assert list(content) == ["scenario", "episodes", "seed", "policies", "paired"]
    assert (content["scenario"], content["episodes"], content["seed"]) == ("tiny", 4, 3)
    assert list(content["policies"]) == list(NAMES)
    assert list(content["paired"]) == [
        "order_up_to - before",
        "forecast_order_up_to - before",
        "forecast_order_up_to - order_up_to",
    ]
    by_policy = [entry["metrics"] for entry in content["policies"].values()]
    for metrics in (*by_policy, *content["paired"].values()):
        assert {"served", "on_time", "reward", "cost/total", "cost/holding"} <= metrics.keys()
        for interval in metrics.values():
            assert list(interval) == ["mean", "low", "high"]
            assert interval["low"] <= interval["mean"] <= interval["high"]


def test_to_json__one_episode_has_numbers_everywhere() -> None:
    content = make_evaluation(episodes=1).to_json()
    interval = content["policies"]["before"]["metrics"]["reward"]
    assert interval["low"] == interval["mean"] == interval["high"]


def test_choose_pairs__untrained_networks_are_compared_with() -> None:
    names = dict.fromkeys(("before", "untrained", "trained"))
    assert choose_pairs(names) == [("trained", "before"), ("trained", "untrained")]


def test_choose_pairs__learnt_policies_come_first() -> None:
    names = dict.fromkeys(["learnt", "before", "order_up_to", "other"])
    assert choose_pairs(names) == [
        ("learnt", "before"),
        ("learnt", "order_up_to"),
        ("other", "learnt"),
        ("other", "before"),
        ("other", "order_up_to"),
    ]
    assert choose_pairs({"before": None}) == []


def render(*tables: Table, width: int = 120) -> str:
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(*tables)
    return console.export_text()


def test_make_table__leaves_out_unpaid_terms() -> None:
    text = render(*make_tables(make_evaluation()))
    assert "holding" in text
    assert "overflow" not in text


def test_make_table__six_policies_fit() -> None:
    found = make_evaluation()
    names = [*NAMES, "runs/long_learnt_policy", "five", "six", "seven"]
    policies = dict.fromkeys(names, found.policies["before"])
    table, rest = make_tables(
        Evaluation(scenario="tiny", episodes=4, seed=3, policies=policies, paired=found.paired)
    )
    on_time = found.policies["before"]["on_time"].mean
    row = next(line for line in render(table).splitlines() if "on time, %" in line)
    assert row.count(f"{100 * on_time:.2f} ± ") == 6
    assert render(table).count("±") == render(table, width=100).count("±")
    assert "…" not in render(table, width=100)
    assert "seven" in render(rest)


def test_make_paired_table__signs() -> None:
    text = render(make_paired_table(make_evaluation()), width=100)
    row = next(line for line in text.splitlines() if " order_up_to - before" in line)
    assert row.count("±") == 3
    assert "+" in row
    assert "…" not in text


def test_evaluate_policies__bound_is_above_every_policy() -> None:
    policies = {name: make_policy(name, TINY) for name in NAMES[:2]}
    evaluation = evaluate_policies(policies, TINY, 6, seed=3, bound_episodes=3)
    bound = evaluation.bound
    assert bound is not None
    assert bound.episodes == 3
    assert all(gap.low > 0 for gap in bound.gaps.values())
    content = json.loads(json.dumps(evaluation.to_json(), allow_nan=False))
    assert content["bound"]["gaps"].keys() == policies.keys()
    text = render(*make_tables(evaluation))
    assert "below bound (3)" in text
    assert "On average nobody exceeds a reward of 0." in " ".join(text.split())
