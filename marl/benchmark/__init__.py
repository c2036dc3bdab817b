"""Speed of every stage, from the simulator alone to training end to end.

Absolute figures belong to a machine and to what else runs on it; ratios of one run carry further.
So every stage is measured several times in turn, its median is reported, and its ratio is to
another row of the same run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from envs.omnichannel.scenario import load_scenario
from marl.benchmark.learning import BareLoop, measure_training
from marl.benchmark.rows import (
    ONE_THREAD,
    TWO_THREADS,
    Probe,
    Row,
    make_table,
    measure_probes,
)
from marl.benchmark.sampling import make_sampling_probes, one_torch_thread
from marl.benchmark.simulator import SIZES, fit_exponent, measure_scale
from marl.config import list_configs, load_config

__all__ = [
    "ONE_THREAD",
    "TWO_THREADS",
    "BareLoop",
    "Probe",
    "Row",
    "fit_exponent",
    "make_table",
    "measure_probes",
    "measure_scale",
    "run_benchmark",
]


def run_benchmark(*, quick: bool = False, scenario: str = "paper") -> list[Row]:
    """Measures every stage in this process and on Ray actors of this machine.

    An env step is one period of one copy. A transition is one agent's decision for one SKU. B is
    the configuration's number of copies per runner.

    - `simulator x256`: demand and events 3 to 7 under decisions that never change; no agents.
    - `environment xB`, `x256`: observations, coordination, simulator, costs and credit under
      random options drawn beforehand; no networks.
    - `forward passes alone`: the networks of a runner choose the best options of B copies, one
      thread, on observations that are there already: the least that sampling can take.
    - `sampling in process`: whole episodes as a runner samples them, B copies, one thread.
    - `one busy thread`, `two busy threads`: no part of the project. Their ratio is the most that
      two runners can gain over one on this machine at this hour.
    - `runner actors x1`, `x2`: training iterations with one and with two Ray actors while the
      learner is off: sampling, transport, storing, sending weights.
    - `pool add`: storing a runner's fragment, returns computed. `pool sample`: batches for the
      updates of one call of the learner; its ratio to `learner` is learning time by sampling time.
      `prioritised, with updates`: the same by priority, and the priorities set anew.
    - `learner, by priority`: a round's updates on batches drawn by priority, each in a thread while
      the one before is learnt from; its ratio to `learner` is what priorities leave of its speed.
    - `learner`: updates through RLlib's `LearnerGroup`, default batch. `bare torch loop`: the same
      arithmetic on the same batch, one network after the other, nothing around it.
    - `stored transition`, `pool, 1 M ...`: memory, computed from the arrays.
    - `end to end`: training iterations with one actor, env steps sampled and transitions learnt;
      the ratios say what share of the stage's own speed is left.
    - `scale`, `cells`, `growth exponent`: see `measure_scale`; not when `quick`.

    Args:
        quick: fewer rounds and no scale, for a first look.
        scenario: built-in name or YAML file; a configuration of the same name is used if there
            is one.

    Returns:
        Rows in the order above.
    """
    loaded = load_scenario(scenario)
    config = load_config(loaded.name if loaded.name in list_configs() else "default")
    rounds = 2 if quick else 5
    with one_torch_thread():
        rows = measure_probes(make_sampling_probes(loaded, config), rounds)
        scale = [] if quick else measure_scale(SIZES, rounds)
    with _ray_running(num_actors=3):
        rows += measure_training(loaded, config, rounds, rows)
    return rows + scale


@contextmanager
def _ray_running(num_actors: int) -> Iterator[None]:
    """Starts Ray unless it runs already, and stops it only if it was started here."""
    import ray

    from marl.training.ray_start import start_ray

    if ray.is_initialized():
        yield
        return
    start_ray(None, num_actors)
    try:
        yield
    finally:
        ray.shutdown()
