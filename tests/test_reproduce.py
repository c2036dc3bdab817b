from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast
from xml.etree import ElementTree

import numpy as np
import pytest

from envs.omnichannel.scenario import Scenario, load_scenario
from marl.evaluation.bounds.optimum import LostSalesSystem
from marl.evaluation.evaluate import EpisodeRunner
from marl.policies.tuned import TunedRule
from scripts.reproduction import rules, spot
from scripts.reproduction.agents import enlarge, tabulate_paper
from scripts.reproduction.common import RESULTS, ROOT, make_page
from scripts.reproduction.contest import tabulate_contest
from scripts.reproduction.curve import draw_curve, read_validations, tabulate_curve
from scripts.reproduction.grocer import tabulate_grocer
from scripts.reproduction.order_quantities import (
    find_best_rules,
    tabulate_lost_sales,
    tabulate_owmr,
)
from scripts.reproduction.plot import Line, draw_lines, list_marks
from scripts.reproduction.rules import (
    choose_budget,
    compare_with_ladder,
    mix_to_service,
    tune_until_flat,
)
from scripts.reproduction.spread import tabulate_spread
from scripts.reproduction.variants import tabulate_variants
from scripts.reproduction.vn2 import tabulate_vn2

TABLES: dict[str, Callable[[Mapping[str, Any]], Iterator[str]]] = {
    "contest": tabulate_contest,
    "curve": tabulate_curve,
    "retail": tabulate_paper,
    "grocer": tabulate_grocer,
    "paper": tabulate_paper,
    "transfer": tabulate_paper,
    "lost_sales": tabulate_lost_sales,
    "owmr": tabulate_owmr,
    "coordination": tabulate_variants,
    "ablation": tabulate_variants,
    "residual": tabulate_variants,
    "spread": tabulate_spread,
    "sellers": tabulate_variants,
    "vn2": tabulate_vn2,
}


def test_reproduce__starts_from_any_folder(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "reproduce.py"), "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "{" + ",".join([*list(TABLES)[:-1], "spot", "vn2"]) + "}" in done.stdout.replace(
        "\n", ""
    )


