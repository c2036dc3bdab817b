"""The command line's contract for mistakes: exit code 2, one line, nothing left behind."""

import json
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from envs.omnichannel.scenario import Scenario, load_scenario
from marl.commands.cli import main
from marl.config import load_config
from marl.learning.dqn.policy import make_network_arguments, make_untrained
from marl.learning.policy_arrays import save_policy
from marl.policies import list_families
from marl.runs.folder import RunFolder


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cwd"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("OMNICHANNEL_CACHE", str(tmp_path / "cache"))
    return folder


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["omnichannel", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


def write_scenario(path: Path, **changes: Any) -> str:
    data: dict[str, Any] = {
        "name": "mine",
        "network": {
            "dcs": [{"name": "dc"}],
            "stores": [{"name": "shop", "parent": "dc"}],
        },
        "skus": [{"name": "hat", "category": "fashion", "store_demand": 3}],
        "categories": {"fashion": {"return_rate": 0.1}},
    }
    path.write_text(yaml.safe_dump(data | changes), encoding="utf-8")
    return str(path)


def test_text__of_a_user_is_never_markup(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    odd = {"name": "[red]mine[/red]", "caveat": "see [/docs] :smile:", "horizon": 2}
    scenario = write_scenario(tmp_path / "odd.yaml", **odd)

    assert run(monkeypatch, "evaluate", "before", "-s", scenario, "--episodes", "2") == 0

    printed = capsys.readouterr().out
    assert "[red]mine[/red]: 2 episodes" in printed
    assert "see [/docs] :smile:" in printed


MISTAKES = [
    (["train", "--scenario", "nowhere"], "scenario: 'nowhere' is not known; allowed: "),
    (["train", "--scenario", "no.yaml"], "scenario: file 'no.yaml' does not exist"),
    (["train", "--storage", "ftp://host/x"], "--storage: 'ftp://host/x' cannot be used ("),
    (["resume", "ftp://host/x"], "--storage: 'ftp://host/x' cannot be used ("),
    (["resume", "runs/x", "--run-dir", "y"], "--run-dir: 'y' is not allowed; 'runs/x' is a folder"),
    (["search"], "--space: nothing to vary; give at least one"),
    (["search", "--space", "learner.speed=uniform(0, 1)"], "--space: learner.speed: unknown key"),
    (["search", "--space", "learner.lr=normal(0, 1)"], "--space: 'learner.lr=normal(0, 1)' is not"),
    (["search", "--resume", "x"], "--resume: 'x' is not allowed without --trust; Ray Tune's files"),
    (["search", "--resume", "x", "--trust"], "--resume: 'x' holds no search; give a folder of"),
    (
        ["train", "--config", "fast"],
        "config: 'fast' is not known; allowed: ",
    ),
    (["train", "--config", "orders"], "method: orders is for one of skus; "),
    (["train", "--set", "learner.lr=-1"], "paper: learner.lr: -1 is not allowed; "),
    (["train", "--set", "learner.speed=1"], "paper: learner.speed: unknown key; allowed: lr"),
    (["train", "--set", "evaluation.baselines=[magic]"], "policy: 'magic' is not known; allowed: "),
    (
        ["train", "--set", "pool.capacity_env_steps=100"],
        "pool.capacity_env_steps: 100 is not allowed; at least 3200 (32 copies x 100 periods)",
    ),
    (
        ["train", "--set", "pool.high_capacity_env_steps=200"],
        "pool.high_capacity_env_steps: 200 is not allowed; at least 3200 (32 copies x 100 periods)",
    ),
    (
        ["train", "--set", "pool.max_memory_mb=1"],
        "pool.max_memory_mb: 1 is not allowed; at least 11 (32 copies of one episode)",
    ),
    (["train", "--episodes", "0"], "--episodes: '0' is not allowed; a whole number N >= 1"),
    (["train", "--minutes", "0"], "paper: stop.minutes: 0.0 is not allowed; must be greater"),
    (["train", "--seed", "-1"], "paper: seed: -1 is not allowed; must be greater than or"),
    (["train", "--speed", "9"], "No such option: --speed"),
    (["resume", "."], "run: '.' is not a run folder"),
    (["evaluate", "magic"], "policy: 'magic' is not known; allowed: baselines, best, before, "),
    (["evaluate", "before", "--episodes", "1"], "Invalid value for '--episodes'"),
    (["evaluate", "."], "run: '.' is not a run folder"),
    (["evaluate", "no.npz"], "policy: file 'no.npz' does not exist"),
    (["scenario", "show", "nowhere"], "scenario: 'nowhere' is not known; allowed: "),
    (["scenario", "from-data", "--demand", "no.csv", "--out", "a.yaml"], "no.csv: this file does "),
    (["scenario", "from-data", "--demand", "no.csv", "--out", "a.txt"], "--out: 'a.txt' is not "),
    (["scenario", "from-data", "--out", "no.yaml"], "Missing option '--demand'"),
    (["fly"], "No such command 'fly'"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=lambda v: " ".join(v)[:40])
def test_main__a_mistake_is_one_line_and_exit_code_2(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    in_empty_folder: Path,
) -> None:
    status = run(monkeypatch, *arguments)

    printed = capsys.readouterr()
    assert status == 2
    assert printed.err.startswith(f"error: {message}")
    assert printed.err.count("\n") == 1
    assert printed.out == ""
    assert list(in_empty_folder.iterdir()) == []


def test_from_data__says_what_was_found_and_what_comes_next(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], in_empty_folder: Path
) -> None:
    days = [date(2024, 1, 1) + timedelta(d) for d in range(35)]
    rows = "".join(f"{day},S1,hat,{day.weekday() + 1}\n" for day in days)
    Path("demand.csv").write_text(f"date,store,sku,units\n{rows}", encoding="utf-8")

    command = ("scenario", "from-data", "--demand", "demand.csv", "--out", "my.yaml")
    assert run(monkeypatch, *command, "--json", "found.json") == 0
    printed = capsys.readouterr()
    assert "28 days to train on; 7 held back, from 2024-01-29 on" in printed.out
    assert "next: " in printed.out
    assert printed.err == ""
    found = json.loads(Path("found.json").read_text(encoding="utf-8"))
    assert found["summary"]["weekdays"]["Sun"] == {
        "value": 1.75,
        "low": 1.75,
        "high": 1.75,
        "n": 4,
        "of": "weeks",
    }
    assert "categories: nothing comes back (no file of returns)" in " ".join(found["assumed"])
    files = {path.name for path in in_empty_folder.iterdir()}
    assert files == {"demand.csv", "found.json", "my.yaml", "my.demand.csv.gz"}

    assert run(monkeypatch, "scenario", "validate", "my.yaml") == 0
    assert capsys.readouterr().out.startswith("my: valid; 1 DCs, 1 stores, 1 SKUs, 7 periods")
    evaluated = ("evaluate", "naive", "before", "--scenario", "my.yaml", "--episodes", "2")
    assert run(monkeypatch, *evaluated) == 0
    table = " ".join(capsys.readouterr().out.split())  # its title is wrapped
    assert "2 episodes of the held-back period" in table
    assert "2024-01-29 to 2024-02-04 (7 days)" in table


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"speed": 3}, "speed: unknown key; allowed: name, "),
        (
            {"categories": {"fashion": {"return_rate": 1.2}}},
            "categories.fashion.return_rate: 1.2 is not allowed; must be less than or equal to 1",
        ),
        (
            {"network": {"dcs": [{"name": "dc", "supplier_lead_time": -1}], "stores": []}},
            "network.dcs.0.supplier_lead_time: -1 is not allowed; must be greater than or equal",
        ),
    ],
)
def test_main__a_wrong_scenario_names_field_value_and_what_is_allowed(
    changes: dict[str, Any],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    in_empty_folder: Path,
) -> None:
    path = write_scenario(tmp_path / "mine.yaml", **changes)

    for command in (["train", "--scenario", path], ["scenario", "validate", path]):
        assert run(monkeypatch, *command) == 2
        printed = capsys.readouterr()
        assert printed.err.startswith(f"error: {path}: {message}")
        assert printed.err.count("\n") == 1
    assert list(in_empty_folder.iterdir()) == []


