"""The settings of a new or a resumed run: read, checked and completed before it starts."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from envs.errors import InputError

if TYPE_CHECKING:
    from envs.omnichannel.scenario import Scenario
    from marl.config import Residual, TrainConfig
    from marl.policies.tuned import TunedRule
    from marl.runs.storage import Storage


ROUND_CELLS = 100  # stores times SKUs; with more of them the rounds of `residual` are smaller


def load_training(
    scenario: str | None,
    config: str | None,
    overrides: list[str] | None,
    limits: tuple[str | None, str | None, float | None],
    seed: int | None,
) -> tuple[Scenario, TrainConfig]:
    """Reads and checks what a new run is asked for.

    Args:
        scenario: name or file; None: `paper`.
        config: name or file; None: the scenario's own if there is one.
        overrides: of the configuration.
        limits: episodes, env steps and minutes as given on the command line.
        seed: of everything random.
    """
    from envs.omnichannel.scenario import load_scenario
    from marl.config import list_configs, load_config
    from marl.learning.pool.size import check_pool_fits
    from marl.policies import check_baseline
    from marl.runs.changes import make_stop_overrides

    loaded = load_scenario(scenario or "paper")
    if config is None:
        config = loaded.name if loaded.name in list_configs() else "default"
    settings = [*(overrides or []), *make_stop_overrides(*limits)]
    if seed is not None:
        settings.append(f"seed={seed}")
    checked = load_config(config, settings)
    if config in list_configs() and checked.method == "residual":
        checked = load_config(config, [*_shrink_round(loaded, checked), *settings])
    for baseline in checked.evaluation.baselines:
        check_baseline(baseline)
    check_pool_fits(loaded, checked)
    if checked.method == "orders":
        from marl.policies.order_groups import make_groups

        make_groups(
            loaded, checked.orders.largest_order
        )  # says what is wrong before anything takes time
    return loaded, checked


def _shrink_round(scenario: Scenario, config: TrainConfig) -> list[str]:
    """Returns overrides of a built-in configuration that shorten its rounds in a large scenario.

    Episodes and labelled states shrink alike, so that every label is learnt from as often.
    """
    share = min(1.0, ROUND_CELLS / (len(scenario.network.stores) * len(scenario.skus)))
    copies, states = config.env_runners.num_envs_per_env_runner, config.residual.states
    if share == 1:
        return []
    return [
        f"env_runners.num_envs_per_env_runner={max(1, round(share * copies))}",
        f"residual.states={max(1, round(share * states))}",
    ]


def limit_tuning(
    config: TrainConfig, started: float, done_seconds: float = 0.0
) -> Callable[[], bool]:
    """Returns whether to cut the tuning of rules: it may take half of the minutes that are left.

    Args:
        config: with the limit.
        started: when the command began, on the clock of `time.monotonic`.
        done_seconds: that the run has trained before.
    """
    minutes = config.stop.minutes
    if minutes is None:
        return lambda: False
    end = started + (60 * minutes - done_seconds) / 2
    return lambda: time.monotonic() > end


def tune_baselines(
    scenario: Scenario, config: TrainConfig, *, quiet: bool, should_stop: Callable[[], bool]
) -> None:
    """Tunes what a run with a limit in minutes is compared with, within the limit."""
    from marl.evaluation.sources import make_baselines

    if config.stop.minutes is not None:
        make_baselines(list(config.evaluation.baselines), scenario, _choose_say(quiet), should_stop)


def _choose_say(quiet: bool) -> Callable[[str], object]:
    return (lambda _: None) if quiet else partial(typer.echo, err=True)


def tune_rules(
    scenario: Scenario,
    config: TrainConfig,
    *,
    quiet: bool,
    should_stop: Callable[[], bool] | None = None,
) -> TrainConfig:
    """Fills in the tuned parameters of the rule that residual agents depart from."""
    if config.method != "residual":
        return config
    residual = _complete_residual(scenario, config, quiet, should_stop)
    return config.model_copy(update={"residual": residual})


def _complete_residual(
    scenario: Scenario, config: TrainConfig, quiet: bool, should_stop: Callable[[], bool] | None
) -> Residual:
    """Finds the choices that the scenario has, the rule to depart from, and its parameters.

    What is wrong is said before anything takes time.
    """
    from marl.config import BEST
    from marl.policies import list_families, list_running
    from marl.policies.residual import check_residual, list_choices

    residual = config.residual
    if not residual.choices:
        residual = residual.model_copy(update={"choices": list_choices(scenario)})
    families = [residual.reference]
    if residual.reference == BEST:
        known = list_families(scenario)
        own = [name for name in config.evaluation.baselines if name in known]
        families = list(dict.fromkeys([*list_running(scenario), *own]))
        if not families:
            raise InputError(
                f"residual.reference: {BEST} is not allowed, since no family is among "
                f"evaluation.baselines; for scenario {scenario.name} there are {', '.join(known)}"
            )
    for name in families:
        check_residual(scenario, residual.model_copy(update={"reference": name}))
    if residual.parameters is None:
        tuned = [
            _tune(name, f"{i} of {len(families)}", scenario, quiet, should_stop)
            for i, name in enumerate(families, 1)
        ]
        best = max(tuned, key=lambda rule: rule.reward)
        found = {"reference": best.family, "parameters": best.parameters}
        residual = residual.model_copy(update=found)
    return residual


def _tune(
    family: str,
    place: str,
    scenario: Scenario,
    quiet: bool,
    should_stop: Callable[[], bool] | None,
) -> TunedRule:
    from marl.evaluation.tuning import load_or_tune

    say = _choose_say(quiet)
    say(f"tuning {family} ({place}), unless the cache has it ...")
    return load_or_tune(family, scenario, say=say, should_stop=should_stop, place=place)


def open_storage(uri: str | None, run_dir: Path | None) -> Storage | None:
    """Opens the storage of new runs after trying to write there."""
    from marl.runs.storage import Storage

    if uri is None:
        return None
    storage = Storage.open(uri)
    storage.check_writable()
    if run_dir is not None:
        storage.join(run_dir.resolve().name).check_new()
    return storage


def fetch_run(
    run: str, run_dir: Path | None, storage_uri: str | None
) -> tuple[Path, Storage | None]:
    """Returns a run's folder, and where it is copied to; a stored run is downloaded first."""
    from marl.runs.storage import Storage

    if "://" not in run:
        if run_dir is not None:
            raise InputError(f"--run-dir: '{run_dir}' is not allowed; '{run}' is a folder already")
        target = open_storage(storage_uri, None)
        return Path(run), target.join(Path(run).resolve().name) if target else None
    if storage_uri is not None:
        raise InputError("--storage: not allowed; a stored run is copied to where it came from")
    storage = Storage.open(run)
    folder = run_dir or Path("runs") / storage.path.rpartition("/")[2]
    storage.download(folder)
    return folder, storage
