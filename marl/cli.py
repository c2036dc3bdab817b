"""The command line: parse, call one function, say where the result is.

Heavy imports live inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from envs.errors import InputError
from marl.console import check_installed, describe_missing, make_console, write_json
from marl.errors import RunError
from marl.planning import commands

if TYPE_CHECKING:
    from rich.console import Console

    from envs.omnichannel.scenario import Scenario
    from marl.config import TrainConfig
    from marl.evaluation.evaluate import Evaluation
    from marl.run_folder import RunFolder
    from marl.search import Search
    from marl.storage import Storage

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
    from marl.run_folder import RunFolder

    check_installed("train")
    limits = (episodes, env_steps, minutes)
    loaded, checked = _load_training(scenario, config, overrides, limits, seed)
    if checked.method == "residual":
        checked = _tune_reference(loaded, checked, quiet=quiet)
    target = _open_storage(storage, run_dir)
    run = RunFolder.create(run_dir, loaded, checked)
    copy = target.join(run.path.resolve().name) if target else None
    _run_training(run, address, quiet=quiet, storage=copy)


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
    from marl.config import check_resumable, make_stop_overrides
    from marl.run_folder import RunFolder

    check_installed("train")
    path, copy = _fetch_run(run, run_dir, storage)
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
    _run_training(
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
    from marl.policy_sources import find_scenario, resolve_policies

    console = make_console(json_file)
    chosen = load_scenario(scenario) if scenario else find_scenario(policies)
    found = resolve_policies(policies, chosen, console.print)
    evaluation = evaluate_policies(
        found, chosen, episodes, seed, bound_episodes=min(bound, episodes)
    )
    _print_evaluation(console, evaluation, chosen)
    write_json(json_file, evaluation.to_json())


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    out: Annotated[Path | None, typer.Option(help="Default: report.html in the run.")] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
) -> None:
    """Write a run's report: one HTML file that works offline."""
    from marl.run_folder import RunFolder
    from marl.run_report import write_report

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
    from marl.search_space import check_space, parse_space

    if resume is not None:
        # Ray Tune keeps its state as pickle, which runs code when it is read.
        if not trust:
            raise InputError(
                f"--resume: '{resume}' is not allowed without --trust; Ray Tune's files in it "
                "(tune/*.pkl, tune/*.json) hold pickles, which can run any code; trust your own"
            )
        from marl.search import Search

        stored = Search.open(resume)
        _run_search(stored, address, quiet=quiet, resume=True)
        return
    limits = (episodes, env_steps, minutes)
    loaded, checked = _load_training(scenario, config, overrides, limits, seed)
    dimensions = parse_space(space or [])
    check_space(dimensions, checked, mutable=scheduler == "pbt")
    if checked.method == "residual":
        checked = _tune_reference(loaded, checked, quiet=quiet)
    # Ray takes seconds to import, which a mistake should not.
    from marl.run_folder import RunFolder
    from marl.search import Search

    run = RunFolder.create(run_dir, loaded, checked)
    created = Search.create(run, scheduler, num_samples, dimensions)
    _run_search(created, address, quiet=quiet, resume=False)


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


@scenario_app.command("from-data")
def from_data(
    demand: Annotated[Path, typer.Option(help="CSV: date, store, sku, units, [channel ...].")],
    out: Annotated[Path, typer.Option(help="The scenario to write, a .yaml file.")],
    returns: Annotated[
        Path | None, typer.Option(help="CSV: date, store, sku, units, [sale_date].")
    ] = None,
    skus: Annotated[
        Path | None, typer.Option(help="CSV: sku, [category, price, unit_cost ...].")
    ] = None,
    nodes: Annotated[
        Path | None, typer.Option(help="CSV: node, kind (dc or store), [parent, capacity].")
    ] = None,
    lanes: Annotated[
        Path | None, typer.Option(help="CSV: from, to, [distance, lead_time, cost].")
    ] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Cure what can be cured, and say so.")] = False,
    held_back: Annotated[
        str | None, typer.Option(help="'30 days' or the first held-back date. Default: a fifth.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace --out where it exists.")] = False,
    json_file: JsonOption = None,
) -> None:
    """Make a scenario of your own CSV files: see docs/your-data.md."""
    from marl.planning.data_in.report import list_assumptions, list_fixes, make_summary_table
    from marl.planning.from_data import Sources, make_scenario

    console = make_console(json_file)
    sources = Sources(demand, returns, skus, nodes, lanes)
    made = make_scenario(sources, out, fix=fix, held_back=held_back, force=force)
    console.print(make_summary_table(made.summary))
    for line in (*list_fixes(made.fixed), *list_assumptions(made.sections)):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"{made.train_days} days to train on; {made.held_back_days} held back, from "
        f"{made.first_held_back} on\nwrote {made.out} and {made.trace}\n"
        f"next: {_name_command('omnichannel')} train --scenario {made.out}",
        highlight=False,
        soft_wrap=True,
    )
    write_json(json_file, made.to_json())


