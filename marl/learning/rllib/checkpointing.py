"""RLlib's checkpoints: what to build an algorithm from, and where it stood, without a pickle."""

from __future__ import annotations

import json
import pickle
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray.rllib.algorithms.dqn import DQN
from ray.rllib.utils.annotations import override
from ray.rllib.utils.checkpoints import CHECKPOINT_VERSION_LEARNER_AND_ENV_RUNNER
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME
from ray.tune import Checkpoint
from ray.tune.result import TIME_TOTAL_S, TRAINING_ITERATION

from envs.errors import InputError
from envs.validation import LARGEST
from marl.errors import RunError
from marl.learning.methods import make_method
from marl.learning.rllib.base_config import BaseConfig, resolve_config
from marl.runs.checkpoints import (
    DamagedError,
    Part,
    read_part,
    verify_checkpoint,
    write_manifest,
)
from marl.runs.folder import read_settings, write_settings
from marl.runs.progress_file import MOST

PART = "rllib"
EVALUATED = "evaluated_episodes"
OF_CHECKPOINT = "of the checkpoint"  # a configuration that `restore_from_path` will read
# What a run is told beside the method; what a machine has to offer is not kept.
_NUMBERS = (
    "min_time_s_per_iteration",
    "min_sample_timesteps_per_iteration",
    "evaluation_interval",
)
_EPISODES = "evaluation_config"


class PlainCheckpoints(DQN):
    """An algorithm that writes and reads checkpoints without unpickling anything.

    A subclass has `make_snapshot` and `restore_parts`.
    """

    make_snapshot: Callable[[], dict[str, Part]]
    restore_parts: Callable[[Path], None]

    def __init__(self, config: Any = None, *args: Any, **kwargs: Any) -> None:
        if config != OF_CHECKPOINT:  # or nothing is built before `restore_from_path`
            super().__init__(resolve_config(config, type(self)), *args, **kwargs)

    @override(DQN)
    def save_to_path(self, path: Any = None, **_: Any) -> str:
        """Writes a checkpoint of plain arrays and JSON; RLlib's own pickles its state.

        Raises:
            InputError: if the path is a URI.
        """
        if "://" in str(path):
            raise InputError(f"rllib: path '{path}' is not allowed; save into a local folder")
        folder = Path(path or tempfile.mkdtemp())
        folder.mkdir(parents=True, exist_ok=True)
        for name, part in self.make_snapshot().items():
            part.write(folder, name)
        write_own(folder, self)
        write_class(folder, self)
        write_manifest(folder)
        return str(folder)

    @override(DQN)
    def restore_from_path(
        self, path: Any, *, component: Any = None, filesystem: Any = None, **_: Any
    ) -> None:
        """Restores `save_to_path` exactly, and sends the weights to all runners.

        Args:
            path: a folder that `save_to_path` wrote, or its URI.
            component: not allowed: a checkpoint is restored as a whole.
            filesystem: of pyarrow, on which `path` lies; None: as the path says.

        Raises:
            DamagedError: if the checkpoint is not whole.
            InputError: if it is of other networks or another pool, or a component is asked for.
        """
        if component is not None:
            raise InputError(
                f"rllib: component {component!r} is not allowed; a checkpoint is restored whole"
            )
        with _open_checkpoint(path, filesystem) as folder:
            verify_checkpoint(folder)
            if "config" not in vars(self):  # nothing is built yet
                PlainCheckpoints.__init__(self, read_config(folder, type(self)))
            self.restore_parts(folder)
            restore_own(folder, self)

    @classmethod
    @override(DQN)
    def from_checkpoint(cls, path: Any, filesystem: Any = None, **_: Any) -> Any:
        """Builds the algorithm that a checkpoint is of, and restores it.

        Args:
            path: a folder that `save_to_path` wrote, a checkpoint in a run folder, or Tune's.
            filesystem: of pyarrow, on which `path` lies; None: as the path says.

        Raises:
            DamagedError: if the checkpoint is not whole.
            InputError: if its settings cannot be read.
        """
        algorithm = cls(OF_CHECKPOINT)
        algorithm.restore_from_path(path, filesystem=filesystem)
        return algorithm


@contextmanager
def _open_checkpoint(path: Any, filesystem: Any) -> Iterator[Path]:
    """Yields the local folder of a checkpoint; a remote one is downloaded for as long."""
    if not isinstance(path, Checkpoint):
        if filesystem is None and "://" not in str(path):
            yield Path(path)
            return
        path = Checkpoint(str(path), filesystem)
    with path.as_directory() as folder:
        yield Path(folder)


