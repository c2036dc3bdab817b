from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from envs.errors import InputError
from envs.omnichannel.scenario import load_scenario
from envs.omnichannel.types import FloatArray
from envs.omnichannel.world.account.metrics import EpisodeMetrics
from envs.omnichannel.world.draws import make_seeds
from marl.evaluation import tuning
from marl.evaluation.choice import choose_rule
from marl.evaluation.evaluate import EpisodeRunner, evaluate_policies
from marl.evaluation.tuning import (
    choose_budget,
    load_or_tune,
    make_baseline,
    tune_family,
)
from marl.policies import FAMILIES, ParameterSpace, list_families, make_policy
from marl.policies.base import Policy, Setting
from marl.policies.tuned import TunedRule
from marl.training.stopping import Stopped

TINY = load_scenario("tiny")
from_unit = tuning._from_unit


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OMNICHANNEL_CACHE", str(tmp_path))
    return tmp_path / "tuned"


def load_quickly(scenario: str = "tiny", family: str = "order_up_to", seed: int = 0) -> object:
    return load_or_tune(family, load_scenario(scenario), episodes=2, trials=9, seed=seed)


def test_tune_family__beats_before_on_other_episodes() -> None:
    tuned = tune_family("order_up_to", TINY, episodes=8, trials=90)
    policies = {
        "before": make_policy("before", TINY),
        "order_up_to": make_policy("order_up_to", TINY, tuned.parameters),
    }
    evaluation = evaluate_policies(policies, TINY, 32, seed=1)
    assert evaluation.paired["order_up_to - before"]["reward"].low > 0


@pytest.mark.parametrize("family", FAMILIES)
def test_tune_family__reports_the_reward_of_its_parameters(family: str) -> None:
    tuned = tune_family(family, TINY, episodes=3, trials=30, seed=2)
    policy = make_policy(family, TINY, tuned.parameters)
    metrics = EpisodeRunner(TINY, make_seeds("tune", 2, 3), "train").run(policy)
    assert tuned.reward == pytest.approx(metrics["reward"].mean())


def test_tune_family__improves_over_generations() -> None:
    rewards: list[float] = []
    tune_family(
        "order_up_to", TINY, episodes=4, trials=180, progress=lambda _, best: rewards.append(best)
    )
    assert rewards == sorted(rewards)
    assert rewards[-1] > rewards[0] + 5e-4


def test_tune_family__never_worse_than_its_initial_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    # So wide a search meets nothing good in one generation.
    monkeypatch.setattr(tuning, "STEP_SIZE", 10.0)
    metrics = EpisodeRunner(TINY, make_seeds("tune", 0, 3), "train").run(
        make_policy("order_up_to", TINY)
    )
    tuned = tune_family("order_up_to", TINY, episodes=3, trials=1)
    assert tuned.reward == pytest.approx(metrics["reward"].mean())


def test_tune_family__tries_nothing_outside_the_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[FloatArray] = []
    monkeypatch.setattr(tuning, "STEP_SIZE", 1.0)

    def record(space: ParameterSpace, points: FloatArray) -> dict[str, FloatArray]:
        tried.append(points)
        return from_unit(space, points)

    monkeypatch.setattr(tuning, "_from_unit", record)
    tune_family("order_up_to", TINY, episodes=2, trials=18)
    assert all(((points >= 0) & (points <= 1)).all() for points in tried)
    assert any((points == 1).any() for points in tried)


def test_tune_family__searches_around_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "FINE_STEP_SIZE", 1e-9)
    near = tune_family("order_up_to", TINY, episodes=2, trials=9, start={"online_share": 0.75})
    assert near.parameters["online_share"] == pytest.approx(0.75)
    initial = FAMILIES["order_up_to"].make_space(Setting.from_scenario(TINY)).initial
    assert near.parameters == pytest.approx({**initial, "online_share": 0.75})
    with pytest.raises(InputError, match="parameters: 'cover' is not known"):
        tune_family("order_up_to", TINY, trials=9, start={"cover": 1.0})


