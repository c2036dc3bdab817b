"""A policy as one ONNX file: its networks, and the meaning of their outputs in its metadata.

Of agents on two levels, the graph has an input and an output for each of six modules: `MODULE`
holds rows of features (rows, F) float32, and `MODULE/values` the values of the options (rows, A)
float64. A row is one agent's view of one SKU; the best option is the first of the highest value.

Of residual agents it has an input and an output for each choice: `CHOICE` holds rows of features,
(rows, SKUs, F) where an agent decides for all its SKUs at once, else (rows, F), and `CHOICE/values`
what the options save (rows, A). The metadata then names the rule that they depart from.

Of ordering agents it has an input and an output for each group: `GROUP` holds rows of what
`encode_units` makes of the units that an agent sees, and `GROUP/values` the values of its orders.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field

from envs.errors import InputError
from envs.omnichannel.agents.observation import list_features
from envs.omnichannel.agents.observation_spread import SPREAD_FEATURES
from envs.omnichannel.agents.roster import MODULES, role_of
from envs.omnichannel.batched_env import BatchedEnv, Step
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.agents import Actions, Observation
from envs.omnichannel.scenario.coordination import Coordination
from envs.omnichannel.types import Float32Array, FloatArray, IntArray
from envs.untrusted import parse_json, read_bytes
from envs.validation import NonNegative, StrictModel, validate_model
from marl.planning.policy_graph import DIGEST, MOST_BYTES, NO_DIGEST, GraphError, PolicyBytes
from marl.planning.policy_session import PolicySession, SessionError
from marl.policies.choices import CHOICES
from marl.policies.greedy import choose_greedily
from marl.policies.order_groups import encode_units, make_groups
from marl.policies.order_rule import OrderValuer
from marl.policies.residual import Valuer, make_reference
from marl.policies.tuned import TunedRule

FORMAT_VERSION = 3

Units = Annotated[int, Field(ge=0, le=10_000)]


class ResidualMetadata(StrictModel):
    """The rule that residual agents depart from, and where."""

    rule: TunedRule
    choices: Annotated[tuple[Literal["dispatch", "supplier_order"], ...], Field(min_length=1)]
    margin: float  # what an option must save beyond the rule's decision, in the values' unit


class OrdersMetadata(StrictModel):
    """What ordering agents see and may order."""

    largest_order: NonNegative  # days of mean demand
    # By group, the highest number of units that is told apart, of each that is seen.
    most: Annotated[dict[str, list[Units]], Field(min_length=1)]
    num_options: dict[str, Units]  # orders of a group


class PolicyMetadata(StrictModel):
    """What the networks were trained on and what their options mean."""

    format_version: Literal[3]
    name: str  # of the run
    scenario: str
    scenario_hash: str
    features: Annotated[list[str], Field(min_length=1)]  # columns of the inputs, not normalised
    actions: Actions  # the grids that the options index
    coordination: Coordination  # weights of the agents' proposals
    classical: tuple[TunedRule, ...]  # those that were tuned
    residual: ResidualMetadata | None = None  # of residual agents
    orders: OrdersMetadata | None = None  # of ordering agents; both null: agents on two levels

    def to_properties(self) -> dict[str, str]:
        """Returns ONNX metadata: a JSON text for each field, and a place for the digest."""
        values = self.model_dump(mode="json")
        own = {name: json.dumps(value) for name, value in values.items() if value is not None}
        return own | {DIGEST: NO_DIGEST}

    @classmethod
    def from_properties(cls, properties: dict[str, str], source: str) -> Self:
        """Reads what `to_properties` returned.

        Raises:
            InputError: names the file and the field at fault.
        """
        data = {
            name: parse_json(text, f"{source}: {name[:60]}")
            for name, text in properties.items()
            if name != DIGEST
        }
        return validate_model(cls, data, source)


@dataclass(frozen=True)
class OnnxPolicy:
    """Acts greedily on the networks of a policy file."""

    session: PolicySession
    metadata: PolicyMetadata

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads what `export_policy` wrote.

        Raises:
            InputError: if the file is missing or not such a file.
        """
        if not path.exists():
            raise InputError(f"--policy: file '{path}' does not exist; give one that export wrote")
        content = read_bytes(path, "--policy", MOST_BYTES)
        try:
            found = PolicyBytes.parse(content)
            metadata = PolicyMetadata.from_properties(found.properties, str(path))
            found.check_digest()
            session = PolicySession.open(content, found.check_graph())
            _check_ports(session, metadata)
        except GraphError as error:
            raise InputError(
                f"--policy: '{path}' is not a policy file ({error}); give one that export wrote"
            ) from None
        return cls(session, metadata)

    def _run(self, feed: Mapping[str, Float32Array], names: Sequence[str]) -> dict[str, FloatArray]:
        """The values of the options, (rows, A), by module or choice.

        Raises:
            InputError: if it does not give them, or one is not a finite number.
        """
        try:
            return self.session.run(feed, names)
        except SessionError as error:
            raise InputError(f"--policy: {self.name!r} {error}; it cannot decide") from None

    @property
    def name(self) -> str:
        """The run that the policy comes from."""
        return self.metadata.name

    def adapt(self, scenario: Scenario) -> Scenario:
        """Returns the scenario under the policy's own action grids, coordinator and observations.

        Raises:
            InputError: if the scenario's agents observe other features.
        """
        known = self.metadata
        adapted = scenario.model_copy(
            update={
                "actions": known.actions,
                "coordination": known.coordination,
                "observation": Observation(spread=SPREAD_FEATURES[0] in known.features),
            }
        )
        if known.orders is not None:
            self._check_groups(adapted, known.orders)
            return adapted
        found = list(list_features(adapted))
        if found != known.features:
            different = sorted(set(found) ^ set(known.features)) or ["the order of features"]
            raise InputError(
                f"--scenario: {scenario.name} does not fit the policy {known.name!r}, which was "
                f"trained on {known.scenario}: they differ in {', '.join(different)}"
            )
        if known.residual is not None:
            try:
                make_reference(adapted, known.residual.rule, known.residual.choices)
            except InputError as error:
                raise InputError(
                    f"--scenario: {scenario.name} does not fit the policy {known.name!r}; {error}"
                ) from None
        return adapted

    def _check_groups(self, scenario: Scenario, orders: OrdersMetadata) -> None:
        """Refuses a scenario whose agents see or order other numbers of units.

        Raises:
            InputError: if so.
        """
        known = f"--scenario: {scenario.name} does not fit the policy {self.name!r}"
        try:
            groups = make_groups(scenario, orders.largest_order)
        except InputError as error:
            raise InputError(f"{known}; {error}") from None
        most = {name: group.most for name, group in groups.items()}
        options = {name: group.num_options for name, group in groups.items()}
        if most != orders.most or options != orders.num_options:
            raise InputError(f"{known}: its agents see {most} units, the policy's {orders.most}")

    def _feed_nothing(self, but: str) -> dict[str, Float32Array]:
        """No rows for all inputs but one: a run needs all of them, also those not asked for."""
        return {
            name: np.empty((0, *(1 for _ in shape[1:-1]), shape[-1]), np.float32)
            for name, _, shape in self.session.inputs
            if name != but
        }

    def make_order_valuer(self, group: str) -> OrderValuer:
        """Returns what tells the worth of orders to a group of ordering agents."""
        orders, others = self.metadata.orders, self._feed_nothing(group)
        assert orders is not None, "a policy file without ordering agents"
        most = orders.most[group]

        def value(units: Float32Array) -> FloatArray:
            feed = encode_units(units.reshape(-1, units.shape[-1]), most)
            values = self._run({group: feed, **others}, (group,))[group]
            return values.reshape(*units.shape[:-1], -1)

        return value

    def make_valuer(self, choice: str) -> Valuer:
        """Returns what tells the options' savings in a choice of residual agents."""
        others = self._feed_nothing(choice)

        def value(features: Float32Array) -> FloatArray:
            rows = 2 + (not CHOICES[choice].is_joint)
            feed = features.reshape(-1, *features.shape[rows:])
            values = self._run({choice: feed, **others}, (choice,))[choice]
            return values.reshape(*features.shape[:rows], -1)

        return value

    def select_greedy(self, env: BatchedEnv, observations: Float32Array) -> dict[str, IntArray]:
        """Returns `choose_greedily` of the file's values, of observations (B, N + 1, K, F)."""
        by_row = observations.swapaxes(0, 1)
        rows = {m: by_row[env.layout.modules[m].rows] for m in MODULES}
        feed = {m: array.reshape(-1, array.shape[-1]) for m, array in rows.items()}
        values = self._run(feed, MODULES)
        return choose_greedily(env, lambda m: values[m].reshape(*rows[m].shape[:-1], -1))

    def run_period(self, env: BatchedEnv) -> Step:
        """Observes, takes the best action of every agent and runs one period."""
        known = self.metadata.coordination
        env.coordinator.weigh(
            {d: np.array(w) for d, w in known.proposer_weights.model_dump().items()}
            if known.strategy == "learned"
            else None
        )
        return env.step(self.select_greedy(env, env.observe()))


