"""Policies of a user's own, by import path."""

import json
from pathlib import Path

import pytest

from envs.errors import InputError
from envs.omnichannel import Scenario
from marl.commands.cli import main
from marl.evaluation.sources import load_own, resolve_policies

GOOD = """
from marl.policies import make_policy

class Wrapped:
    name = "mine"

    def __init__(self, scenario):
        self.policy = make_policy("before", scenario)

    def run_period(self, env):
        return self.policy.run_period(env)

NUMBER = 1

def make_nothing(scenario):
    return None

def fail(scenario):
    raise ValueError("no plan")
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's working directory, with modules that are good and not."""
    (tmp_path / "my_shop.py").write_text(GOOD, encoding="utf-8")
    (tmp_path / "my_slip.py").write_text("def broken(:\n", encoding="utf-8")
    (tmp_path / "my_need.py").write_text("\nimport not_there\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_evaluate__takes_a_policy_by_import_path(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = "evaluate my_shop:Wrapped before -s tiny --episodes 4 --json out.json"
    monkeypatch.setattr("sys.argv", ["omnichannel", *arguments.split()])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0
    found = json.loads((folder / "out.json").read_text(encoding="utf-8"))
    assert list(found["policies"]) == ["mine", "before"]
    # The same decisions on the same demand: no difference at all.
    assert found["paired"]["mine - before"]["reward"] == {"mean": 0.0, "low": 0.0, "high": 0.0}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("my_shop:", r"'my_shop:' is not allowed; write MODULE:NAME, as in my_module:Mine"),
        ("my-shop:Wrapped", r"'my-shop:Wrapped' is not allowed; write MODULE:NAME"),
        ("my_ship:Wrapped", r"'my_ship:Wrapped' failed; ModuleNotFoundError: No module named 'my"),
        (
            "my_need:Mine",
            r"'my_need:Mine' failed; ModuleNotFoundError: No module named 'not_there'",
        ),
        ("my_slip:Mine", r"'my_slip:Mine' failed; SyntaxError: .*\(my_slip.py, line 1\)$"),
        ("my_shop:Missing", r"module 'my_shop' has no class or function 'Missing'$"),
        ("my_shop:NUMBER", r"module 'my_shop' has no class or function 'NUMBER'$"),
        ("my_shop:make_nothing", r"made 'NoneType'; it needs a name and a method run_period"),
        ("my_shop:fail", r"'my_shop:fail' failed; ValueError: no plan \(my_shop.py, line 19\)$"),
    ],
)
def test_load_own__says_in_one_line_what_is_wrong(
    source: str, message: str, tiny: Scenario
) -> None:
    with pytest.raises(InputError, match=rf"^policy: .*{message}"):
        load_own(source, tiny)


def test_resolve_policies__refuses_two_policies_of_one_name(tiny: Scenario) -> None:
    with pytest.raises(InputError, match=r"^policy: two of them are called 'mine'; rename one$"):
        resolve_policies(["my_shop:Wrapped", "my_shop:Wrapped"], tiny, print)


def test_load_own__leaves_the_search_path_as_it_was(folder: Path, tiny: Scenario) -> None:
    import sys

    before = list(sys.path)
    load_own("my_shop:Wrapped", tiny)
    assert sys.path == before
