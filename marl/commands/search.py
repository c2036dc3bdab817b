"""`search`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from envs.errors import InputError
from marl.commands.console import make_console, name_command
from marl.commands.evaluate import compare_best, print_evaluation
from marl.commands.options import (
    AddressOption,
    ConfigOption,
    EnvStepsOption,
    EpisodesOption,
    MinutesOption,
    QuietOption,
    RunDirOption,
    ScenarioOption,
    SetOption,
)
from marl.commands.prepare import load_training, tune_rules
from marl.training.stopping import compute_status_when_saved, forward_signals

if TYPE_CHECKING:
    from marl.training.search.plan import Search


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    app.command()(search)


def search(
    space: Annotated[
        list[str] | None,
        typer.Option(help="a.b=uniform(0, 1), loguniform, randint, choice; or a .yaml; repeat."),
    ] = None,
    scenario: ScenarioOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    scheduler: Annotated[
        Literal["asha", "pbt"], typer.Option(help="Stop poor trials, or mutate them.")
    ] = "asha",
    num_samples: Annotated[int, typer.Option(min=1, help="Trials.")] = 8,
    episodes: EpisodesOption = None,
    env_steps: EnvStepsOption = None,
    minutes: MinutesOption = None,
    run_dir: RunDirOption = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random in the search.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with the search in a folder.")] = None,
    trust: Annotated[bool, typer.Option(help="The folder to resume comes from you.")] = False,
    address: AddressOption = None,
    quiet: QuietOption = False,
) -> None:
    """Search training settings with Ray Tune; the best is evaluated on fresh episodes."""
    from marl.runs.folder import RunFolder
    from marl.runs.lock import lock_folder
    from marl.training.search.plan import Search
    from marl.training.search.space import check_space, parse_space

    if resume is not None:
        # Ray Tune keeps its state as pickle, which runs code when it is read.
        if not trust:
            raise InputError(
                f"--resume: '{resume}' is not allowed without --trust; Ray Tune's files in it "
                "(tune/*.pkl, tune/*.json) hold pickles, which can run any code; trust your own"
            )
        stored = Search.open(resume)
        lock_folder(resume)
        search_settings(stored, address, quiet=quiet, resume=True)
        return
    limits = (episodes, env_steps, minutes)
    loaded, checked = load_training(scenario, config, overrides, limits, seed)
    if checked.tracking.to:
        raise InputError("tracking.to: is not allowed in a search, whose trials come and go; []")
    dimensions = parse_space(space or [])
    check_space(dimensions, checked, mutable=scheduler == "pbt")
    checked = tune_rules(loaded, checked, quiet=quiet)
    run = RunFolder.create(run_dir, loaded, checked)
    lock_folder(run.path)
    created = Search.create(run, scheduler, num_samples, dimensions)
    search_settings(created, address, quiet=quiet, resume=False)


def search_settings(search: Search, address: str | None, *, quiet: bool, resume: bool) -> None:
    """Runs the trials, then evaluates the best one unless the user interrupted."""
    from marl.training.ray_start import start_ray
    from marl.training.search.results import is_finished, make_table, save_best, write_results
    from marl.training.search.tuner import run_search  # here, as it imports Ray

    console, path = make_console(), search.run.path
    if not quiet:
        console.print(f"search folder {path}", soft_wrap=True)
    start_ray(address, search.count_runners())
    with forward_signals() as received:
        results = run_search(search, resume=resume, quiet=quiet)
    console.print(make_table(search, results))
    if not is_finished(search, results):
        write_results(search, results)
        command = f"{name_command('omnichannel')} search --resume {path} --trust"
        console.print(f"interrupted. Go on with: {command}", soft_wrap=True)
        raise typer.Exit(compute_status_when_saved(received[0]) if received else 0)
    best = save_best(search, results)
    console.print(f"evaluating {results[0].name} on fresh episodes ...")
    evaluation = compare_best(best, console.print)
    print_evaluation(console, evaluation, best.scenario)
    write_results(search, results, evaluation.to_json())
    console.print(f"best run  {best.path}\nresults   {path / 'results.json'}", soft_wrap=True)
