"""`train` and `resume`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marl.commands.console import (
    check_installed,
    check_trackers,
    make_console,
    name_command,
)
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
    StorageOption,
)
from marl.commands.prepare import (
    fetch_run,
    limit_tuning,
    load_training,
    open_storage,
    tune_baselines,
    tune_rules,
)
from marl.errors import RunError
from marl.training.stopping import Stopped, compute_status_when_saved, leave

if TYPE_CHECKING:
    from rich.console import Console

    from marl.config import TrainConfig
    from marl.runs.folder import RunFolder
    from marl.runs.storage import Storage


# What trackers are given at the end of a run.
RESULT_FILES = ("config.yaml", "scenario.yaml", "evaluation.json", "report.html")


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    app.command()(train)
    app.command()(resume)


def train(
    scenario: ScenarioOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    episodes: EpisodesOption = None,
    env_steps: EnvStepsOption = None,
    minutes: MinutesOption = None,
    run_dir: RunDirOption = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random in the run.")] = None,
    address: AddressOption = None,
    storage: StorageOption = None,
    quiet: QuietOption = False,
) -> None:
    """Train the agents, evaluate them against tuned classical policies, checkpoint."""
    from marl.runs.folder import RunFolder
    from marl.runs.lock import lock_folder

    started = time.monotonic()
    check_installed("train")
    limits = (episodes, env_steps, minutes)
    loaded, checked = load_training(scenario, config, overrides, limits, seed)
    check_trackers(checked)
    enough = limit_tuning(checked, started)
    checked = tune_rules(loaded, checked, quiet=quiet, should_stop=enough)
    tune_baselines(loaded, checked, quiet=quiet, should_stop=enough)
    target = open_storage(storage, run_dir)
    run = RunFolder.create(run_dir, loaded, checked)
    lock_folder(run.path)
    copy = target.join(run.path.resolve().name) if target else None
    run_training(run, address, started, quiet=quiet, storage=copy)


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
    from marl.runs.lock import lock_folder

    started = time.monotonic()
    check_installed("train")
    path, copy = fetch_run(run, run_dir, storage)
    stored_run = RunFolder.open(path)
    lock_folder(path)
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
    check_trackers(opened.config)
    opened.config.stop.check_open(
        stored["episodes"], stored["env_steps"], stored["progress"]["seconds"]
    )
    enough = limit_tuning(opened.config, started, float(stored["progress"]["seconds"]))
    tune_baselines(opened.scenario, opened.config, quiet=quiet, should_stop=enough)
    run_training(
        opened,
        address,
        started,
        quiet=quiet,
        storage=copy,
        checkpoint=found,
        before=stored_run.config,
    )


def run_training(
    run: RunFolder,
    address: str | None,
    started: float,
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
        started: when the command began, on the clock of `time.monotonic`.
        quiet: whether to print the result only.
        storage: where the run is copied to.
        checkpoint: what to go on from.
        before: the configuration that the checkpoint was trained with.
    """
    from marl.runs.changes import describe_changes
    from marl.training.progress import TrainingProgress
    from marl.training.ray_start import prepare_training
    from marl.training.tracking import open_trackers

    console = make_console()
    view = TrainingProgress(console, quiet=quiet)
    view.say(f"run folder {run.path}")
    for line in describe_changes(before, run.config) if before else ():
        view.say(line)
    with _offer_resume(run, storage, view.say), open_trackers(run, view.say) as trackers:
        prepare_training(address, run.config.env_runners.num_env_runners)
        from marl.training.trainer import Trainer  # here, as Ray starts while it is imported

        trainer = Trainer(run, view, _make_upload(run, storage, view.say), started, trackers)
        try:
            if checkpoint:
                trainer.restore(checkpoint)
            view.say(trainer.describe(resumed=checkpoint is not None))
            signal_number = trainer.train()
        finally:
            trainer.close()
        if signal_number is None:
            _finish_run(run, console, view)
            for tracker in trackers:
                tracker.add_files([run.path / name for name in RESULT_FILES])
        else:
            for tracker in trackers:
                tracker.close(finished=False)
    if storage:
        storage.upload(run.path)
        view.say(f"stored           {storage.uri}")
    if signal_number is not None:
        view.say(f"interrupted {_describe_end(run)}. {_describe_resume(run, storage)}")
        leave(compute_status_when_saved(signal_number))


@contextmanager
def _offer_resume(
    run: RunFolder, storage: Storage | None, say: Callable[[str], object]
) -> Iterator[None]:
    """Says what a signal leaves behind that comes before or after the training loop."""
    try:
        yield
    except (KeyboardInterrupt, Stopped):
        if (run.checkpoints / "latest").is_file():
            say(f"interrupted. {_describe_resume(run, storage)}")
        else:
            say("interrupted before the first checkpoint; nothing to go on from, so start anew")
        raise


def _describe_resume(run: RunFolder, storage: Storage | None) -> str:
    elsewhere = f", or resume {storage.uri}" if storage else ""
    return f"Go on with: {name_command('omnichannel')} resume {run.path}{elsewhere}"


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


def _describe_end(run: RunFolder) -> str:
    """Says what a run that a signal has ended rests on."""
    updates = run.load_progress()["updates"]
    if updates == 0:
        return "before the first update, so nothing is learnt yet; checkpoint saved"
    return f"after {updates:,} updates; checkpoint saved"


def _count_updates(run: RunFolder, checkpoint: Path) -> str:
    """Says how much learning a checkpoint rests on."""
    updates, last = (run.load_progress(path)["updates"] for path in (checkpoint, None))
    if last == 0:
        return (
            "no update: the run ended before the first one, so nothing was learnt; give it more "
            "time, or a smaller pool.min_env_steps"
        )
    return f"{updates:,} of {last:,} updates of the networks"


def _finish_run(run: RunFolder, console: Console, view: Any) -> None:
    """The final comparison on fresh episodes, and what to do next."""
    from marl.report.gather import write_report
    from marl.runs.files import write_file

    view.say(f"evaluating on {run.config.evaluation.test_episodes} fresh episodes ...")
    evaluation = compare_best(run, view.say)
    print_evaluation(console, evaluation, run.scenario)
    found = json.dumps(evaluation.to_json(), indent=2)
    write_file(run.path / "evaluation.json", found, "run", own=True)
    report_file = write_report(run)
    best = run.find_checkpoint("best")
    view.say(
        f"best checkpoint  {best}\n"
        f"rests on         {_count_updates(run, best)}\n"
        f"report           {report_file}\n"
        f"look             {name_command('tensorboard')} --logdir {run.path}\n"
        f"go on            {name_command('omnichannel')} resume {run.path} --episodes +500\n"
        f"compare          {name_command('omnichannel')} evaluate {run.path} baselines"
    )
