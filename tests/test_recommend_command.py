"""The command `recommend`: from a stock count's template to a file of orders."""

import csv
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from envs.omnichannel.scenario import Scenario, load_scenario
from marl.commands.cli import main
from marl.planning.planner import Planner
from marl.planning.policy_file import OnnxPolicy
from marl.planning.stock_count_file import read_stock_count
from tests.conftest import WritePolicy
from tests.test_recommend import STATE


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["omnichannel", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


def test_recommend_command__from_template_to_orders(
    tmp_path: Path, write_policy: WritePolicy, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    write_policy(load_scenario("tiny"))
    assert run(monkeypatch, "scenario", "state-template", "tiny", "--out", "state.csv") == 0
    capsys.readouterr()
    arguments = ("recommend", "--policy", "policy.onnx", "--scenario", "tiny")

    status = run(
        monkeypatch,
        *(*arguments, "--state", "state.csv", "--out", "orders.csv", "--goals", "goals.json"),
        *("--json", "orders.json", "--explain", "store_0", "shirt"),
    )

    assert status == 0
    printed = capsys.readouterr().out
    assert "store_0, shirt: shipment of " in printed
    answer = json.loads((tmp_path / "orders.json").read_text("utf-8"))
    rows = read(tmp_path / "orders.csv")
    assert f"orders.csv: {len(rows)} lines of day 0" in printed
    assert len(answer["decisions"]) == 26
    assert len(rows) == sum(t["lines"] for t in answer["totals"].values()) > 0
    assert float(rows[0]["units"]) == answer["decisions"][0]["units"]
    assert rows[0]["proposal_ordering_high"] != ""
    assert json.loads((tmp_path / "goals.json").read_text("utf-8"))["goals"] == [answer["goals"]]


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_recommend_command__keeps_goals_from_review_to_review(
    tmp_path: Path, write_policy: WritePolicy, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    write_policy(load_scenario("tiny"))
    arguments = ("recommend", "--policy", "policy.onnx", "--scenario", "tiny", "--json", "-")

    def get_review(day: int) -> bool:
        state = STATE.replace("\n3,", f"\n{day},")
        (tmp_path / "state.csv").write_text(state, encoding="utf-8")
        status = run(monkeypatch, *arguments, "--state", "state.csv", "--goals", "goals.json")
        assert status == 0
        return bool(json.loads(capsys.readouterr().out)["review"])

    # The review period is 7 days; a day that is run again repeats what it did.
    assert [get_review(day) for day in (3, 3, 4, 9, 10, 10, 11)] == [
        True, True, False, False, True, True, False,
    ]  # fmt: skip


MISTAKES = [
    (["--policy", "no.onnx"], "--policy: file 'no.onnx' does not exist"),
    (["--policy", "state.csv"], "--policy: 'state.csv' is not a policy file"),
    (["--scenario", "nowhere"], "scenario: 'nowhere' is not known; allowed: "),
    (["--state", "no.csv"], "--state: file 'no.csv' does not exist; give the path of a file"),
    (["--explain", "store_9", "shirt"], "--explain: node 'store_9' is not in the scenario"),
    (["--explain", "store_0", "hat"], "--explain: sku 'hat' is not in the scenario"),
    (["--out", "no/orders.csv"], "--out: 'no/orders.csv' cannot be written"),
    (["--goals", "state.csv"], "--goals: 'state.csv': not valid JSON (Expecting value)"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=lambda v: " ".join(v)[:40])
def test_recommend_command__a_mistake_is_one_line_and_exit_code_2(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    write_policy: WritePolicy,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_policy(load_scenario("tiny"))
    (tmp_path / "state.csv").write_text(STATE, encoding="utf-8")
    given = {"--policy": "policy.onnx", "--scenario": "tiny", "--state": "state.csv"}
    given |= {arguments[0]: arguments[1]} if len(arguments) == 2 else {}
    extra = arguments if len(arguments) == 3 else []
    before = sorted(tmp_path.iterdir())

    status = run(
        monkeypatch, "recommend", *(word for pair in given.items() for word in pair), *extra
    )

    printed = capsys.readouterr()
    assert status == 2
    assert printed.err.startswith(f"error: {message}")
    assert printed.err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.slow  # a busy machine would fail it
def test_recommend_command__answers_for_ten_stores_and_thirty_skus_in_two_seconds(
    tmp_path: Path, write_policy: WritePolicy
) -> None:
    retail = load_scenario("retail")
    policy = write_policy(retail)
    planner = Planner(OnnxPolicy.load(policy), retail, num_futures=1)
    (tmp_path / "state.csv").write_text(planner.schema.make_template(), encoding="utf-8")
    command = "from marl.commands.cli import main; main()"
    arguments = ("recommend", "--policy", str(policy), "--scenario", "retail", "--state")
    words = [sys.executable, "-c", command, *arguments, str(tmp_path / "state.csv")]
    seconds = []
    for _ in range(6):  # the first compiles the simulator's loops
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        # The processor's time, because a test cannot know who else uses the machine.
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert done.returncode == 0, done.stderr
        assert "stockout_probability" in done.stdout

    assert min(seconds) < 3  # 2 on a machine of its own; others slow it down


def test_recommend__imports_neither_compiler_nor_pandas(
    tiny: Scenario, tmp_path: Path, write_policy: WritePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would take longer to import than the answer takes to compute."""
    monkeypatch.chdir(tmp_path)
    policy = write_policy(tiny)
    planner = Planner(OnnxPolicy.load(policy), tiny)
    (tmp_path / "state.csv").write_text(planner.schema.make_template(), encoding="utf-8")
    code = (
        "import sys; from marl.commands.cli import app; app(sys.argv[1:], standalone_mode=False); "
        "slow = {'numba.np.arraymath', 'scipy.linalg', 'scipy.special', 'pandas', 'rich.console', "
        "'marl.config'}; print(sorted(slow & set(sys.modules)))"
    )
    words = ("recommend", "--policy", str(policy), "--scenario", "tiny", "--state", "state.csv")
    planner.recommend(read_stock_count(tmp_path / "state.csv", planner.schema))  # compiles
    done = subprocess.run(
        [sys.executable, "-c", code, *words, "--out", "orders.csv"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
    )
    assert done.stdout.splitlines()[-1] == "[]"
