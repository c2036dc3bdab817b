"""The loop: train, evaluate, adjust, checkpoint, resume, stop."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from envs.omnichannel.world.draws import make_seeds
from marl.errors import CutError, PoolLostError, RunError
from marl.evaluation.evaluate import EpisodeRunner
from marl.learning.feedback import TrainingFeedback
from marl.learning.methods import make_method, write_policy
from marl.learning.rllib.algorithm import build_algorithm
from marl.policies.base import Policy
from marl.runs.checkpoints import BackgroundWriter
from marl.runs.folder import POLICY_FILE, PROGRESS_FILE, RunFolder, SavedCheckpoint, name_checkpoint
from marl.runs.progress_file import check_counters
from marl.training.progress import TrainingProgress
from marl.training.records import REPORTED, Record, describe_round
from marl.training.stock_image import StockPicture
from marl.training.stopping import collect_signals
from marl.training.tensorboard import EventLog
from marl.training.tracking import Tracker

MAX_PAUSE_S = 1.0  # of training, for a checkpoint


@dataclass
class Progress:
    """Where a run stands, beside what the algorithm itself keeps."""

    seconds: float = 0.0  # trained, over all sessions
    best_score: float = float("-inf")
    next_evaluation: int = 0  # episodes
    feedback: dict[str, Any] = field(default_factory=dict)


class Trainer:
    """Trains one run from wherever it stands.

    Args:
        run: the folder; its configuration says when to stop.
        view: what a person sees.
        after_save: called when a checkpoint is whole, beside training.
        started: when the command began, on the clock of `time.monotonic`; what it did since then
            counts for the limit in minutes. None: now.
        trackers: that are told what TensorBoard is told; whoever opened them closes them.
    """

    def __init__(
        self,
        run: RunFolder,
        view: TrainingProgress,
        after_save: Callable[[], object] | None = None,
        started: float | None = None,
        trackers: Sequence[Tracker] = (),
    ) -> None:
        self.run, self.view, self.after_save = run, view, after_save
        self._command_started = time.monotonic() if started is None else started
        self._received: list[int] = []  # signals
        self._started, self._trained_before = self._command_started, 0.0  # of this session
        self._seconds_before = 0.0  # of this session, from the command to the loop
        config = run.config
        self.method = make_method(run.scenario, config)
        self.algorithm = build_algorithm(self.method, wait=False)
        self.feedback = TrainingFeedback(config.feedback)
        self.progress = Progress()
        seeds = make_seeds("validation", config.seed, config.evaluation.validation_episodes)
        # Validation sees the training part of recorded demand: the held-back part only tests.
        self._validation = EpisodeRunner(run.scenario, seeds, "train")
        self._trackers = trackers
        self._events: EventLog | None = None
        self._picture = StockPicture(run.scenario)
        self._checkpoints = BackgroundWriter()
        self._checkpointed_episodes = -1
        self._saved: SavedCheckpoint | None = None
        self._pause = 0.0  # seconds that training waited for the last checkpoint
        self._patience_s = 0.0  # that it will still wait

    def restore(self, checkpoint: Path | None = None) -> None:
        """Continues from a checkpoint; what the run did after it is dropped.

        Args:
            checkpoint: what `RunFolder.open_checkpoint` returned; None: the latest.

        Raises:
            InputError: if it is damaged or does not fit the configuration.
        """
        checkpoint = checkpoint or self.run.open_checkpoint()
        self.algorithm.restore_parts(checkpoint)
        stored = self.run.load_progress(checkpoint)
        check_counters(checkpoint, stored, self.algorithm)
        self.progress = Progress(**stored["progress"])
        self.feedback.set_state(self.progress.feedback)
        self.algorithm.adjust(self.feedback.adjustment)
        self.run.rewind(checkpoint)
        self._checkpointed_episodes = self.algorithm.episodes

    def describe(self, *, resumed: bool) -> str:
        """One line on where the run stands and on what it uses."""
        algorithm, runners = self.algorithm, self.run.config.env_runners
        pool = f"pool {algorithm.pool.memory_mb:.0f} MB"
        actors = f"{runners.num_env_runners} runners x {runners.num_envs_per_env_runner} copies"
        if not resumed:
            return f"{self.run.scenario.name}: {actors}, {pool}"
        epsilon = self.run.config.exploration.compute_epsilon(algorithm.env_steps)
        name = name_checkpoint(algorithm.episodes)
        return (
            f"resumed at episode {algorithm.episodes}, env step {algorithm.env_steps:,}, update "
            f"{algorithm.updates:,}, epsilon {epsilon:.4f}, {algorithm.pool.num_env_steps:,} env "
            f"steps in the pool (checkpoint {name}, {actors}, {pool})"
        )

    def train(self) -> int | None:
        """Trains until the configuration's limit, or until a signal asks it to end.

        Returns:
            The signal's number; None: the limit was reached. The last state is checkpointed in
            either case, after a signal without a validation: it is to be quick, and the resumed
            run is then the one that was never interrupted.

        Raises:
            RunError: if the disk or the pool fails; names the last whole checkpoint.
        """
        self._started, self._trained_before = time.monotonic(), self.progress.seconds
        self._seconds_before = self._started - self._command_started
        if self.progress.best_score == float("-inf"):
            self._evaluate()
        with collect_signals() as received, self.view, self._explain_loss(received):
            self._received = received
            self._validation.should_stop = lambda: bool(received)
            self.algorithm.crew.stop_when(lambda: bool(received) or self._is_over)
            with suppress(CutError):  # of a validation, by a signal
                self._train_to_the_limit()
            if received and self._checkpointed_episodes != self.algorithm.episodes:
                self._save_checkpoint(is_best=False)
            self._checkpoints.wait()
            if saved := self._saved:
                self.view.say(
                    f"checkpoint {saved.name}: {saved.num_bytes / 1e6:.1f} MB in "
                    f"{saved.seconds:.2f} s; training paused for {self._pause:.2f} s"
                )
        return received[0] if received else None

    def _train_to_the_limit(self) -> None:
        """Trains, validates when that is due, and at the end.

        Raises:
            CutError: if a signal came during a validation; the next session begins with it.
        """
        while not self.algorithm.crew.should_stop():
            if self.algorithm.episodes >= self.progress.next_evaluation:
                self._evaluate()
            else:
                self._iterate()
                self.progress.seconds = self._measure_seconds()
        if self._checkpointed_episodes != self.algorithm.episodes:
            self._evaluate()

    def _measure_seconds(self) -> float:
        """Seconds trained, over all sessions, now."""
        return self._trained_before + time.monotonic() - self._started

    @property
    def _is_over(self) -> bool:
        """Whether a limit is reached now."""
        return self._compute_fraction(self._measure_seconds()) >= 1

    def advance(self) -> Record:
        """Trains until the next validation is due or the limit is reached, and saves a checkpoint.

        For who owns the loop, as a search does.

        Returns:
            The validation's means by metric.
        """
        started, before = time.monotonic(), self.progress.seconds
        while True:
            self._iterate()
            self.progress.seconds = before + time.monotonic() - started
            # A round may bring nothing while the runners start.
            due = max(self.progress.next_evaluation, 1)
            if self.algorithm.episodes >= due or self.fraction >= 1:
                break
        metrics = self._evaluate()
        self._checkpoints.wait()
        return metrics

    @contextmanager
    def _explain_loss(self, received: list[int]) -> Iterator[None]:
        """Ends a run whose pool is lost with the way to go on: from a pool that was whole.

        A signal to all processes ends the pool's, too; then nothing else is wrong.
        """
        try:
            yield
        except PoolLostError as error:
            self._checkpoints.wait()
            message = f"{error}; {self.run.offer_checkpoint()}"
            if not received:
                raise RunError(message) from None
            self.view.say(message)

    def close(self) -> None:
        """Closes the event file and stops the runners, which after a signal end with the process.

        Ray may be ending then, too, and stopping its actors in order may take a minute.
        """
        if self._events:
            self._events.close()
        if not self._received:
            self.algorithm.stop()
        self._checkpoints.close()

    def make_policy(self, name: str = "learned") -> Policy:
        """The greedy policy of the averaged networks."""
        return self.method.make_policy(self.algorithm.get_averaged_weights(), name)

    def _iterate(self) -> None:
        """One round of sampling and learning, logged."""
        algorithm, started = self.algorithm, time.monotonic()
        env_steps, updates = algorithm.env_steps, algorithm.updates
        result = algorithm.train()
        self._await_checkpoint()
        for line in algorithm.crew.take_events():
            self.view.say(line)
        if algorithm.is_cut:
            return
        seconds = time.monotonic() - started
        record = describe_round(algorithm, algorithm.env_steps - env_steps, updates, seconds)
        record["train/epsilon"] = _find_epsilon(result)
        self._log(record)
        if algorithm.sample_metrics:
            self.view.show(algorithm.episodes, self.fraction, record)

    def _evaluate(self) -> Record:
        """Validates the greedy policy, adjusts training, checkpoints; returns the means."""
        metrics = {
            name: float(values.mean())
            for name, values in self._validation.run(self.make_policy()).items()
        }
        reward, on_time = metrics["reward"], metrics["on_time"]
        score = self.feedback.score(reward, on_time)
        is_best = score > self.progress.best_score
        self.progress.best_score = max(score, self.progress.best_score)
        adjustment = self.feedback.update(reward, on_time)
        self.algorithm.adjust(adjustment)
        interval = self.run.config.evaluation.interval_episodes
        self.progress.next_evaluation = (self.algorithm.episodes // interval + 1) * interval
        self.progress.feedback = self.feedback.get_state()
        record = {f"eval/{name}": metrics[name] for name in REPORTED}
        record["eval/service_level"] = metrics["served"]
        for name, value in asdict(adjustment).items():
            record[f"feedback/{name}_scale"] = value
        self._log(record)
        pixels = self._picture.draw(self._validation.compute_final_stock())
        for tracker in self._open_trackers():
            tracker.add_image(
                self._picture.tag, pixels, self._picture.description, self.algorithm.env_steps
            )
        self.view.show_evaluation(self.algorithm.episodes, metrics, best=is_best)
        self._save_checkpoint(is_best=is_best)
        return metrics

    def _save_checkpoint(self, *, is_best: bool) -> None:
        """Copies the state, then writes the copy while training goes on."""
        self._checkpoints.wait()
        started = time.monotonic()
        algorithm = self.algorithm
        parts, weights = algorithm.make_snapshot(), algorithm.get_averaged_weights()
        episodes = algorithm.episodes
        counters = {
            "episodes": episodes,
            "env_steps": algorithm.env_steps,
            "updates": algorithm.updates,
            "progress": dict(vars(self.progress)),
        }
        self._pause = time.monotonic() - started
        self._patience_s = max(MAX_PAUSE_S - self._pause, 0.0)

        def write(folder: Path) -> None:
            for name, part in parts.items():
                part.write(folder, name)
            write_policy(folder / POLICY_FILE, self.method, weights)
            (folder / PROGRESS_FILE).write_text(json.dumps(counters, indent=2), encoding="utf-8")

        def save() -> None:
            self._saved = self.run.save_checkpoint(episodes, write, is_best=is_best)
            if self.after_save:
                self.after_save()

        self._checkpoints.submit(save)
        self._checkpointed_episodes = episodes

    def _await_checkpoint(self) -> None:
        """Waits a little for the writing that ran beside this round.

        So no round counts before the checkpoint ahead of it is whole, if the disk is fast enough: a
        killed run loses one interval, not one and what was trained meanwhile.
        """
        started = time.monotonic()
        self._checkpoints.wait(self._patience_s)
        self._pause += time.monotonic() - started
        self._patience_s = 0.0

    def _log(self, record: Record) -> None:
        """Writes scalars to all trackers (x axis: env steps) and metrics.jsonl."""
        finite = {tag: value for tag, value in record.items() if np.isfinite(value)}
        for tracker in self._open_trackers():
            tracker.add_scalars(finite, self.algorithm.env_steps)
        self.run.append_metrics(
            {
                "episodes": self.algorithm.episodes,
                "env_steps": self.algorithm.env_steps,
                "seconds": round(self.progress.seconds, 2),
                **finite,
            }
        )

    def _open_trackers(self) -> Iterator[Tracker]:
        """The trackers; event files are begun once it is known where the run stands."""
        if self._events is None:
            run = self.run
            self._events = EventLog(run.path, run.scenario, run.config, self.algorithm.env_steps)
        yield self._events
        yield from self._trackers

    @property
    def fraction(self) -> float:
        """Share of the way to the nearest limit, after the last round."""
        return self._compute_fraction(self.progress.seconds)

    def _compute_fraction(self, seconds: float) -> float:
        stop, algorithm = self.run.config.stop, self.algorithm
        seconds += self._seconds_before
        return stop.compute_fraction(algorithm.episodes, algorithm.env_steps, seconds)


def _find_epsilon(result: dict[str, Any]) -> float:
    """Epsilon of a round; NaN if no runner answered in time, as when all are still starting."""
    return float(result.get("env_runners", {}).get("epsilon", float("nan")))
