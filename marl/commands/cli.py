"""The command line: parse, call one function, say where the result is.

Heavy imports live inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from envs.errors import InputError
from marl.commands import planning
from marl.commands.console import check_installed, describe_missing, make_console, write_json
from marl.commands.runs import (
    fetch_run,
    load_training,
    open_storage,
    print_evaluation,
    run_training,
    search_settings,
    tune_rules,
)
from marl.errors import RunError

if TYPE_CHECKING:
    from envs.omnichannel.scenario import Scenario

# Typer brings its own copy of click or uses the installed one; this finds the right class.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]

app = typer.Typer(
    help="Multi-agent reinforcement learning for omni-channel inventory.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
scenario_app = typer.Typer(help="List, show and check scenarios.", no_args_is_help=True)
app.add_typer(scenario_app, name="scenario")

ScenarioOption = Annotated[
    str | None, typer.Option("--scenario", "-s", help="Built-in name or a YAML file.")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Override: a.b=value; may be repeated.")
]
EpisodesOption = Annotated[str | None, typer.Option(help="Stop at N episodes, or after +N more.")]
EnvStepsOption = Annotated[str | None, typer.Option(help="Stop at N env steps, or after +N more.")]
MinutesOption = Annotated[float | None, typer.Option(help="Stop after this many minutes.")]
AddressOption = Annotated[
    str | None, typer.Option(help="Ray cluster: auto or HOST:PORT. Default: this machine.")
]
StorageOption = Annotated[
    str | None, typer.Option(help="Copy the run there too: a folder, s3://..., gs://...")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")]
JsonOption = Annotated[
    Path | None, typer.Option("--json", help="Write the result as JSON; -: stdout.")
]


@app.command()
def train(
    scenario: ScenarioOption = None,
    config: Annotated[str | None, typer.Option(help="Built-in name or a YAML file.")] = None,
    overrides: SetOption = None,
    episodes: EpisodesOption = None,
    env_steps: EnvStepsOption = None,
    minutes: MinutesOption = None,
    run_dir: Annotated[Path | None, typer.Option(help="A new folder; default: runs/...")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random in the run.")] = None,
    address: AddressOption = None,
    storage: StorageOption = None,
    quiet: QuietOption = False,
) -> None:
    """Train the agents, evaluate them against tuned classical policies, checkpoint."""
    from marl.runs.folder import RunFolder

    check_installed("train")
    limits = (episodes, env_steps, minutes)
    loaded, checked = load_training(scenario, config, overrides, limits, seed)
    checked = tune_rules(loaded, checked, quiet=quiet)
    target = open_storage(storage, run_dir)
    run = RunFolder.create(run_dir, loaded, checked)
    copy = target.join(run.path.resolve().name) if target else None
    run_training(run, address, quiet=quiet, storage=copy)


@app.command()
def resume(
    run: Annotated[str, typer.Argument(help="A run folder, or the URI of a stored one.")],
    overrides: SetOption = None,
    episodes: EpisodesOption = None,
    env_steps: EnvStepsOption = None,
    minutes: MinutesOption = None,
    checkpoint: Annotated[
        str | None, typer.Option(help="Its name, as 000320; default: the latest.")
    ] = None,
    run_dir: Annotated[
        Path | None, typer.Option(help="Where a stored run goes; default: runs/NAME.")
    ] = None,
    address: AddressOption = None,
    storage: StorageOption = None,
    quiet: QuietOption = False,
) -> None:
    """Go on from a run's latest whole checkpoint, or from an older one."""
    from marl.runs.changes import check_resumable, make_stop_overrides
    from marl.runs.folder import RunFolder

    check_installed("train")
    path, copy = fetch_run(run, run_dir, storage)
    stored_run = RunFolder.open(path)
    found = stored_run.open_checkpoint(checkpoint)
    stored = stored_run.load_progress(found)
    limits = make_stop_overrides(
        episodes,
        env_steps,
        minutes,
        done_episodes=int(stored["episodes"]),
        done_env_steps=int(stored["env_steps"]),
        done_seconds=float(stored["progress"]["seconds"]),
    )
    opened = RunFolder.open(path, [*(overrides or []), *limits])
    check_resumable(stored_run.config, opened.config)
    opened.config.stop.check_open(
        stored["episodes"], stored["env_steps"], stored["progress"]["seconds"]
    )
    run_training(
        opened,
        address,
        quiet=quiet,
        storage=copy,
        checkpoint=found,
        before=stored_run.config,
    )