def write_class(folder: Path, algorithm: Any) -> None:
    """Writes what `Algorithm.from_checkpoint` of RLlib asks for before it restores anything.

    It reads the class from a pickle. Ours holds that class's name and `OF_CHECKPOINT`, the same
    bytes for every run; we never read it, and its state file is an empty map.
    """
    # Tune and Ray wrap classes in others, which only their own process could find.
    found = (getattr(sys.modules[c.__module__], c.__name__, None) for c in type(algorithm).__mro__)
    content = {
        "class": next(filter(None, found)),
        "ctor_args_and_kwargs": ((), {"config": OF_CHECKPOINT}),
    }
    (folder / algorithm.CLASS_AND_CTOR_ARGS_FILE_NAME).write_bytes(pickle.dumps(content, 4))
    state_file = f"{algorithm.STATE_FILE_NAME}.msgpack"
    (folder / state_file).write_bytes(b"\x80")
    metadata = {
        **algorithm.get_metadata(),
        "type": "Algorithm",
        "checkpoint_version": str(CHECKPOINT_VERSION_LEARNER_AND_ENV_RUNNER),
        "format": "msgpack",
        "state_file": state_file,
    }
    (folder / algorithm.METADATA_FILE_NAME).write_text(json.dumps(metadata), encoding="utf-8")


def write_own(folder: Path, algorithm: Any) -> None:
    """Writes the settings, RLlib's ones too but for code, and RLlib's counters."""
    config: BaseConfig = algorithm.config
    method = algorithm.method
    write_settings(folder, method.scenario, method.config)
    tree = {
        TRAINING_ITERATION: algorithm.training_iteration,
        TIME_TOTAL_S: algorithm._time_total,
        EVALUATED: algorithm.evaluator.episodes,
        **{name: getattr(config, name) for name in (*_NUMBERS, _EPISODES)},
    }
    Part.freeze(tree).write(folder, PART)


def read_counters(folder: Path, names: Collection[str]) -> dict[str, int]:
    """Returns the counters of a checkpoint.

    Raises:
        DamagedError: if they are not exactly those of the names, or no counters.
    """
    found = read_part(folder, "counters")
    if not isinstance(found, dict) or found.keys() != set(names):
        raise DamagedError(f"checkpoint: part counters of '{folder}' is damaged")
    for name, value in found.items():
        if type(value) is not int or not 0 <= value < MOST:
            raise DamagedError(
                f"checkpoint: part counters of '{folder}': {name}: {str(value)[:60]!r} is not "
                f"allowed; a whole number from 0 to {MOST - 1} is needed"
            )
    return found


@contextmanager
def explain_misfit(folder: Path) -> Iterator[None]:
    """Turns what a part of another run, or a damaged one, raises into one line.

    Raises:
        InputError: names the checkpoint.
    """
    try:
        yield
    except (InputError, RunError):
        raise
    except (
        ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError
    ) as error:  # fmt: skip
        reason = str(error).partition("\n")[0][:200]
        raise InputError(f"checkpoint: '{folder}' does not fit this run ({reason})") from None


def restore_own(folder: Path, algorithm: Any) -> None:
    """Restores RLlib's counters; a checkpoint of a run folder has an iteration a round."""
    found = {TRAINING_ITERATION: algorithm.rounds, TIME_TOTAL_S: 0.0, EVALUATED: 0}
    found |= _read_own(folder)
    algorithm._iteration = int(found[TRAINING_ITERATION])
    algorithm._time_total = float(found[TIME_TOTAL_S])
    algorithm._time_since_restore, algorithm._iterations_since_restore = 0.0, 0
    algorithm.evaluator.episodes = int(found[EVALUATED])
    lifetime = {
        "is_leaf": False,
        "is_root": True,
        "stats_cls_identifier": "lifetime_sum",
        "track_throughputs": False,
        "latest_merged": 0.0,
        "lifetime_sum": float(algorithm.env_steps),
    }
    name = f"{ENV_RUNNER_RESULTS}--{NUM_ENV_STEPS_SAMPLED_LIFETIME}"
    algorithm.metrics.set_state({"stats": {name: lifetime}})


def read_config(folder: Path, algo_class: Any) -> BaseConfig:
    """Returns the configuration that a checkpoint was trained with; callbacks are not in it.

    Args:
        folder: of `save_to_path`, or a checkpoint in a run folder.
        algo_class: that is to run it.

    Raises:
        InputError: if it is not such a folder, or damaged.
    """
    own = _read_own(folder)
    scenario, settings = read_settings(folder if own else folder.parent.parent)
    config = BaseConfig.from_method(make_method(scenario, settings), algo_class)
    for name in _NUMBERS if own else ():
        setattr(config, name, own[name])
    config.evaluation_config = own.get(_EPISODES, config.evaluation_config)
    return config


def _read_own(folder: Path) -> dict[str, Any]:
    """Returns RLlib's part; empty: there is none.

    Raises:
        DamagedError: if it is not what `write_own` wrote.
    """
    if not (folder / f"{PART}.json").exists():
        return {}
    own = read_part(folder, PART)
    counts = (TRAINING_ITERATION, TIME_TOTAL_S, EVALUATED)
    is_whole = isinstance(own, dict) and all(
        type(own.get(name, ...)) in ((int, float) if name in counts else (int, float, type(None)))
        and 0 <= (own[name] or 0) < LARGEST
        for name in (*counts, *_NUMBERS)
    )
    if not is_whole:
        raise DamagedError(f"checkpoint: part {PART} of '{folder}' is damaged")
    return own