def _check_ports(session: PolicySession, metadata: PolicyMetadata) -> None:
    """Compares inputs and outputs with what the metadata says of them."""
    observed = len(metadata.features)
    if (orders := metadata.orders) is not None:
        features = {group: sum(most) + len(most) for group, most in orders.most.items()}
        options, ranks = orders.num_options, dict.fromkeys(orders.most, 2)
    elif metadata.residual is None:
        features = dict.fromkeys(MODULES, observed)
        options = {m: metadata.actions.options[role_of(m)].number for m in MODULES}
        ranks = dict.fromkeys(MODULES, 2)
    else:
        choices = {c: CHOICES[c] for c in metadata.residual.choices}
        features = {c: observed + len(choice.features) for c, choice in choices.items()}
        options = {c: choice.num_options for c, choice in choices.items()}
        ranks = {c: 2 + choice.is_joint for c, choice in choices.items()}
    found = [
        {name: (kind, len(shape), *shape[-1:]) for name, kind, shape in ports}
        for ports in (session.inputs, session.outputs)
    ]
    expected = [
        {m: ("tensor(float)", ranks[m], width) for m, width in features.items()},
        {f"{m}/values": ("tensor(double)", 2, width) for m, width in options.items()},
    ]
    if found != expected:
        raise GraphError("its inputs and outputs are not those that its metadata describes")