@app.command()
def evaluate(
    policies: Annotated[
        list[str],
        typer.Argument(
            help="Run folders, checkpoints, .npz files, policy names, baselines, MODULE:NAME."
        ),
    ],
    scenario: ScenarioOption = None,
    episodes: Annotated[int, typer.Option(min=2, help="Of each policy.")] = 256,
    seed: Annotated[int, typer.Option(min=0, help="Of the episodes.")] = 0,
    bound: Annotated[
        int, typer.Option(min=0, help="Episodes to solve for a bound on every policy.")
    ] = 0,
    json_file: JsonOption = None,
) -> None:
    """Compare policies on the same episodes, with 95% intervals."""
    from envs.omnichannel.scenario import load_scenario
    from marl.evaluation.evaluate import evaluate_policies
    from marl.evaluation.sources import find_scenario, resolve_policies

    console = make_console(json_file)
    chosen = load_scenario(scenario) if scenario else find_scenario(policies)
    found = resolve_policies(policies, chosen, console.print)
    evaluation = evaluate_policies(
        found, chosen, episodes, seed, bound_episodes=min(bound, episodes)
    )
    print_evaluation(console, evaluation, chosen)
    write_json(json_file, evaluation.to_json())


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    out: Annotated[Path | None, typer.Option(help="Default: report.html in the run.")] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
) -> None:
    """Write a run's report: one HTML file that works offline."""
    from marl.report.gather import write_report
    from marl.runs.folder import RunFolder

    path = write_report(RunFolder.open(run), out)
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
    if open_it:
        typer.launch(path.resolve().as_uri())


@app.command()
def tune(
    scenario: ScenarioOption = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Parameter vectors to try.")] = None,
    json_file: JsonOption = None,
) -> None:
    """Tune the classical policies on the simulator; the result is cached."""
    from envs.omnichannel.scenario import load_scenario
    from marl.evaluation.tuning import get_cache_dir, load_or_tune
    from marl.policies import list_families

    loaded = load_scenario(scenario or "paper")
    console = make_console(json_file)
    result: dict[str, Any] = {"scenario": loaded.name, "families": {}}
    for family in list_families(loaded):
        tuned = load_or_tune(family, loaded, trials=trials)
        result["families"][family] = {"reward": tuned.reward, "parameters": tuned.parameters}
        values = "  ".join(f"{name} {value:.3f}" for name, value in tuned.parameters.items())
        console.print(f"{family}: reward {tuned.reward:.4f}  {values}", soft_wrap=True)
    console.print(f"cached in {get_cache_dir()}", soft_wrap=True)
    write_json(json_file, result)


