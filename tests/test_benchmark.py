from __future__ import annotations

import copy
import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from rich.console import Console

from envs.omnichannel.agents.roster import MODULES
from envs.omnichannel.scenario import Scenario
from marl.benchmark import (
    ONE_THREAD,
    TWO_THREADS,
    BareLoop,
    Probe,
    Row,
    fit_exponent,
    make_table,
    measure_probes,
    measure_scale,
    run_benchmark,
)
from marl.config import load_config
from marl.learning.methods import make_method
from marl.learning.rllib.algorithm import build_algorithm

NAMES = [
    "simulator x256", "environment x256", "environment x32", "forward passes alone",
    "sampling in process", ONE_THREAD, TWO_THREADS, "runner actors x1", "runner actors x2",
    "pool add", "pool sample", "prioritised, with updates", "learner, by priority",
    "learner", "bare torch loop",
    "stored transition", "pool, 1 M a low module", "pool, 1 M every module", "end to end, sampled",
    "end to end, learnt",
]  # fmt: skip


def render(rows: list[Row]) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(make_table(rows))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_run_benchmark__measures_every_stage() -> None:
    rows = run_benchmark(quick=True, scenario="tiny")

    assert [row.name for row in rows] == NAMES
    values = {row.name: row.value for row in rows}
    for row in rows:
        assert np.isfinite(row.value), row
        assert row.value > 0, row
        if row.ratio_to is not None:
            assert row.ratio == pytest.approx(row.value / values[row.ratio_to]), row
    text = render(rows)
    assert all(name in text for name in NAMES)


def test_measure_probes__interleaves_rounds_after_a_warm_up() -> None:
    calls: list[str] = []

    def make(name: str, amount: float, ratio_to: str | None = None) -> Probe:
        def run() -> float:
            calls.append(name)
            return amount

        return Probe(name, "units/s", run, ratio_to, settle=lambda: calls.append(f"{name} ends"))

    earlier = [Row("earlier", 2.0, "units/s")]
    rows = measure_probes([make("a", 1, "b"), make("b", 1, "earlier")], 2, earlier)

    assert calls == ["a", "a ends", "b", "b ends"] * 3
    assert rows[0].ratio == pytest.approx(rows[0].value / rows[1].value)
    assert rows[1].ratio == pytest.approx(rows[1].value / 2)


def test_measure_scale__reports_steps_cells_and_growth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marl.benchmark.simulator._SCALE_CELLS", 40)
    rows = measure_scale([(1, 2, 1), (2, 4, 2)], rounds=1)
    assert [(row.name, row.unit) for row in rows] == [
        ("scale 2 x 1", "env steps/s"),
        ("scale 4 x 2", "env steps/s"),
        ("cells 2 x 1", "cells/s"),
        ("cells 4 x 2", "cells/s"),
        ("growth exponent", "of cells"),
    ]
    values = {row.name: row.value for row in rows}
    assert values["cells 4 x 2"] == pytest.approx(8 * values["scale 4 x 2"])
    slower = values["scale 2 x 1"] / values["scale 4 x 2"]
    assert values["growth exponent"] == pytest.approx(np.log(slower) / np.log(4))
    assert rows[3].ratio == pytest.approx(rows[3].value / rows[2].value)


def test_fit_exponent__of_a_power_law() -> None:
    sizes = [50.0, 1000.0, 12_500.0]
    assert fit_exponent(sizes, [3 * size**1.2 for size in sizes]) == pytest.approx(1.2)


def test_row__to_json() -> None:
    row = Row("learner", 3.0, "transitions/s", "bare torch loop", 1.5)
    assert json.loads(json.dumps(row.to_json())) == {
        "name": "learner",
        "value": 3.0,
        "unit": "transitions/s",
        "ratio_to": "bare torch loop",
        "ratio": 1.5,
    }
    assert Row("x", 1.0, "y").to_json()["ratio"] is None


@pytest.mark.parametrize(("ratio", "said"), [(1.9, "two cores were free"), (1.1, "fewer than")])
def test_make_table__says_whether_two_cores_were_free(ratio: float, said: str) -> None:
    row = Row(TWO_THREADS, 1.0, "MB hashed/s", ONE_THREAD, ratio)
    assert said in " ".join(render([row]).split())
    assert "threads did" not in render([replace(row, name="other")])


@pytest.mark.usefixtures("ray_session")
def test_bare_loop__does_the_learners_arithmetic(tiny: Scenario) -> None:
    config = load_config("default", ["env_runners.num_env_runners=0", "learner.hidden=[16]"])
    algorithm = build_algorithm(make_method(tiny, config))
    try:
        algorithm.train()
        modules = algorithm.learner_group._learner.module
        online = {m: modules[m].unwrapped().network for m in MODULES}
        bare = BareLoop({m: copy.deepcopy(online[m]) for m in MODULES}, config.learner)
        batch = algorithm.pool.sample(8, 64)
        bare.update(batch)
        algorithm.learner_group.update(batch=batch, timesteps={})
        averaged = algorithm.get_averaged_weights()
    finally:
        algorithm.stop()

    for module_id in MODULES:
        learnt = dict(online[module_id].named_parameters())
        for name, parameter in bare.networks[module_id].named_parameters():
            torch.testing.assert_close(parameter, learnt[name], rtol=1e-4, atol=1e-6)
        for name, parameter in bare.averaged[module_id].named_parameters():
            expected = torch.from_numpy(averaged[module_id][name])
            torch.testing.assert_close(parameter.detach(), expected, rtol=1e-4, atol=1e-6)
