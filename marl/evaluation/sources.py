"""Sources of policies: classical ones, run folders, checkpoints, .npz files, a user's module.

torch is imported where a learnt policy is read, so that classical ones compare without it.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from envs.errors import InputError
from envs.omnichannel.scenario import Scenario, load_scenario
from marl.config import BEST
from marl.evaluation.bounds.optimum import OPTIMUM, Optimum
from marl.evaluation.choice import choose_rule
from marl.evaluation.evaluate import UNTRAINED
from marl.evaluation.tuning import Search, make_baseline
from marl.policies import BASELINES, FAMILIES, list_families
from marl.policies.base import Policy
from marl.policies.families import Textbook
from marl.runs.folder import POLICY_FILE, RunFolder

Say = Callable[[str], object]


def make_baselines(
    names: list[str],
    scenario: Scenario,
    say: Say,
    should_stop: Callable[[], bool] | None = None,
) -> dict[str, Policy]:
    """Returns classical policies by name, tuned if they have parameters.

    Args:
        names: of `BASELINES`.
        scenario: what they are tuned for.
        say: told what takes time.
        should_stop: whether to cut a search, and to take what it has found so far.
    """
    found: dict[str, Policy] = {}
    search: Search = {"say": say, "should_stop": should_stop}
    families = [name for name in names if name in FAMILIES]
    for name in names:
        if name in families:
            search["place"] = f"{families.index(name) + 1} of {len(families)}"
            say(f"tuning {name} ({search['place']}), unless the cache has it ...")
        found[name] = make_baseline(name, scenario, **search)
    return found


def make_best(scenario: Scenario, say: Say) -> dict[str, Policy]:
    """Returns the rule that is chosen on the training days alone, and its textbook rival.

    Args as of `make_baselines`.
    """
    rule = choose_rule(scenario, say)
    say(f"{BEST}: {rule.family}")
    return {BEST: rule.make(scenario)} | make_baselines([Textbook.name], scenario, say)


def load_untrained(run: RunFolder) -> dict[str, Policy]:
    """Returns the run's networks as they were before the first update."""
    from marl.learning.methods import make_method

    return {UNTRAINED: make_method(run.scenario, run.config).make_untrained()}


def load_learned(path: Path, name: str, scenario: Scenario) -> Policy:
    """Returns the policy of a checkpoint folder or .npz file.

    Raises:
        InputError: if it cannot be read or does not fit the scenario.
    """
    from marl.learning.methods import load_policy

    return load_policy(path if path.suffix == ".npz" else path / POLICY_FILE, scenario, name)


def load_own(source: str, scenario: Scenario) -> Policy:
    """Returns a user's policy: `MODULE:NAME` is called with the scenario and makes it.

    The module is looked for in the working directory, then among installed ones.

    Args:
        source: such as `my_module:MyPolicy`.
        scenario: what the policy is to run.

    Raises:
        InputError: if there is no such module or name, if its code fails, or if what it makes is
            not a `marl.policies.base.Policy`.
    """
    module_name, _, attribute = source.partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), attribute)):
        raise InputError(
            f"policy: {source!r} is not allowed; write MODULE:NAME, as in my_module:Mine"
        )
    sys.path.insert(0, str(Path.cwd()))
    try:
        with _blame(source):
            module = importlib.import_module(module_name)
    finally:
        sys.path.remove(str(Path.cwd()))
    make = getattr(module, attribute, None)
    if not callable(make):
        raise InputError(
            f"policy: {source!r} is not known; module {module_name!r} has no class or function "
            f"{attribute!r}"
        )
    with _blame(source):
        policy: Policy = make(scenario)
    if not isinstance(getattr(policy, "name", None), str) or not hasattr(policy, "run_period"):
        raise InputError(
            f"policy: {source!r} made {type(policy).__name__!r}; it needs a name and a method "
            "run_period(env)"
        )
    return policy


@contextmanager
def _blame(source: str) -> Iterator[None]:
    """Turns what a user's code raises into one line that says where."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f" ({Path(place.filename).name}, line {place.lineno})"
        if isinstance(error, SyntaxError | ModuleNotFoundError):
            where = ""  # one names its own line, the other's is that of the import system
        raise InputError(
            f"policy: {source!r} failed; {type(error).__name__}: {error}{where}"
        ) from error


def resolve_policies(names: list[str], scenario: Scenario, say: Say) -> dict[str, Policy]:
    """Returns policies by the name to report, from names and paths in any order.

    Args:
        names: classical policies, `baselines` for all of them, `best` for the one that is chosen
            on the training days, `optimum`, run folders (their best checkpoint), checkpoints, .npz
            files, `MODULE:NAME` of a policy of one's own.
        scenario: what they are to run.
        say: told what takes time.

    Raises:
        InputError: if one is not known, not whole or does not fit the scenario.
    """
    found: dict[str, Policy] = {}
    for name in names:
        path = Path(name)
        label = path.resolve().name
        if name == "baselines":
            found |= make_baselines(["before", *list_families(scenario)], scenario, say)
        elif name == BEST:
            found |= make_best(scenario, say)
        elif name in BASELINES:
            found |= make_baselines([name], scenario, say)
        elif name == OPTIMUM:
            say("solving for the optimum ...")
            found[name] = Optimum(scenario)
        elif (path / POLICY_FILE).is_file() or path.suffix == ".npz":
            found[label] = load_learned(path, label, scenario)
        elif ":" in name and not path.exists():
            own = load_own(name, scenario)
            if own.name in found:
                raise InputError(f"policy: two of them are called {own.name!r}; rename one")
            found[own.name] = own
        elif path.is_dir():
            checkpoint = RunFolder.open(path).find_checkpoint("best")
            found[label] = load_learned(checkpoint, label, scenario)
        else:
            raise InputError(
                f"policy: {name!r} is not known; allowed: baselines, {BEST}, "
                f"{', '.join(BASELINES)}, {OPTIMUM} (of the lost-sales system), "
                "the path of a run folder, a checkpoint or a .npz policy, or MODULE:NAME"
            )
    return found


def find_scenario(names: list[str]) -> Scenario:
    """Returns the scenario of the first run folder or checkpoint named, else `paper`."""
    for name in names:
        for folder in (Path(name), *Path(name).parents[:2]):
            if (folder / "scenario.yaml").is_file() and str(folder) != ".":
                return load_scenario(folder / "scenario.yaml")
    return load_scenario("paper")