@pytest.mark.parametrize(("found", "status"), [(0.1 + 0.2, 0), (0.3, 1)])
def test_run_spot__the_last_bit_counts(
    found: float, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(spot, "check_rules", lambda: iter([spot.Spot("a: b", 0.1 + 0.2, found)]))
    monkeypatch.setattr(spot, "check_optima", lambda: iter(()))
    monkeypatch.setattr(spot, "check_training", lambda: iter(()))
    with pytest.raises(SystemExit) as ended:
        spot.run_spot(argparse.Namespace())
    assert ended.value.code == status
    assert f"1 values, {status} differ" in capsys.readouterr().out


def test_check_optima__stored_optima_come_out_again() -> None:
    spots = list(spot.check_optima())
    assert len(spots) == 6
    assert all(stored == found for _, stored, found in spots)


@pytest.mark.parametrize("numbers", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_make_page__committed_pages_show_their_numbers(numbers: Path) -> None:
    result = json.loads(numbers.read_text(encoding="utf-8"))
    part = result["command"].split()[1]
    page = make_page(numbers.stem, result, TABLES[part](result))
    assert page == numbers.with_suffix(".md").read_text(encoding="utf-8")


@pytest.mark.parametrize("numbers", sorted(RESULTS.glob("curve-*.json")), ids=lambda p: p.stem)
def test_draw_curve__committed_pictures_show_their_numbers(numbers: Path) -> None:
    result = json.loads(numbers.read_text(encoding="utf-8"))
    assert draw_curve(result) == numbers.with_suffix(".svg").read_text(encoding="utf-8")


def make_metrics(reward: float, cost: float, on_time: float) -> dict[str, np.ndarray]:
    spread = np.array([-1.0, 0.0, 1.0])
    return {
        "reward": reward + 0.01 * spread,
        "cost/total": cost + spread,
        "on_time": np.full(3, on_time),
        "served": np.full(3, on_time),
    }


LADDER = [make_metrics(0.7, 100, 0.94), make_metrics(0.6, 120, 0.96)]


def test_mix_to_service__a_coin_between_two_rules() -> None:
    mixed = mix_to_service(LADDER, 0.955)
    assert mixed["cost/total"].mean() == pytest.approx(115)
    assert mix_to_service(LADDER, 0.99)["cost/total"].mean() == 120  # beyond the end: the end


def test_compare_with_ladder__the_same_policy_and_one_that_serves_more() -> None:
    same = compare_with_ladder(LADDER[0], LADDER)
    assert same["gain"] == same["saved_share"] == {"mean": 0, "low": 0, "high": 0}
    better = compare_with_ladder(make_metrics(0.72, 99, 0.95), LADDER)
    assert better["gain"]["mean"] == pytest.approx(0.02)
    assert better["saved_share"]["mean"] == pytest.approx(0.01)
    assert better["saved_share_at_equal_service"]["mean"] == pytest.approx(11 / 110)


def test_tabulate_contest__shows_rollouts_and_the_grid_beside_the_agents() -> None:
    result = json.loads((RESULTS / "contest-volatile.json").read_text(encoding="utf-8"))
    own = compare_with_ladder(make_metrics(0.72, 99, 0.95), LADDER)
    result["others"] = [
        {"name": "rollouts", "episodes": 3, "seconds": 61.2, **own},
        {"name": "absolute grid", "episodes": 256, **own},
    ]
    page = "\n".join(tabulate_contest(result))
    assert "| rollouts | 3 | 0.0200 ± 0.0000 | 1.00 ± 0.00 | 10.00 ± 0.00 | 95.00 | 95.00 |" in page
    assert "| absolute grid | 256 |" in page
    assert "61 s in all" in page


def test_read_validations__are_differences_from_the_rule(tmp_path: Path) -> None:
    rows = [
        {"episodes": 0, "seconds": 0.0, "eval/reward": 0.5, "eval/cost/total": 200},
        {"episodes": 8, "seconds": 12.0, "train/reward": 0.1},
        {"episodes": 9, "seconds": 90.0, "eval/reward": 0.6, "eval/cost/total": 150},
    ]
    text = "\n".join(json.dumps(row | {"eval/on_time": 0.9, "env_steps": 5}) for row in rows)
    (tmp_path / "metrics.jsonl").write_text(text, encoding="utf-8")
    first, last = read_validations(tmp_path)
    assert first == {"minutes": 0, "env_steps": 5, "gain": 0, "saved_share": 0, "on_time": 0.9}
    assert last == first | {"minutes": 1.5, "gain": pytest.approx(0.1), "saved_share": 0.25}


@pytest.mark.parametrize(
    ("values", "marks"),
    [
        ([0, 20], [0, 5, 10, 15, 20]),
        ([0.3, 1.9], [0, 0.5, 1, 1.5, 2]),
        ([-0.4, 2.2], [-0.5, 0, 0.5, 1, 1.5, 2, 2.5]),
        ([0, 0], [0, 0.2]),
    ],
)
def test_list_marks__are_round_and_span_all(values: list[float], marks: list[float]) -> None:
    assert list_marks(values) == marks


def test_draw_lines__puts_points_between_the_margins() -> None:
    picture = draw_lines([Line("a", [0, 10], [0, 5]), Line("b < c", [0], [2.5])], "x", "y & z")
    assert "56.0,316.0 704.0,28.0" in picture  # lower left to upper right
    assert "56.0,172.0" in picture
    assert "b &lt; c" in picture
    root = ElementTree.fromstring(picture)
    assert root.tag.endswith("svg")


def test_enlarge__more_of_the_same_network() -> None:
    small = load_scenario("paper")
    large = enlarge(small, stores=25, skus=7)
    assert len(large.network.stores) == 25
    assert len(large.skus) == 7
    assert len({store.name for store in large.network.stores}) == 25
    for own, old in zip(large.network.stores[10:20], small.network.stores, strict=True):
        assert (own.distance, own.lead_time) == (old.distance, old.lead_time)
    assert large.costs == small.costs
    assert enlarge(small, stores=25, skus=7) == large


def test_find_best_rules__are_those_of_the_literature() -> None:
    """Zipkin 2008: base stock 4.64 at lead time 2 and penalty 4, 5.5% above the optimum of 4.40."""
    found = find_best_rules(LostSalesSystem(lead_time=2, mean=5, penalty=4, holding=1))
    assert found["order_up_to"] == pytest.approx(4.6386, abs=5e-5)
    assert found["capped_base_stock"] == pytest.approx(4.4057, abs=5e-5)


@pytest.mark.parametrize(
    ("costs", "trials"),
    [
        ([100, 99, 98], [40, 80, 160]),  # as often as it may
        ([100, 99.95, 90], [40, 80]),  # the second budget saves less than 0.1% of the loss
    ],
)
def test_tune_until_flat__doubles_while_that_saves_enough(
    monkeypatch: pytest.MonkeyPatch, costs: list[float], trials: list[int]
) -> None:
    class Runner:
        def run(self, cost: float) -> dict[str, np.ndarray]:
            return make_metrics(1 - cost / 1_000, cost, 0.9)

    def find(family: str, scenario: Scenario, *, episodes: int, trials: int) -> TunedRule:
        assert episodes == 2
        return TunedRule(
            family=family,
            parameters={"place": float(np.log2(trials / 40))},
            reward=0.5,
            trials=trials,
        )

    def search(*arguments: Any, start: dict[str, float], **budget: Any) -> TunedRule:
        assert start == {"place": 0.0}
        return find(*arguments, **budget)

    monkeypatch.setattr(rules, "load_or_tune", find)
    monkeypatch.setattr(rules, "tune_family", search)
    monkeypatch.setattr(rules, "make_policy", lambda _f, _s, p: costs[int(p["place"])])
    scenario = load_scenario("tiny")
    runner = cast(EpisodeRunner, Runner())
    for start in (None, {"place": 0.0}):
        found = list(tune_until_flat("any", scenario, runner, 2, 40, start))
        assert [entry.tuned.trials for entry in found] == trials
        assert choose_budget(found) is found[-1]
