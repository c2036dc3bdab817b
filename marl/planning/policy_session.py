"""A policy file's graph in onnxruntime, with an end in time and a bound in memory."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Timer
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from envs.omnichannel.types import Float32Array, FloatArray
from marl.planning.policy_graph import GraphError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

MOST_SECONDS = 10.0  # of a run; the networks of this project take milliseconds
_MOST_VALUES = 2**26  # of an array between two layers: half a gigabyte

Ports = list[tuple[str, str, list[Any]]]  # name, type and shape


class SessionError(ValueError):
    """The end of a run without the values that the file's metadata describes."""


@dataclass(frozen=True)
class PolicySession:
    """Runs the graph of a policy file.

    Attributes:
        session: of onnxruntime.
        width: the most values that the graph makes of a row.
    """

    session: InferenceSession
    width: int

    @classmethod
    def open(cls, content: bytes, width: int) -> Self:
        """Loads a graph.

        Raises:
            GraphError: if it cannot be run.
        """
        # Without it onnxruntime keeps a number of this device in the home folder and looks up a
        # host. The variable is read when onnxruntime is imported.
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        from onnxruntime import InferenceSession, SessionOptions

        options = SessionOptions()
        options.log_severity_level = 4  # what is wrong with a file is told in one line
        options.intra_op_num_threads = 1  # networks this small lose more to threads than they gain
        try:
            session = InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except _list_errors():
            raise GraphError("its graph cannot be run") from None
        return cls(session, width)

    @property
    def inputs(self) -> Ports:
        """What it takes."""
        return [(port.name, port.type, port.shape) for port in self.session.get_inputs()]

    @property
    def outputs(self) -> Ports:
        """What it gives."""
        return [(port.name, port.type, port.shape) for port in self.session.get_outputs()]

    def run(self, feed: Mapping[str, Float32Array], names: Sequence[str]) -> dict[str, FloatArray]:
        """Returns the values of the options, (rows, A), by module or choice.

        Args:
            feed: rows of all inputs, (rows, ...).
            names: of those whose values are asked for.

        Raises:
            SessionError: if the rows that are run at once take longer than `MOST_SECONDS`, if it
                fails, or gives values of another shape or that are no finite numbers.
        """
        rows = max(len(array) for array in feed.values())
        inner = max(array[:1].size // max(array.shape[-1], 1) for array in feed.values())
        at_once = max(_MOST_VALUES // (self.width * max(inner, 1)), 1)
        parts = [
            self._run_part({n: x[i : i + at_once] for n, x in feed.items()}, names)
            for i in range(0, max(rows, 1), at_once)
        ]
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in names}

    def _run_part(
        self, feed: Mapping[str, Float32Array], names: Sequence[str]
    ) -> dict[str, FloatArray]:
        from onnxruntime import RunOptions

        options = RunOptions()
        options.log_severity_level = 4
        watch = Timer(MOST_SECONDS, setattr, (options, "terminate", True))
        watch.daemon = True
        watch.start()
        try:
            found = self.session.run([f"{name}/values" for name in names], dict(feed), options)
        except _list_errors():
            reason = (
                f"takes longer than the {MOST_SECONDS:g} s that are allowed"
                if options.terminate
                else "fails on its inputs"
            )
            raise SessionError(reason) from None
        finally:
            watch.cancel()
        values = dict(zip(names, found, strict=True))
        for name, array in values.items():
            if array.ndim != 2 or len(array) != len(feed[name]):
                raise SessionError(f"gives values of {name} in shape {array.shape}")
            if not np.isfinite(array).all():
                raise SessionError(f"gives values of {name} that are no finite numbers")
        return values


def _list_errors() -> tuple[type[Exception], ...]:
    """What onnxruntime raises about a graph or its inputs."""
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    return (
        errors.EPFail,
        errors.Fail,
        errors.InvalidArgument,
        errors.InvalidGraph,
        errors.InvalidProtobuf,
        errors.NotImplemented,
        errors.RuntimeException,
    )
