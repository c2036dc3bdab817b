"""The command line: parse, call one function, say where the result is.

Heavy imports live inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from envs.errors import InputError
from marl.errors import RunError

if TYPE_CHECKING:
    from rich.console import Console

    from envs.omnichannel.scenario import Scenario
    from marl.config import TrainConfig
    from marl.evaluation.evaluate import Evaluation
    from marl.run_folder import RunFolder

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
    quiet: QuietOption = False,
) -> None:
    """Train the agents, evaluate them against tuned classical policies, checkpoint."""
    from envs.omnichannel.scenario import load_scenario
    from marl.config import list_configs, load_config, make_stop_overrides
    from marl.learning.experience_pool import check_pool_fits
    from marl.policies import check_baseline
    from marl.run_folder import RunFolder

    loaded = load_scenario(scenario or "paper")
    if config is None:
        config = loaded.name if loaded.name in list_configs() else "default"
    settings = list(overrides or [])
    settings += make_stop_overrides(episodes, env_steps, minutes)
    if seed is not None:
        settings.append(f"seed={seed}")
    checked = load_config(config, settings)
    for baseline in checked.evaluation.baselines:
        check_baseline(baseline)
    check_pool_fits(loaded, checked)
    if checked.method == "residual":
        checked = _tune_reference(loaded, checked, quiet=quiet)
    run = RunFolder.create(run_dir, loaded, checked)
    _run_training(run, address, quiet=quiet)


@app.command()
def resume(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    overrides: SetOption = None,
    episodes: EpisodesOption = None,
    env_steps: EnvStepsOption = None,
    minutes: MinutesOption = None,
    checkpoint: Annotated[
        str | None, typer.Option(help="Its name, as 000320; default: the latest.")
    ] = None,
    address: AddressOption = None,
    quiet: QuietOption = False,
) -> None:
    """Go on from a run's latest whole checkpoint, or from an older one."""
    from marl.config import check_resumable, make_stop_overrides
    from marl.run_folder import RunFolder

    stored_run = RunFolder.open(run)
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
    opened = RunFolder.open(run, [*(overrides or []), *limits])
    check_resumable(stored_run.config, opened.config)
    opened.config.stop.check_open(
        stored["episodes"], stored["env_steps"], stored["progress"]["seconds"]
    )
    _run_training(opened, address, quiet=quiet, checkpoint=found, before=stored_run.config)


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

    console = _make_console(json_file)
    chosen = load_scenario(scenario) if scenario else find_scenario(policies)
    found = resolve_policies(policies, chosen, console.print)
    evaluation = evaluate_policies(
        found, chosen, episodes, seed, bound_episodes=min(bound, episodes)
    )
    _print_evaluation(console, evaluation, chosen)
    _write_json(json_file, evaluation.to_json())


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
    console = _make_console(json_file)
    result: dict[str, Any] = {"scenario": loaded.name, "families": {}}
    for family in list_families(loaded):
        tuned = load_or_tune(family, loaded, trials=trials)
        result["families"][family] = {"reward": tuned.reward, "parameters": tuned.parameters}
        values = "  ".join(f"{name} {value:.3f}" for name, value in tuned.parameters.items())
        console.print(f"{family}: reward {tuned.reward:.4f}  {values}", soft_wrap=True)
    console.print(f"cached in {get_cache_dir()}", soft_wrap=True)
    _write_json(json_file, result)


@app.command()
def benchmark(
    quick: Annotated[bool, typer.Option(help="A tenth of the time, for a first look.")] = False,
    json_file: JsonOption = None,
) -> None:
    """Measure simulator, sampling, pool and learner; ratios of one run."""
    from marl.benchmark import make_table, run_benchmark

    console = _make_console(json_file)
    rows = run_benchmark(quick=quick)
    console.print(make_table(rows))
    _write_json(json_file, {"rows": [row.to_json() for row in rows]})


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
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str, status: int = 2) -> None:
    if message:  # without arguments, Typer has printed the help already
        print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(status)


def _make_console(json_file: Path | None = None) -> Console:
    """A console on stdout, or on stderr where stdout belongs to the JSON."""
    from rich.console import Console

    to_stderr = json_file is not None and str(json_file) == "-"
    console = Console(stderr=to_stderr)
    # Where nobody watches, tables keep their natural width instead of 80 columns.
    return console if console.is_terminal else Console(stderr=to_stderr, width=140)


def _write_json(json_file: Path | None, data: dict[str, Any]) -> None:
    from marl.run_folder import write_text

    if json_file is None:
        return
    text = json.dumps(data, indent=2)
    if str(json_file) == "-":
        print(text)
        return
    try:
        write_text(json_file, text)
    except OSError as error:
        raise InputError(f"--json: '{json_file}' cannot be written ({error.strerror})") from None


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


def _run_training(
    run: RunFolder,
    address: str | None,
    *,
    quiet: bool,
    checkpoint: Path | None = None,
    before: TrainConfig | None = None,
) -> None:
    """Trains, then evaluates unless the user interrupted.

    Args:
        run: the run folder.
        address: of the Ray cluster.
        quiet: whether to print the result only.
        checkpoint: what to go on from.
        before: the configuration that the checkpoint was trained with.
    """
    from marl.config import describe_changes
    from marl.progress import TrainingProgress
    from marl.training import Trainer, start_ray

    console = _make_console()
    view = TrainingProgress(console, quiet=quiet)
    view.say(f"run folder {run.path}")
    for line in describe_changes(before, run.config) if before else ():
        view.say(line)
    start_ray(address, run.config.env_runners.num_env_runners)
    trainer = Trainer(run, view)
    try:
        if checkpoint:
            trainer.restore(checkpoint)
        view.say(trainer.describe(resumed=checkpoint is not None))
        interrupted = trainer.train()
    finally:
        trainer.close()
    if interrupted:
        resume_command = f"{_name_command('omnichannel')} resume {run.path}"
        view.say(f"interrupted; checkpoint saved. Go on with: {resume_command}")
        return
    _finish_run(run, console, view)


def _finish_run(run: RunFolder, console: Console, view: Any) -> None:
    """The final comparison on fresh episodes, and what to do next."""
    from marl.evaluation.evaluate import evaluate_policies
    from marl.policy_sources import load_learned, load_untrained, make_baselines
    from marl.run_report import write_report

    settings = run.config.evaluation
    policies = make_baselines(list(settings.baselines), run.scenario, view.say)
    policies |= load_untrained(run)
    policies["trained"] = load_learned(run.find_checkpoint("best"), "trained", run.scenario)
    view.say(f"evaluating on {settings.test_episodes} fresh episodes ...")
    evaluation = evaluate_policies(policies, run.scenario, settings.test_episodes, run.config.seed)
    _print_evaluation(console, evaluation, run.scenario)
    _write_json(run.path / "evaluation.json", evaluation.to_json())
    report_file = write_report(run)
    view.say(
        f"best checkpoint  {run.find_checkpoint('best')}\n"
        f"report           {report_file}\n"
        f"look             {_name_command('tensorboard')} --logdir {run.path}\n"
        f"go on            {_name_command('omnichannel')} resume {run.path} --episodes +500\n"
        f"compare          {_name_command('omnichannel')} evaluate {run.path} baselines"
    )


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
