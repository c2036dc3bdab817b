"""Rounds of episodes from runners that may die, hang and come back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import ray
import torch
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.rllib.core.learner.learner_group import LearnerGroup
from ray.rllib.env.env_runner_group import EnvRunnerGroup

from marl.errors import CutError, PoolLostError, RunError
from marl.learning.pool.base import Sampled
from marl.learning.rllib.round_weights import RoundWeights
from marl.learning.rllib.runner_start import (
    describe_delay,
    explain_no_start,
    find_reason,
    hide_actor_warnings,
)

STOP_POLL_S = 0.25  # between looks at whether a round is still wanted
STRAGGLER_TIMEOUT_S = 30.0  # runners start side by side; who is later waits for a free core


@dataclass
class _Round:
    """What runners were asked for, and with which weights."""

    request: dict[str, Any]
    weights: RoundWeights
    calls: dict[int, ray.ObjectRef] = field(default_factory=dict)  # by worker


class RunnerCrew:
    """RLlib's runners, asked so that a round is the same whoever of them fails.

    A worker's share of a round is a function of the weights, the counters and the worker's number.
    So the share of a lost runner is sampled again by another one, or in this process if there is
    none, and training goes on with the episodes that it would have had. Ray restarts the lost one.

    RLlib's own calls are not used: they wait for lost runners, and drop a call while another one of
    its kind is open.

    Args:
        group: RLlib's runners: the local one; the others come with `start`.
        timeout_s: after which a runner that does not answer is killed and restarted.
    """

    def __init__(self, group: EnvRunnerGroup, timeout_s: float) -> None:
        self._group, self._manager = group, group._worker_manager
        self._local = group.local_env_runner
        self.should_stop: Callable[[], bool] = lambda: False
        self._timeout_s = timeout_s
        self._rounds: list[_Round] = []  # asked for and not collected yet, in this order
        self._pings: dict[int, ray.ObjectRef] = {}  # of lost workers
        self._late: set[int] = set()  # workers that have not started yet
        self._announced: set[int] = set()  # those of them of which an event tells
        self._began, self._start_timeout_s = 0.0, 0.0
        self._weights: RoundWeights  # of the rounds to come; `set_weights` comes before any round
        self._events: list[str] = []

    def start(self, num_runners: int, timeout_s: float) -> None:
        """Starts the runners without waiting for them.

        Until the first one answers this process samples; the others are taken in as lost ones are.

        Args:
            num_runners: besides the one in this process.
            timeout_s: that is waited for the first one; a run that goes on alone says so then.
        """
        if not num_runners:
            return
        with hide_actor_warnings():
            self._group.add_workers(num_runners, validate=False)
        self._late = set(self._manager.actor_ids())
        self._began, self._start_timeout_s = time.monotonic(), timeout_s
        for worker, actor in self._manager.actors().items():
            self._manager.set_actor_state(worker, healthy=False)
            self._pings[worker] = actor.ping.remote()

    def await_start(self) -> None:
        """Waits for the first runner, then a little for the others, where speed is measured.

        Raises:
            RunError: if none starts in time.
        """
        pings = list(self._pings.values())
        if not pings:
            return
        timeout_s = self._start_timeout_s
        ray.wait(pings, num_returns=1, timeout=timeout_s)
        ray.wait(pings, num_returns=len(pings), timeout=STRAGGLER_TIMEOUT_S)
        self.revive()
        if not self.num_healthy:
            message = explain_no_start(len(self._late), timeout_s)
            self.end()
            raise RunError(message)

    def end(self) -> None:
        """Ends all runners, whatever they do: RLlib would wait for them."""
        for worker, actor in list(self._manager.actors().items()):
            ray.kill(actor)
            self._manager.remove_actor(worker)  # or RLlib would report its death

    @property
    def num_healthy(self) -> int:
        """Runners that answer, without the one in this process."""
        return len(self._manager.healthy_actor_ids())

    def take_events(self) -> list[str]:
        """Returns what happened to runners since the last call, a line each."""
        events, self._events = self._events, []
        return events

    @property
    def is_sampling(self) -> bool:
        """Whether a round was started and not collected yet."""
        return bool(self._rounds)

    def start_round(self, request: dict[str, Any]) -> None:
        """Asks every runner for its share, which it begins when it is done with earlier rounds.

        Args:
            request: arguments of `MethodRunner.sample_async`, but for worker and weights.
        """
        round_ = _Round(request, self._weights)
        round_.calls = {w: self._ask(round_, w, w) for w in self._manager.healthy_actor_ids()}
        self._rounds.append(round_)

    def collect_round(self) -> dict[int, Sampled]:
        """Waits for the oldest round; returns all shares by worker, in their order.

        Raises:
            CutError: if it is time to stop.
        """
        round_ = self._rounds[0]
        workers = self._manager.actor_ids() or [1]
        found = self._fetch(round_.calls, self._timeout_s)
        while lost := [worker for worker in workers if worker not in found]:
            found |= self._sample_again(round_, lost)
        self._rounds.remove(round_)
        return {worker: found[worker] for worker in workers}

    def forget_rounds(self) -> None:
        """Forgets what was asked for; runners still finish it."""
        self._rounds.clear()

    def drop_rounds(self) -> None:
        """Forgets what was asked for, and waits until the runners are free again."""
        if calls := [call for round_ in self._rounds for call in round_.calls.values()]:
            ray.wait(calls, num_returns=len(calls), timeout=self._timeout_s * len(self._rounds))
        self.forget_rounds()

    def stop_when(self, should_stop: Callable[[], bool]) -> None:
        """Cuts rounds as soon as `should_stop` says so, from now on."""
        self.should_stop = self._local.env.should_stop = should_stop

    @contextmanager
    def heed_stop(self) -> Iterator[None]:
        """Runs a block that a stop cuts; where Ray ends too, so does what waits for Ray.

        Raises:
            CutError: if it is time to stop.
        """
        try:
            yield
        except (RayError, PoolLostError):
            if self.should_stop():
                raise CutError from None
            raise

    def cut_round(self) -> None:
        """Forgets what was asked for; the oldest round's weights are again those to come."""
        if self._rounds:
            self._weights = self._rounds[0].weights
        self.forget_rounds()

    def set_weights(self, learner_group: LearnerGroup) -> None:
        """Takes the learner's weights for the rounds to come; they travel with the requests."""
        self._weights = RoundWeights.of_learner(learner_group)

    @property
    def weights(self) -> dict[str, Any]:
        """Of all modules, for the rounds to come."""
        return self._weights.here

    @weights.setter
    def weights(self, weights: dict[str, Any]) -> None:
        self._weights = self._weights.replace(weights)

    def revive(self) -> None:
        """Takes in the runners that have started or answer again.

        Never waits for one that is still starting.
        """
        actors = self._manager.actors()
        for worker in self._manager.actor_ids():
            if not self._manager.is_actor_healthy(worker) and worker not in self._pings:
                self._pings[worker] = actors[worker].ping.remote()
        for worker in self._take_answered():
            self._manager.set_actor_state(worker, healthy=True)
            if worker not in self._late:
                self._events.append(f"runner {worker} is back")
            elif worker in self._announced:
                self._events.append(f"runner {worker} has started")
            self._late.discard(worker)
        self._watch_start()

    def _watch_start(self) -> None:
        """Tells of runners that are late; a run goes on without them, as this process samples."""
        waited = time.monotonic() - self._began
        if waited > STRAGGLER_TIMEOUT_S and self._late - self._announced:
            for worker in sorted(self._late - self._announced):
                self._announced.add(worker)
                what = describe_delay(self._manager.actors()[worker])
                self._events.append(f"runner {worker} {what}; its episodes are sampled by others")
        none_ever = 0 < len(self._late) == len(self._manager.actor_ids())
        if none_ever and waited > self._start_timeout_s:
            message = explain_no_start(len(self._late), self._start_timeout_s)
            self._events.append(f"{message}; until then this process samples alone")
            self._start_timeout_s = float("inf")  # said once

    def _take_answered(self) -> list[int]:
        """Workers whose ping came back; a ping that failed is sent again next time."""
        if not self._pings:
            return []
        pings = list(self._pings.values())
        done, _ = ray.wait(pings, num_returns=len(pings), timeout=0)
        answered = []
        for worker in [w for w, ping in self._pings.items() if ping in done]:
            try:
                ray.get(self._pings.pop(worker))
            except RayError as error:
                if worker in self._late - self._announced:
                    self._announced.add(worker)
                    self._events.append(
                        f"runner {worker} cannot start ({find_reason(error)}); its episodes are "
                        "sampled by others"
                    )
                continue
            answered.append(worker)
        return answered

    def _ask(self, round_: _Round, by: int, worker: int) -> ray.ObjectRef:
        """Asks the runner `by` for a worker's share."""
        actor = self._manager.actors()[by]
        return actor.sample_async.remote(
            **round_.request, worker=worker, weights=round_.weights.sent
        )

    def _sample_again(self, round_: _Round, lost: list[int]) -> dict[int, Sampled]:
        """Samples lost shares, at most one by each healthy runner; returns those that came."""
        if not self._manager.healthy_actor_ids():
            self.revive()
        healthy = self._manager.healthy_actor_ids()
        if not healthy:
            return {lost[0]: self._sample_here(round_, lost[0])}
        share_of = dict(zip(healthy, lost, strict=False))
        calls = {by: self._ask(round_, by, worker) for by, worker in share_of.items()}
        # They may have a share of every later round to do before.
        found = self._fetch(calls, self._timeout_s * len(self._rounds))
        return {share_of[by]: sample for by, sample in found.items()}

    def _sample_here(self, round_: _Round, worker: int) -> Sampled:
        """Samples a worker's share in this process.

        Raises:
            PoolLostError: if a shard of the pool is dead.
        """
        # As a runner would: more threads could add up in another order.
        with _torch_threads(1 if self._manager.actor_ids() else torch.get_num_threads()):
            try:
                sampled: Sampled = self._local.sample_async(
                    **round_.request, worker=worker, weights=round_.weights.here
                )
            except RayActorError:
                raise PoolLostError from None
        return sampled

    def _fetch(self, calls: dict[int, ray.ObjectRef], timeout_s: float) -> dict[int, Any]:
        """Waits for answers by worker; who fails or is too late is lost.

        Args:
            calls: by worker.
            timeout_s: for all of them.

        Raises:
            CutError: if it is time to stop.
            PoolLostError: if the actor found a shard of the pool dead.
            RayTaskError: another error of the code, which a restart would only repeat.
        """
        done = self._wait(list(calls.values()), timeout_s)
        found = {}
        for worker, call in list(calls.items()):
            if call not in done:
                ray.kill(self._manager.actors()[worker], no_restart=False)
                self._lose(worker, f"did not answer for {timeout_s:g} s and is replaced")
                continue
            try:
                found[worker] = ray.get(call)
            except RayTaskError as error:
                # Ray's error is of the class of its cause, too.
                if isinstance(error, RayActorError):
                    raise PoolLostError from None
                raise
            except RayError:
                self._lose(worker, "is lost")
        return found

    def _wait(self, calls: list[ray.ObjectRef], timeout_s: float) -> list[ray.ObjectRef]:
        """The calls that are done in time.

        Raises:
            CutError: if it is time to stop.
        """
        deadline = time.monotonic() + timeout_s
        while calls:
            if self.should_stop():
                raise CutError
            left = deadline - time.monotonic()
            pause = min(max(left, 0.0), STOP_POLL_S)
            done, pending = ray.wait(calls, num_returns=len(calls), timeout=pause)
            if not pending or left <= 0:
                return list(done)
        return []

    def _lose(self, worker: int, what: str) -> None:
        self._manager.set_actor_state(worker, healthy=False)
        for round_ in self._rounds:  # whatever else it was asked for is lost with it
            round_.calls.pop(worker, None)
        self._events.append(
            f"runner {worker} {what}; {self.num_healthy} left, its episodes are sampled by others"
        )


@contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
