"""A policy as one ONNX file: its networks, and the meaning of their outputs in its metadata.

Of agents on two levels, the graph has an input and two outputs for each of six modules: `MODULE`
holds rows of features (rows, F) float32, `MODULE/values` their action values (rows, A) float64 and
`MODULE/level` the best levels (rows,) int64. A row is one agent's view of one SKU.

Of residual agents it has an input and an output for each choice: `CHOICE` holds rows of features,
(rows, SKUs, F) where an agent decides for all its SKUs at once, else (rows, F), and `CHOICE/values`
what the options save (rows, A). The metadata then names the rule that they depart from.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from onnxruntime import InferenceSession, SessionOptions
from onnxruntime.capi import onnxruntime_pybind11_state as onnx_errors
from pydantic import Field

from envs.errors import InputError
from envs.omnichannel.agents.observation import list_features
from envs.omnichannel.agents.roster import LOW_MODULES, MODULES
from envs.omnichannel.batched_env import BatchedEnv, Step
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.agents import Actions
from envs.omnichannel.scenario.coordination import Coordination
from envs.omnichannel.types import Float32Array, IntArray
from envs.validation import StrictModel, validate_model
from marl.policies.choices import CHOICES
from marl.policies.residual import Chooser, make_reference

FORMAT_VERSION = 1

_DAMAGED = (
    onnx_errors.Fail,
    onnx_errors.InvalidArgument,
    onnx_errors.InvalidGraph,
    onnx_errors.InvalidProtobuf,
    onnx_errors.NoSuchFile,
    onnx_errors.NotImplemented,
)


class TunedRule(StrictModel):
    """A classical family as it was tuned for the scenario."""

    reward: float  # eq. 8, mean over the tuning episodes
    parameters: dict[str, float]


class ResidualMetadata(StrictModel):
    """The rule that residual agents depart from, and where."""

    reference: str  # its family
    parameters: dict[str, float]
    choices: Annotated[tuple[Literal["dispatch", "supplier_order"], ...], Field(min_length=1)]
    margin: float  # what an option must save beyond the rule's decision, in the values' unit


class PolicyMetadata(StrictModel):
    """What the networks were trained on and what their levels mean."""

    format_version: Literal[1]
    name: str  # of the run
    scenario: str
    scenario_hash: str
    features: Annotated[list[str], Field(min_length=1)]  # columns of the inputs, not normalised
    actions: Actions  # the grids that the levels index
    coordination: Coordination  # weights of the agents' proposals
    classical: dict[str, TunedRule]  # by family, those that were tuned
    residual: ResidualMetadata | None = None  # null: agents on two levels

    def to_properties(self) -> dict[str, str]:
        """Returns ONNX metadata: a JSON text for each field."""
        values = self.model_dump(mode="json")
        if values["residual"] is None:
            del values["residual"]
        return {name: json.dumps(value) for name, value in values.items()}

    @classmethod
    def from_properties(cls, properties: dict[str, str], source: str) -> Self:
        """Reads what `to_properties` returned.

        Raises:
            InputError: names the file and the field at fault.
        """
        data: dict[str, Any] = {}
        for name, text in properties.items():
            try:
                data[name] = json.loads(text)
            except ValueError:
                raise InputError(f"{source}: {name}: {text[:60]!r} is not JSON") from None
        return validate_model(cls, data, source)


@dataclass(frozen=True)
class OnnxPolicy:
    """Acts greedily on the networks of a policy file."""

    session: InferenceSession
    metadata: PolicyMetadata

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads what `export_policy` wrote.

        Raises:
            InputError: if the file is missing or not such a file.
        """
        if not path.is_file():
            raise InputError(f"--policy: file '{path}' does not exist; give one that export wrote")
        options = SessionOptions()
        options.log_severity_level = 4  # what is wrong with a file is told in one line, below
        options.intra_op_num_threads = 1  # networks this small lose more to threads than they gain
        try:
            session = InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except _DAMAGED:
            raise _make_damage_error(path) from None
        properties = session.get_modelmeta().custom_metadata_map
        metadata = PolicyMetadata.from_properties(properties, str(path))
        inputs = {i.name: i.shape[-1] for i in session.get_inputs()}
        if inputs != _count_features(metadata):
            raise _make_damage_error(path)
        return cls(session, metadata)

    @property
    def name(self) -> str:
        """The run that the policy comes from."""
        return self.metadata.name

    def adapt(self, scenario: Scenario) -> Scenario:
        """Returns the scenario under the policy's own action grids and coordinator.

        Raises:
            InputError: if the scenario's agents observe other features.
        """
        known = self.metadata
        adapted = scenario.model_copy(
            update={"actions": known.actions, "coordination": known.coordination}
        )
        found = list(list_features(adapted))
        if found != known.features:
            different = sorted(set(found) ^ set(known.features)) or ["the order of features"]
            raise InputError(
                f"--scenario: {scenario.name} does not fit the policy {known.name!r}, which was "
                f"trained on {known.scenario}: they differ in {', '.join(different)}"
            )
        if known.residual is not None:
            try:
                make_reference(adapted, known.residual)
            except InputError as error:
                raise InputError(
                    f"--scenario: {scenario.name} does not fit the policy {known.name!r}; {error}"
                ) from None
        return adapted

    def make_chooser(self, choice: str) -> Chooser:
        """Returns what picks the best options of a choice of residual agents."""
        # A run needs all inputs of the graph, also those that what is asked for does not need.
        others = {
            i.name: np.empty((0, *(1 for _ in i.shape[1:-1]), i.shape[-1]), np.float32)
            for i in self.session.get_inputs()
            if i.name != choice
        }

        def choose(features: Float32Array, margin: float) -> IntArray:
            rows = 2 + (not CHOICES[choice].is_joint)
            feed = features.reshape(-1, *features.shape[rows:])
            (values,) = self.session.run([f"{choice}/values"], {choice: feed, **others})
            values[:, 0] += margin
            options: IntArray = values.argmax(axis=-1).reshape(features.shape[:rows])
            return options

        return choose

    def select_greedy(self, env: BatchedEnv, observations: Float32Array) -> dict[str, IntArray]:
        """Returns the best levels by module, (B, A_m, K); of the high level on reviews only."""
        rows = {m: observations[:, env.layout.modules[m].rows] for m in MODULES}
        feed = {m: array.reshape(-1, array.shape[-1]) for m, array in rows.items()}
        levels = self.session.run([f"{m}/level" for m in MODULES], feed)
        chosen = {m: a.reshape(rows[m].shape[:-1]) for m, a in zip(MODULES, levels, strict=True)}
        if not env.is_review:
            chosen = {m: chosen[m] for m in LOW_MODULES}
        rules = env.scenario.coordination
        if rules.strategy == "valued":
            goals = {**env.goals, **chosen}
            values = self.session.run([f"{m}/values" for m in LOW_MODULES], feed)
            for m, worth in zip(LOW_MODULES, values, strict=True):
                goal = np.broadcast_to(goals[m.replace("_low", "_high")], chosen[m].shape)
                left = worth.max(axis=1) - worth[np.arange(len(worth)), goal.ravel()]
                chosen[m] = np.where(left.reshape(goal.shape) <= rules.margin, goal, chosen[m])
        return chosen

    def run_period(self, env: BatchedEnv) -> Step:
        """Observes, takes the best action of every agent and runs one period."""
        known = self.metadata.coordination
        env.coordinator.weigh(
            {d: np.array(w) for d, w in known.proposer_weights.model_dump().items()}
            if known.strategy == "learned"
            else None
        )
        return env.step(self.select_greedy(env, env.observe()))


def _count_features(metadata: PolicyMetadata) -> dict[str, int]:
    """Features by input of the graph."""
    observed = len(metadata.features)
    if metadata.residual is None:
        return dict.fromkeys(MODULES, observed)
    return {c: observed + len(CHOICES[c].features) for c in metadata.residual.choices}


def _make_damage_error(path: Path) -> InputError:
    return InputError(f"--policy: '{path}' is not a policy file; give one that export wrote")