def test_main__a_run_without_checkpoint_is_refused(
    tiny: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    folder = RunFolder.create(tmp_path / "run", tiny, load_config()).path

    for command in ("resume", "evaluate"):
        assert run(monkeypatch, command, str(folder)) == 2
        assert capsys.readouterr().err == (
            f"error: run: '{folder}' has no checkpoint; a run folder with a whole checkpoint is "
            "needed\n"
        )


def test_evaluate__writes_the_agreed_json(
    tiny: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = make_network_arguments(tiny, load_config().learner)
    networks = make_untrained(arguments).networks
    weights = {m: {k: v.numpy() for k, v in n.state_dict().items()} for m, n in networks.items()}
    save_policy(tmp_path / "mine.npz", {"method": "agents", "networks": arguments}, weights)
    target = tmp_path / "result.json"

    status = run(
        monkeypatch,
        *("evaluate", str(tmp_path / "mine.npz"), "before", "--scenario", "tiny"),
        *("--episodes", "4", "--json", str(target)),
    )

    assert status == 0
    result = json.loads(target.read_text(encoding="utf-8"))
    assert result["scenario"] == "tiny"
    assert set(result["policies"]) == {"mine.npz", "before"}
    assert set(result["policies"]["before"]["metrics"]["cost/total"]) == {"mean", "low", "high"}
    assert list(result["paired"]) == ["mine.npz - before"]


def test_evaluate__refuses_a_policy_of_another_scenario(
    tiny: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    changed = tiny.model_copy(
        update={"actions": tiny.actions.model_copy(update={"push_cover": [1.0]})}
    )
    arguments = make_network_arguments(changed, load_config().learner)
    networks = make_untrained(arguments).networks
    weights = {m: {k: v.numpy() for k, v in n.state_dict().items()} for m, n in networks.items()}
    save_policy(tmp_path / "mine.npz", {"method": "agents", "networks": arguments}, weights)

    assert run(monkeypatch, "evaluate", str(tmp_path / "mine.npz"), "--scenario", "tiny") == 2
    assert "has 3 actions and" in capsys.readouterr().err


def test_evaluate__refuses_a_damaged_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    (tmp_path / "mine.npz").write_bytes(b"PK\x03\x04 not a zip")

    assert run(monkeypatch, "evaluate", str(tmp_path / "mine.npz")) == 2
    assert "is not a whole policy file" in capsys.readouterr().err


def test_tune__prints_and_caches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "tune", "--scenario", "tiny", "--trials", "20") == 0

    assert "forecast_order_up_to: reward 0." in capsys.readouterr().out
    assert len(list((tmp_path / "cache" / "tuned").glob("*.json"))) == len(
        list_families(load_scenario("tiny"))
    )


def test_scenario__list_show_and_validate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "scenario", "list") == 0
    assert {line.split()[0] for line in capsys.readouterr().out.splitlines()} >= {"paper", "retail"}

    assert run(monkeypatch, "scenario", "show", "tiny") == 0
    shown = tmp_path / "shown.yaml"
    shown.write_text(capsys.readouterr().out, encoding="utf-8")
    assert run(monkeypatch, "scenario", "validate", str(shown)) == 0
    assert capsys.readouterr().out == "tiny: valid; 1 DCs, 2 stores, 2 SKUs, 14 periods\n"


@pytest.mark.parametrize("arguments", [("train",), ("resume", "."), ("evaluate", "mine.npz")])
def test_main__without_an_extra_says_how_to_install_it(
    arguments: tuple[str, ...], in_empty_folder: Path
) -> None:
    code = """
import sys
import marl.commands.console
from marl.commands.cli import main

class NotInstalled:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in {"ray", "torch"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NotInstalled())
marl.commands.console.find_spec = lambda name: None if name == "ray" else True
main()
"""
    command = [sys.executable, "-c", code, *arguments]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert " is not installed; install the extra 'train': pip install " in done.stderr
    assert list(in_empty_folder.iterdir()) == []


def test_help__loads_neither_ray_nor_torch() -> None:
    code = (
        "import sys, marl.commands.cli\n"
        "heavy = {'ray', 'torch', 'pandas', 'scipy', 'pydantic'} & set(sys.modules)\n"
        "print(*sorted(heavy))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


def test_resume__refuses_a_damaged_checkpoint_and_offers_the_one_before(
    tiny: Scenario, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder.create(Path("run"), tiny, load_config())

    def write(target: Path) -> None:
        (target / "progress.json").write_text("{}", encoding="utf-8")
        (target / "pool.npz").write_bytes(bytes(64))

    for episodes in (320, 640):
        folder.save_checkpoint(episodes, write, is_best=False)
    pool = folder.checkpoints / "000640" / "pool.npz"
    pool.write_bytes(bytes(63) + b"\x01")

    assert run(monkeypatch, "resume", "run") == 2

    assert capsys.readouterr().err == (
        "error: checkpoint: 'run/checkpoints/000640/pool.npz' is damaged; its size and SHA-256 are "
        "not the manifest's; the last whole one is 000320; go on from it with: omnichannel resume "
        "run --checkpoint 000320\n"
    )
    assert run(monkeypatch, "resume", "run", "--checkpoint", "000960") == 2
    assert "there are: 000320, 000640" in capsys.readouterr().err


def test_main__does_not_end_the_process_of_those_who_started_ray(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended: list[int] = []
    monkeypatch.setattr("marl.commands.cli.leave", ended.append)
    up = iter([True, True, False, True])  # before the command and after it, twice
    monkeypatch.setattr("marl.commands.cli._is_ray_up", lambda: next(up))
    monkeypatch.setattr("sys.argv", ["omnichannel", "scenario", "list"])
    with pytest.raises(SystemExit):
        main()
    assert ended == []
    with pytest.raises(SystemExit):
        main()
    assert ended == [0]
