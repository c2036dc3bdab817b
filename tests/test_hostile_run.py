"""A stranger's run folder names no sizes, sets no attributes, and chooses no file to write."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from envs.errors import InputError
from envs.omnichannel.layout import Layout
from envs.omnichannel.scenario import Scenario
from marl.commands import cli
from marl.config import load_config
from marl.errors import RunError
from marl.learning.dqn.agents import AgentsMethod
from marl.learning.methods import load_policy
from marl.learning.pool.ring import Ring
from marl.learning.rllib.checkpointing import read_counters
from marl.learning.trainee import check_finite
from marl.learning.weight_search import WeightSearch
from marl.runs.checkpoints import DamagedError, Part
from marl.runs.files import write_file
from marl.runs.folder import PROGRESS_FILE, RunFolder
from marl.runs.lock import lock_folder
from marl.runs.progress_file import check_counters
from tests.conftest import make_progress
from tests.test_export import make_run


@pytest.fixture
def run(tmp_path: Path, tiny: Scenario) -> RunFolder:
    return RunFolder.create(tmp_path / "run", tiny, load_config())


def save_progress(run: RunFolder, tree: Any) -> None:
    def write(folder: Path) -> None:
        (folder / PROGRESS_FILE).write_text(json.dumps(tree), encoding="utf-8")

    run.save_checkpoint(32, write, is_best=False)


def change_document(path: Path, change: Callable[[Any], object]) -> None:
    with np.load(path) as file:
        arrays = dict(file)
    document = json.loads(str(arrays["arguments"]))
    change(document)
    np.savez(path, **arrays | {"arguments": np.array(json.dumps(document))})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["networks"].pop("return_low"), "networks: needed are exactly ordering_high"),
        (lambda d: d["networks"]["return_low"].update(odd=1), "networks.return_low.odd: unknown"),
        (lambda d: d["networks"]["return_low"].update(hidden=None), "return_low.hidden: None is n"),
        (lambda d: d["networks"]["return_low"].update(hidden=[10**5] * 2), r"'layers.0.weight' of"),
        (lambda d: d["networks"]["return_low"].update(num_agents=10**9), "num_agents: 1000000000"),
        (lambda d: d["networks"]["return_low"].update(num_agents=99), r"needed|\(99, "),
        (lambda d: d["networks"]["return_low"].update(initial_option=99), "initial_option: 99 is"),
        (lambda d: d["networks"]["return_low"].update(dueling=1), "dueling: 1 is not allowed"),
        (lambda d: d.update(method="__class__"), "is not a whole policy file"),
        (lambda d: d.update(method="orders"), "networks.ordering_high.most: missing"),
    ],
)
def test_policy__a_document_that_does_not_fit_its_arrays_is_one_line(
    change: Callable[[Any], object], message: str, tiny: Scenario, tmp_path: Path
) -> None:
    made, _ = make_run(tmp_path / "run", tiny)
    path = made.find_checkpoint("best") / "policy.npz"
    change_document(path, change)

    with pytest.raises(InputError, match=message) as error:
        load_policy(path, tiny)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600


@pytest.mark.parametrize(
    ("counters", "message"),
    [
        ({"env_steps": 1}, "part counters .* is damaged"),
        ({"env_steps": 1, "rounds": 2, "train": 3}, "part counters .* is damaged"),
        ({"env_steps": 1, "rounds": -2}, "rounds: '-2' is not allowed"),
        ({"env_steps": 1.5, "rounds": 2}, "env_steps: '1.5' is not allowed"),
        ({"env_steps": True, "rounds": 2}, "env_steps: 'True' is not allowed"),
        ([1], "part counters .* is damaged"),
    ],
)
def test_counters__name_no_other_attribute(counters: Any, message: str, tmp_path: Path) -> None:
    Part.freeze(counters).write(tmp_path, "counters")

    with pytest.raises(DamagedError, match=message):
        read_counters(tmp_path, ("env_steps", "rounds"))


@pytest.mark.parametrize(
    ("name", "value"),
    [("best_score", float("nan")), ("best_score", "x"), ("seconds", -1), ("next_evaluation", 1.5),
     ("feedback", []), ("odd", 1)],
)  # fmt: skip
def test_progress__of_another_form_is_one_line(name: str, value: Any, run: RunFolder) -> None:
    tree = json.loads(make_progress(1, 14))
    tree["progress"][name] = value
    save_progress(run, tree)

    with pytest.raises(InputError, match=f"progress.json': progress.{name}"):
        run.load_progress()


def test_progress__before_any_score_is_whole(run: RunFolder) -> None:
    tree = json.loads(make_progress(1, 14))
    tree["progress"]["best_score"] = float("-inf")
    save_progress(run, tree)

    assert run.load_progress() == tree


@pytest.mark.parametrize(
    "change",
    [
        {"next": 5}, {"next": -1}, {"next": 1}, {"next": True}, {"next": 2.0}, {"next": None},
        {"a": np.zeros((2, 4))}, {"a": np.zeros((5, 3))}, {"a": np.full((2, 3), np.nan)},
        {"b": np.zeros(3, np.uint8)}, {"b": np.zeros(2)}, {"b": [0, 0]},
    ],
    ids=str,
)  # fmt: skip
def test_ring__refuses_what_is_not_its_own(change: dict[str, Any]) -> None:
    def make_ring() -> Ring:
        return Ring({"a": np.zeros((4, 3)), "b": np.zeros(4, np.uint8)})

    ring = make_ring()
    ring.advance(2)
    state = ring.get_state()
    make_ring().set_state(state)

    with pytest.raises((ValueError, AttributeError)):
        make_ring().set_state(state | change)


def test_pool__refuses_actions_that_no_agent_has(tiny: Scenario) -> None:
    def make_pool() -> Any:
        return AgentsMethod(
            tiny, load_config("default", ["pool.capacity_env_steps=100"])
        ).make_pool()

    state = make_pool().get_state()
    layout = Layout.from_scenario(tiny)
    assert layout.modules["return_low"].num_options < 200
    for name, array in state["low"].items():
        if isinstance(array, np.ndarray):
            state["low"][name] = np.zeros((1, *array.shape[1:]), array.dtype)
    state["low"]["next"] = 1
    make_pool().set_state(state)
    state["low"]["actions/return_low"][:] = 200

    with pytest.raises(ValueError, match="pool actions of return_low are not those of its agents"):
        make_pool().set_state(state)


@pytest.mark.parametrize("name", ["step", "exp_avg", "exp_avg_sq"])
def test_moments_of_another_type__are_refused(tiny: Scenario, name: str) -> None:
    method = AgentsMethod(tiny, load_config())
    networks = {m: method.make_network(m) for m in method.module_ids}
    (trainee,) = method.make_trainees(networks).values()
    state = trainee.get_state()
    zeros = [np.zeros(p.shape, np.float32) for p in trainee.parameters]
    state["adam"] = [
        {"step": np.zeros((), np.float32), "exp_avg": z, "exp_avg_sq": z.copy()} for z in zeros
    ]
    trainee.set_state(state)
    state["adam"][0][name] = state["adam"][0][name].astype(np.float64)

    with pytest.raises(ValueError, match="its moments are float64, not float32"):
        trainee.set_state(state)


@pytest.mark.parametrize("value", [np.nan, np.inf, True, "1", None, [1.0], np.zeros(2)], ids=str)
def test_check_finite__refuses_what_is_no_number_of_the_shape(value: Any) -> None:
    with pytest.raises(ValueError, match="numbers"):
        check_finite(value, ())


@pytest.mark.parametrize(
    "change",
    [
        {"logits": [1.0]},
        {"square": float("nan")},
        {"square": -1.0},
        {"rounds": -1},
        {"rounds": 1.5},
    ],
    ids=str,
)
def test_weight_search__refuses_another_state(change: dict[str, Any], tiny: Scenario) -> None:
    from envs.omnichannel.agents.roster import PROPOSERS

    search = WeightSearch(
        load_config().coordination, 0, {d: np.ones(len(p)) for d, p in PROPOSERS.items()}
    )
    state = search.get_state()
    search.set_state(state)

    with pytest.raises(ValueError, match=r"its (weights|counters) are not those"):
        search.set_state(state | change)


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_run__writes_through_nothing_that_a_stranger_put_there(
    kind: str, run: RunFolder, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("mine", encoding="utf-8")
    makers: dict[str, Callable[[Path], object]] = {
        "link": lambda path: path.symlink_to(outside),
        "pipe": os.mkfifo,
        "folder": lambda path: (path / "inner").mkdir(parents=True),
    }
    for name in ("metrics.jsonl", ".lock", "report.html"):
        makers[kind](run.path / name)

    with pytest.raises(RunError, match=r"metrics.jsonl' cannot be written"):
        run.append_metrics({"episodes": 1})
    with pytest.raises(InputError, match=r"\.lock' "):
        lock_folder(run.path)
    if kind == "folder":
        with pytest.raises(InputError, match=r"--out: .* cannot be written"):
            write_file(run.path / "report.html", "new", "--out", own=True)
    else:
        write_file(run.path / "report.html", "new", "--out", own=True)
        assert (run.path / "report.html").read_text(encoding="utf-8") == "new"
    assert outside.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 1 TB")]
)
def test_main__too_little_memory_is_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(cli, "app", fail)

    with pytest.raises(SystemExit) as stopped:
        cli.main()

    assert stopped.value.code == 1
    assert capsys.readouterr().err.startswith("error: memory: there is not enough for ")


@pytest.mark.parametrize("name", ["episodes", "env_steps", "updates"])
def test_counters__of_the_parts_are_those_of_the_progress(name: str, run: RunFolder) -> None:
    stored = {"episodes": 3, "env_steps": 42, "updates": 1}
    check_counters(run.path, stored, SimpleNamespace(**stored))

    with pytest.raises(InputError, match=f"does not fit this run .{name} is 9 in its progress"):
        check_counters(run.path, stored | {name: 9}, SimpleNamespace(**stored))
