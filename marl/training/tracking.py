"""Trackers: what shows the course of a run besides metrics.jsonl, one file each.

RUN/tracking.json   their own ids of the run, by which a resumed run goes on in the same place
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from envs.errors import InputError
from envs.untrusted import parse_object, read_text
from marl.runs.files import replace_file
from marl.runs.folder import RunFolder
from marl.training.mlflow_tracker import MlflowTracker
from marl.training.wandb_tracker import WandbTracker

IDS_FILE = "tracking.json"
PATIENCE_S = 60.0  # at the end of a run, for a tracker that has not taken everything yet
SHORT_PATIENCE_S = 3.0  # the same where the run is being stopped
_MOST_ID = 100  # letters
_MOST_TEXT = 200  # letters of a library's error

TRACKERS: dict[str, Callable[[RunFolder, str | None], RemoteTracker]] = {
    "mlflow": MlflowTracker,
    "wandb": WandbTracker,
}


class Tracker(Protocol):
    """Shows the course of a run; its x axis is env steps."""

    def add_scalars(self, values: Mapping[str, float], env_steps: int) -> None:
        """Adds a value to each tag."""

    def add_image(
        self, tag: str, pixels: NDArray[np.uint8], description: str, env_steps: int
    ) -> None:
        """Adds an image, (H, W, 3), and what it shows."""

    def add_files(self, files: Sequence[Path]) -> None:
        """Adds files that belong to the run's result."""

    def close(self, *, finished: bool) -> None:
        """Ends the session; `finished` says whether the run came to its end."""


class RemoteTracker(Tracker, Protocol):
    """A tracker that has an id of its own for the run."""

    run_id: str


@contextmanager
def open_trackers(run: RunFolder, say: Callable[[str], object]) -> Iterator[list[Tracker]]:
    """Yields the trackers that the configuration names, each behind a thread of its own.

    Args:
        run: whose ids are kept in its folder.
        say: takes a warning where a tracker fails later on, which costs no training.

    Raises:
        InputError: if one cannot be opened.
    """
    names = run.config.tracking.to
    ids = _read_ids(run) if names else {}
    opened: list[Tracker] = []
    with ExitStack() as stack:
        for name in dict.fromkeys(names):
            try:
                tracker = TRACKERS[name](run, ids.get(name))
            except Exception as error:  # whatever the library raises
                raise InputError(
                    f"tracking.to: {name} cannot be used ({_first_line(error)}); "
                    "--set 'tracking.to=[]' trains without it"
                ) from None
            background = _Background(name, tracker, say)
            stack.push(lambda kind, *_, it=background: it.close(finished=kind is None))
            opened.append(background)
            ids[name] = tracker.run_id
            replace_file(run.path / IDS_FILE, json.dumps(ids, indent=2))
        yield opened


class _Background:
    """A tracker that is written to beside training, and left alone once it has failed."""

    def __init__(self, name: str, tracker: Tracker, say: Callable[[str], object]) -> None:
        self._name, self._tracker, self._say = name, tracker, say
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._closed = False
        # A daemon: a server that does not answer cannot keep the process from ending.
        self._thread = Thread(target=self._work, daemon=True, name=f"tracking-{name}")
        self._thread.start()

    def add_scalars(self, values: Mapping[str, float], env_steps: int) -> None:
        self._submit(partial(self._tracker.add_scalars, dict(values), env_steps))

    def add_image(
        self, tag: str, pixels: NDArray[np.uint8], description: str, env_steps: int
    ) -> None:
        self._submit(partial(self._tracker.add_image, tag, pixels, description, env_steps))

    def add_files(self, files: Sequence[Path]) -> None:
        self._submit(partial(self._tracker.add_files, files))

    def close(self, *, finished: bool) -> None:
        """Waits until everything is written, but not for ever; the first call counts."""
        if self._closed:
            return
        self._closed = True
        self._submit(partial(self._tracker.close, finished=finished))
        self._jobs.put(None)
        patience_s = PATIENCE_S if finished else SHORT_PATIENCE_S
        self._thread.join(patience_s)
        if self._thread.is_alive():
            self._say(f"warning: {self._name} has not taken everything in {patience_s:g} s")

    def _submit(self, job: Callable[[], None]) -> None:
        if self._thread.is_alive():
            self._jobs.put(job)

    def _work(self) -> None:
        while job := self._jobs.get():
            try:
                job()
            except Exception as error:  # whatever the library raises
                self._say(
                    f"warning: {self._name} failed ({_first_line(error)}); nothing more is "
                    "written to it, and training goes on"
                )
                return


def _first_line(error: Exception) -> str:
    text = str(error).strip().partition("\n")[0] or type(error).__name__
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]} ..."


def _read_ids(run: RunFolder) -> dict[str, str]:
    """Returns the ids by tracker.

    Raises:
        InputError: if the file is not what `open_trackers` writes.
    """
    path = run.path / IDS_FILE
    if not path.exists():
        return {}
    ids = parse_object(read_text(path, "run", inside=run.path), f"run: '{path}'")
    for name, found in ids.items():
        is_id = isinstance(found, str) and found.isalnum() and len(found) <= _MOST_ID
        if name not in TRACKERS or not is_id:
            raise InputError(f"run: '{path}' is damaged; remove it to begin new runs there")
    return ids
