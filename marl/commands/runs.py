"""What `train`, `resume` and `search` do once their arguments are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from envs.errors import InputError
from marl.commands.console import make_console, name_command, write_json
from marl.errors import RunError

if TYPE_CHECKING:
    from rich.console import Console

    from envs.omnichannel.scenario import Scenario
    from marl.config import Residual, TrainConfig
    from marl.evaluation.evaluate import Evaluation
    from marl.evaluation.tuning import TunedParameters
    from marl.runs.folder import RunFolder
    from marl.runs.storage import Storage
    from marl.training.search import Search


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
    from marl.learning.pool_shape import check_pool_fits
    from marl.policies import check_baseline
    from marl.runs.changes import make_stop_overrides

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
    if checked.method == "counterfactual":
        from marl.learning.orders.agents import make_groups

        make_groups(loaded, checked.orders)  # says what is wrong before anything takes time
    return loaded, checked


def tune_rules(scenario: Scenario, config: TrainConfig, *, quiet: bool) -> TrainConfig:
    """Fills in the tuned parameters of the classical rules that training needs.

    They are the rule that residual agents depart from, and the control variate.
    """
    from marl.policies import FAMILIES, make_policy

    variate = config.learner.control_variate
    if config.method == "residual":
        residual = _complete_residual(scenario, config, quiet=quiet)
        config = config.model_copy(update={"residual": residual})
    if variate is not None:
        try:
            make_policy(variate.policy, scenario, variate.parameters)
        except InputError as error:
            raise InputError(f"learner.control_variate.{error}") from None
        if variate.parameters is None and variate.policy in FAMILIES:
            tuned = _tune(variate.policy, scenario, quiet=quiet)
            filled = variate.model_copy(update={"parameters": tuned.parameters})
            learner = config.learner.model_copy(update={"control_variate": filled})
            config = config.model_copy(update={"learner": learner})
    return config


def _complete_residual(scenario: Scenario, config: TrainConfig, *, quiet: bool) -> Residual:
    """Finds the choices that the scenario has, the rule to depart from, and its parameters.

    What is wrong is said before anything takes time.
    """
    from marl.config import BEST
    from marl.policies import list_families
    from marl.policies.residual import check_residual, list_choices

    residual = config.residual
    if not residual.choices:
        residual = residual.model_copy(update={"choices": list_choices(scenario)})
    families = [residual.reference]
    if residual.reference == BEST:
        known = list_families(scenario)
        families = [name for name in config.evaluation.baselines if name in known]
        if not families:
            raise InputError(
                f"residual.reference: {BEST} is not allowed, since no family is among "
                f"evaluation.baselines; for scenario {scenario.name} there are {', '.join(known)}"
            )
    for name in families:
        check_residual(scenario, residual.model_copy(update={"reference": name}))
    if residual.parameters is None:
        tuned = {name: _tune(name, scenario, quiet=quiet) for name in families}
        best = max(families, key=lambda name: tuned[name].reward)
        found = {"reference": best, "parameters": tuned[best].parameters}
        residual = residual.model_copy(update=found)
    return residual


def _tune(family: str, scenario: Scenario, *, quiet: bool) -> TunedParameters:
    from marl.evaluation.tuning import load_or_tune

    if not quiet:
        typer.echo(f"tuning {family}, unless the cache has it ...", err=True)
    return load_or_tune(family, scenario)


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


def run_training(
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
    from marl.runs.changes import describe_changes
    from marl.training.progress import TrainingProgress
    from marl.training.ray_start import prepare_training

    console = make_console()
    view = TrainingProgress(console, quiet=quiet)
    view.say(f"run folder {run.path}")
    for line in describe_changes(before, run.config) if before else ():
        view.say(line)
    prepare_training(address, run.config.env_runners.num_env_runners)
    from marl.training.trainer import Trainer  # here, as Ray starts while it is imported

    trainer = Trainer(run, view, _make_upload(run, storage, view.say))
    try:
        if checkpoint:
            trainer.restore(checkpoint)
        view.say(trainer.describe(resumed=checkpoint is not None))
        interrupted = trainer.train()
    finally:
        trainer.close()
    if interrupted:
        resume_command = f"{name_command('omnichannel')} resume {run.path}"
        if storage:
            storage.upload(run.path)
            resume_command += f", or resume {storage.uri}"
        view.say(f"interrupted; checkpoint saved. Go on with: {resume_command}")
        return
    _finish_run(run, console, view)
    if storage:
        storage.upload(run.path)
        view.say(f"stored           {storage.uri}")


def search_settings(search: Search, address: str | None, *, quiet: bool, resume: bool) -> None:
    """Runs the trials, then evaluates the best one unless the user interrupted."""
    from marl.training.ray_start import start_ray
    from marl.training.search import is_finished, make_table, run_search, save_best, write_results

    console, path = make_console(), search.run.path
    if not quiet:
        console.print(f"search folder {path}", soft_wrap=True)
    start_ray(address, search.count_runners())
    results = run_search(search, resume=resume, quiet=quiet)
    console.print(make_table(search, results))
    if not is_finished(search, results):
        write_results(search, results)
        command = f"{name_command('omnichannel')} search --resume {path} --trust"
        console.print(f"interrupted. Go on with: {command}", soft_wrap=True)
        return
    best = save_best(search, results)
    console.print(f"evaluating {results[0].name} on fresh episodes ...")
    evaluation = _compare_best(best, console.print)
    print_evaluation(console, evaluation, best.scenario)
    write_results(search, results, evaluation.to_json())
    console.print(f"best run  {best.path}\nresults   {path / 'results.json'}", soft_wrap=True)


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
    from marl.report.gather import write_report

    view.say(f"evaluating on {run.config.evaluation.test_episodes} fresh episodes ...")
    evaluation = _compare_best(run, view.say)
    print_evaluation(console, evaluation, run.scenario)
    write_json(run.path / "evaluation.json", evaluation.to_json())
    report_file = write_report(run)
    view.say(
        f"best checkpoint  {run.find_checkpoint('best')}\n"
        f"report           {report_file}\n"
        f"look             {name_command('tensorboard')} --logdir {run.path}\n"
        f"go on            {name_command('omnichannel')} resume {run.path} --episodes +500\n"
        f"compare          {name_command('omnichannel')} evaluate {run.path} baselines"
    )


def _compare_best(run: RunFolder, say: Callable[[str], object]) -> Evaluation:
    """Compares the best checkpoint with the baselines on episodes that nothing else has seen."""
    from marl.evaluation.evaluate import evaluate_policies
    from marl.evaluation.sources import load_learned, load_untrained, make_baselines

    settings = run.config.evaluation
    policies = make_baselines(list(settings.baselines), run.scenario, say)
    policies |= load_untrained(run)
    policies["trained"] = load_learned(run.find_checkpoint("best"), "trained", run.scenario)
    return evaluate_policies(policies, run.scenario, settings.test_episodes, run.config.seed)


def print_evaluation(console: Console, evaluation: Evaluation, scenario: Scenario) -> None:
    """Prints the tables, and what the scenario says about them."""
    from marl.evaluation.evaluate import make_paired_table, make_tables

    for table in make_tables(evaluation):
        console.print(table)
    if evaluation.paired:
        console.print(make_paired_table(evaluation))
    if scenario.caveat:
        console.print(scenario.caveat, highlight=False, soft_wrap=True)