@app.command()
def search(
    space: Annotated[
        list[str] | None,
        typer.Option(help="a.b=uniform(0, 1), loguniform, randint, choice; or a .yaml; repeat."),
    ] = None,
    scenario: ScenarioOption = None,
    config: Annotated[str | None, typer.Option(help="Built-in name or a YAML file.")] = None,
    overrides: SetOption = None,
    scheduler: Annotated[
        Literal["asha", "pbt"], typer.Option(help="Stop poor trials, or mutate them.")
    ] = "asha",
    num_samples: Annotated[int, typer.Option(min=1, help="Trials.")] = 8,
    episodes: EpisodesOption = None,
    env_steps: EnvStepsOption = None,
    minutes: MinutesOption = None,
    run_dir: Annotated[Path | None, typer.Option(help="A new folder; default: runs/...")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random in the search.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with the search in a folder.")] = None,
    trust: Annotated[bool, typer.Option(help="The folder to resume comes from you.")] = False,
    address: AddressOption = None,
    quiet: QuietOption = False,
) -> None:
    """Search training settings with Ray Tune; the best is evaluated on fresh episodes."""
    from marl.training.search_space import check_space, parse_space

    if resume is not None:
        # Ray Tune keeps its state as pickle, which runs code when it is read.
        if not trust:
            raise InputError(
                f"--resume: '{resume}' is not allowed without --trust; Ray Tune's files in it "
                "(tune/*.pkl, tune/*.json) hold pickles, which can run any code; trust your own"
            )
        from marl.training.search import Search

        stored = Search.open(resume)
        search_settings(stored, address, quiet=quiet, resume=True)
        return
    limits = (episodes, env_steps, minutes)
    loaded, checked = load_training(scenario, config, overrides, limits, seed)
    dimensions = parse_space(space or [])
    check_space(dimensions, checked, mutable=scheduler == "pbt")
    checked = tune_rules(loaded, checked, quiet=quiet)
    # Ray takes seconds to import, which a mistake should not.
    from marl.runs.folder import RunFolder
    from marl.training.search import Search

    run = RunFolder.create(run_dir, loaded, checked)
    created = Search.create(run, scheduler, num_samples, dimensions)
    search_settings(created, address, quiet=quiet, resume=False)


@app.command()
def benchmark(
    quick: Annotated[bool, typer.Option(help="A tenth of the time, for a first look.")] = False,
    json_file: JsonOption = None,
) -> None:
    """Measure simulator, sampling, pool and learner; ratios of one run."""
    from marl.benchmark import make_table, run_benchmark

    console = make_console(json_file)
    rows = run_benchmark(quick=quick)
    console.print(make_table(rows))
    write_json(json_file, {"rows": [row.to_json() for row in rows]})


@scenario_app.command("list")
def list_() -> None:
    """Name the built-in scenarios."""
    from envs.omnichannel.scenario import list_scenarios, load_scenario

    names = list_scenarios()
    for name in names:
        print(f"{name:{max(map(len, names))}} {load_scenario(name).description}")


@scenario_app.command()
def show(scenario: Annotated[str, typer.Argument(help="Name or YAML file.")]) -> None:
    """Print a scenario with all its defaults filled in."""
    import yaml

    from envs.omnichannel.scenario import load_scenario

    data = load_scenario(scenario).model_dump(mode="json")
    print(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), end="")


@scenario_app.command()
def validate(scenario: Annotated[str, typer.Argument(help="Name or YAML file.")]) -> None:
    """Check a scenario; exit code 2 and one line if it is not valid."""
    from envs.omnichannel.scenario import load_scenario

    loaded = load_scenario(scenario)
    _check_simulation(loaded)
    network = loaded.network
    print(
        f"{loaded.name}: valid; {len(network.dcs)} DCs, {len(network.stores)} stores, "
        f"{len(loaded.skus)} SKUs, {loaded.horizon} periods"
    )


planning.register(app, scenario_app)


def main() -> None:
    """Runs the command line.

    A user's mistake is one line on stderr and exit code 2; a failed run one line and code 1.
    """
    try:
        status = app(standalone_mode=False)
    except InputError as error:
        _fail(str(error))
    except RunError as error:
        _fail(str(error), status=1)
    except UsageError as error:
        _fail(error.format_message())  # type: ignore[attr-defined]
    except ModuleNotFoundError as error:
        missing = describe_missing(error.name or "")
        if not missing:
            raise
        _fail(missing)
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str, status: int = 2) -> None:
    if message:  # without arguments, Typer has printed the help already
        print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(status)


def _check_simulation(scenario: Scenario) -> None:
    """Builds the simulator once, which checks what only the demand data can tell."""
    from envs.omnichannel.world.simulator import Simulator

    Simulator(scenario)


if __name__ == "__main__":
    main()