commands.register(app, scenario_app)


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


def _tune_reference(scenario: Scenario, config: TrainConfig, *, quiet: bool) -> TrainConfig:
    """Fills in the tuned parameters of the rule that residual agents depart from."""
    from marl.evaluation.tuning import load_or_tune
    from marl.learning.counterfactual.policy import make_reference

    residual = config.residual
    make_reference(scenario, residual)  # says what is wrong before anything takes time
    if residual.parameters is not None:
        return config
    if not quiet:
        typer.echo(f"tuning {residual.reference}, unless the cache has it ...", err=True)
    tuned = load_or_tune(residual.reference, scenario)
    found = residual.model_copy(update={"parameters": tuned.parameters})
    return config.model_copy(update={"residual": found})


def _load_training(
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
    from marl.config import list_configs, load_config, make_stop_overrides
    from marl.learning.experience_pool import check_pool_fits
    from marl.policies import check_baseline

    loaded = load_scenario(scenario or "paper")
    if config is None:
        config = loaded.name if loaded.name in list_configs() else "default"
    settings = [*(overrides or []), *make_stop_overrides(*limits)]
    if seed is not None:
        settings.append(f"seed={seed}")
    checked = load_config(config, settings)
    for baseline in checked.evaluation.baselines:
        check_baseline(baseline)
    check_pool_fits(loaded, checked)
    return loaded, checked


def _run_search(search: Search, address: str | None, *, quiet: bool, resume: bool) -> None:
    """Runs the trials, then evaluates the best one unless the user interrupted."""
    from marl.search import is_finished, make_table, run_search, save_best, write_results
    from marl.training import start_ray

    console, path = make_console(), search.run.path
    if not quiet:
        console.print(f"search folder {path}", soft_wrap=True)
    start_ray(address, search.count_runners())
    results = run_search(search, resume=resume, quiet=quiet)
    console.print(make_table(search, results))
    if not is_finished(search, results):
        write_results(search, results)
        command = f"{_name_command('omnichannel')} search --resume {path} --trust"
        console.print(f"interrupted. Go on with: {command}", soft_wrap=True)
        return
    best = save_best(search, results)
    console.print(f"evaluating {results[0].name} on fresh episodes ...")
    evaluation = _compare_best(best, console.print)
    _print_evaluation(console, evaluation, best.scenario)
    write_results(search, results, evaluation.to_json())
    console.print(f"best run  {best.path}\nresults   {path / 'results.json'}", soft_wrap=True)


def _run_training(
    run: RunFolder,
    address: str | None,
    *,
    quiet: bool,
    storage: Storage | None = None,
    checkpoint: Path | None = None,
    before: TrainConfig | None = None,
) -> None:
    """Trains, then evaluates unless the user interrupted.

    Args:
        run: the run folder.
        address: of the Ray cluster.
        quiet: whether to print the result only.
        storage: where the run is copied to.
        checkpoint: what to go on from.
        before: the configuration that the checkpoint was trained with.
    """
    from marl.config import describe_changes
    from marl.progress import TrainingProgress
    from marl.training import Trainer, start_ray

    console = make_console()
    view = TrainingProgress(console, quiet=quiet)
    view.say(f"run folder {run.path}")
    for line in describe_changes(before, run.config) if before else ():
        view.say(line)
    start_ray(address, run.config.env_runners.num_env_runners)
    trainer = Trainer(run, view, _make_upload(run, storage, view.say))
    try:
        if checkpoint:
            trainer.restore(checkpoint)
        view.say(trainer.describe(resumed=checkpoint is not None))
        interrupted = trainer.train()
    finally:
        trainer.close()
    if interrupted:
        resume_command = f"{_name_command('omnichannel')} resume {run.path}"
        if storage:
            storage.upload(run.path)
            resume_command += f", or resume {storage.uri}"
        view.say(f"interrupted; checkpoint saved. Go on with: {resume_command}")
        return
    _finish_run(run, console, view)
    if storage:
        storage.upload(run.path)
        view.say(f"stored           {storage.uri}")


def _open_storage(uri: str | None, run_dir: Path | None) -> Storage | None:
    """Opens the storage of new runs after trying to write there."""
    from marl.storage import Storage

    if uri is None:
        return None
    storage = Storage.open(uri)
    storage.check_writable()
    if run_dir is not None:
        storage.join(run_dir.resolve().name).check_new()
    return storage


def _fetch_run(
    run: str, run_dir: Path | None, storage_uri: str | None
) -> tuple[Path, Storage | None]:
    """Returns a run's folder, and where it is copied to; a stored run is downloaded first."""
    from marl.storage import Storage

    if "://" not in run:
        if run_dir is not None:
            raise InputError(f"--run-dir: '{run_dir}' is not allowed; '{run}' is a folder already")
        target = _open_storage(storage_uri, None)
        return Path(run), target.join(Path(run).resolve().name) if target else None
    if storage_uri is not None:
        raise InputError("--storage: not allowed; a stored run is copied to where it came from")
    storage = Storage.open(run)
    folder = run_dir or Path("runs") / storage.path.rpartition("/")[2]
    storage.download(folder)
    return folder, storage


def _make_upload(
    run: RunFolder, storage: Storage | None, say: Callable[[str], object]
) -> Callable[[], None] | None:
    """What follows a checkpoint; a storage that fails for a while does not stop the run."""
    if storage is None:
        return None

    def upload() -> None:
        try:
            storage.upload(run.path)
        except RunError as error:
            say(f"warning: {error}; the next checkpoint tries again")

    return upload


def _finish_run(run: RunFolder, console: Console, view: Any) -> None:
    """The final comparison on fresh episodes, and what to do next."""
    from marl.run_report import write_report

    view.say(f"evaluating on {run.config.evaluation.test_episodes} fresh episodes ...")
    evaluation = _compare_best(run, view.say)
    _print_evaluation(console, evaluation, run.scenario)
    write_json(run.path / "evaluation.json", evaluation.to_json())
    report_file = write_report(run)
    view.say(
        f"best checkpoint  {run.find_checkpoint('best')}\n"
        f"report           {report_file}\n"
        f"look             {_name_command('tensorboard')} --logdir {run.path}\n"
        f"go on            {_name_command('omnichannel')} resume {run.path} --episodes +500\n"
        f"compare          {_name_command('omnichannel')} evaluate {run.path} baselines"
    )


def _compare_best(run: RunFolder, say: Callable[[str], object]) -> Evaluation:
    """Compares the best checkpoint with the baselines on episodes that nothing else has seen."""
    from marl.evaluation.evaluate import evaluate_policies
    from marl.policy_sources import load_learned, load_untrained, make_baselines

    settings = run.config.evaluation
    policies = make_baselines(list(settings.baselines), run.scenario, say)
    policies |= load_untrained(run)
    policies["trained"] = load_learned(run.find_checkpoint("best"), "trained", run.scenario)
    return evaluate_policies(policies, run.scenario, settings.test_episodes, run.config.seed)


def _name_command(name: str) -> str:
    """How this shell can call a command of the environment we run in."""
    if shutil.which(name):
        return name
    path = Path(sys.executable).with_name(name)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _print_evaluation(console: Console, evaluation: Evaluation, scenario: Scenario) -> None:
    from marl.evaluation.evaluate import make_paired_table, make_tables

    for table in make_tables(evaluation):
        console.print(table)
    if evaluation.paired:
        console.print(make_paired_table(evaluation))
    if scenario.caveat:
        console.print(scenario.caveat, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