def test_load_or_tune__a_family_starts_where_the_simpler_one_ended(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = load_scenario("volatile").model_copy(update={"horizon": 10})
    simpler = load_or_tune("full_truck", scenario, episodes=2, trials=9)
    monkeypatch.setattr(tuning, "FINE_STEP_SIZE", 1e-9)
    grown = load_or_tune("full_truck_by_sku", scenario, episodes=2, trials=9)
    assert grown.reward == pytest.approx(simpler.reward, abs=1e-6)
    assert len(list(cache.iterdir())) == 2


def test_tune_family__same_seed_same_result_and_progress() -> None:
    reported: list[tuple[int, float]] = []
    first, second = (
        tune_family(
            "order_up_to", TINY, episodes=2, trials=20, progress=lambda *at: reported.append(at)
        )
        for _ in range(2)
    )
    assert first == second
    assert [trials for trials, _ in reported] == [9, 18, 9, 18]
    assert reported[1] == (first.trials, first.reward)
    assert tune_family("order_up_to", TINY, episodes=2, trials=20, seed=1) != first


def test_load_or_tune__second_call_reads_the_cache(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned = load_quickly()
    assert len(list(cache.iterdir())) == 1
    monkeypatch.setattr(tuning, "tune_family", lambda *_, **__: pytest.fail("tuned again"))
    assert load_quickly() == tuned


def test_load_or_tune__a_file_a_search(cache: Path) -> None:
    load_quickly()
    load_quickly(seed=1)
    load_quickly(family="forecast_order_up_to")
    load_or_tune("order_up_to", TINY.model_copy(update={"horizon": 7}), episodes=2, trials=9)
    load_or_tune("order_up_to", TINY, episodes=1, trials=9)
    load_or_tune("order_up_to", TINY, episodes=2, trials=18)
    assert len(list(cache.iterdir())) == 6


@pytest.mark.parametrize(
    "content",
    [
        "",
        '{"parameters": {"store_cover_0": 1',
        "[]",
        '{"parameters": [], "reward": 1, "trials": 9}',
        '{"parameters": {"restock": 1.0}, "reward": 1, "trials": 9}',
    ],
)
def test_load_or_tune__corrupt_cache_is_tuned_anew(cache: Path, content: str) -> None:
    tuned = load_quickly()
    (file,) = cache.iterdir()
    file.write_text(content, encoding="utf-8")
    assert load_quickly() == tuned
    assert json.loads(file.read_text(encoding="utf-8"))["trials"] == 9
    assert list(cache.iterdir()) == [file]


def test_load_or_tune__unwritable_cache_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    monkeypatch.setenv("OMNICHANNEL_CACHE", str(blocked))
    assert isinstance(load_quickly(), TunedRule)


def test_make_baseline__tunes_families_alone(cache: Path) -> None:
    assert make_baseline("before", TINY).name == "before"
    assert not cache.exists()
    assert make_baseline("order_up_to", TINY, episodes=2, trials=9).name == "order_up_to"
    assert cache.exists()


def test_load_or_tune__refuses_unknown_family() -> None:
    message = "family: 'before' is not known; allowed: order_up_to, forecast_order_up_to"
    with pytest.raises(InputError, match=message):
        load_or_tune("before", TINY)


def test_choose_budget__falls_with_the_size_and_yields_to_what_is_given() -> None:
    assert choose_budget(TINY, 6) == (16, 600)
    assert choose_budget(TINY, 24) == (32, 1800)
    assert choose_budget(load_scenario("retail"), 6) == (8, 200)
    assert choose_budget(TINY, 24, trials=5) == (32, 5)


@pytest.mark.parametrize("by", ["a limit", "a signal"])
def test_load_or_tune__a_search_that_is_cut_goes_on_from_there(
    cache: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    whole = tune_family("order_up_to", TINY, episodes=2, trials=36)
    said: list[str] = []
    ran: list[int] = []
    run = EpisodeRunner.run

    def count(self: EpisodeRunner, policy: Policy) -> EpisodeMetrics:
        if by == "a signal" and len(ran) == 2:
            ran.append(0)
            raise Stopped(15)
        ran.append(1)
        return run(self, policy)

    monkeypatch.setattr(EpisodeRunner, "run", count)
    search: tuning.Search = {"episodes": 2, "trials": 36, "say": said.append}
    if by == "a limit":
        limited: tuning.Search = {**search, "should_stop": lambda: len(ran) >= 2}
        cut = load_or_tune("order_up_to", TINY, **limited)
        assert cut.trials == 18
        assert said == ["tuning order_up_to is cut after 18 of 36 trials; the next goes on"]
    else:
        with pytest.raises(Stopped):
            load_or_tune("order_up_to", TINY, **search)

    assert load_or_tune("order_up_to", TINY, **search) == whole
    assert sum(ran) == 4
    assert [path.suffixes for path in cache.iterdir()] == [[".json"]]


def test_load_or_tune__says_how_it_is_getting_on(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "SAY_EVERY_S", 0)
    said: list[str] = []
    kept: list[int] = []
    rest = partial(cache.glob, "*.cut.json")

    def say(line: str) -> None:
        said.append(line)
        kept.append(sum(len(json.loads(path.read_text())) for path in rest()))

    load_or_tune("order_up_to", TINY, episodes=2, trials=18, say=say, place="2 of 3")
    assert said[0].startswith("tuning order_up_to (2 of 3): 9 of 18 trials, best reward 0.")
    assert len(said) == 2
    assert kept == [1, 2]  # generations that a kill leaves
    assert [*rest()] == []


def test_choose_rule__says_which_family_of_how_many_it_tunes() -> None:
    said: list[str] = []
    choose_rule(TINY, said.append)
    families = [line for line in said if line.startswith("choosing")]
    assert len(families) == len(list_families(TINY))
    assert families[1].endswith(f"(2 of {len(families)}), unless the cache has it ...")
