"""The document beside a policy's arrays: its schema, and the arrays that it promises.

Sizes are held against the arrays before a network is built, so a document cannot ask for memory.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import numpy as np
from pydantic import Field, model_validator

from envs.errors import InputError
from envs.omnichannel.agents.roster import MODULES
from envs.omnichannel.scenario.coordination import ProposerWeights
from envs.validation import NonNegative, StrictModel, validate_model
from marl.config import Orders, Residual
from marl.learning.policy_arrays import COORDINATION, NetworkArguments, Weights

Width = Annotated[int, Field(strict=True, ge=1, le=100_000)]
Index = Annotated[int, Field(strict=True, ge=0, le=100_000)]
Switch = Annotated[bool, Field(strict=True)]

Shape = tuple[int, ...]
DocumentT = TypeVar("DocumentT", bound="Document")


class NetworkDocument(StrictModel):
    """The keyword arguments of a network."""

    hidden: Annotated[tuple[Width, ...], Field(max_length=100)]

    @abstractmethod
    def list_shapes(self) -> Iterator[tuple[str, Shape]]:
        """Yields the parameters that the network has, by name."""

    def _list_layers(self, features: int, outputs: int) -> Iterator[tuple[str, Shape]]:
        sizes = [features, *self.hidden]
        names = [f"layers.{i}" for i in range(len(self.hidden))]
        for name, size, next_size in zip(
            [*names, "head"], sizes, [*self.hidden, outputs], strict=True
        ):
            yield f"{name}.weight", (next_size, size)
            yield f"{name}.bias", (next_size,)


class _ValueNetwork(NetworkDocument):
    """What networks of Q-learning share."""

    num_options: Width
    dueling: Switch
    initial_option: Index
    initial_bias: NonNegative

    @model_validator(mode="after")
    def _check_option(self) -> Self:
        if self.initial_option >= self.num_options:
            raise ValueError(
                f"initial_option: {self.initial_option} is not allowed; at most "
                f"{self.num_options - 1}"
            )
        return self


class AgentNetwork(_ValueNetwork):
    """The arguments of a module's network, or of the networks of its agents."""

    num_features: Width
    max_options: Width
    num_agents: Width | None = None

    def list_shapes(self) -> Iterator[tuple[str, Shape]]:
        """Yields the parameters, those of separate agents with the agents first."""
        first = () if self.num_agents is None else (self.num_agents,)
        for name, shape in self._list_layers(self.num_features, self.max_options + 1):
            yield name, (*first, *shape)

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        if self.num_options > self.max_options:
            raise ValueError(
                f"num_options: {self.num_options} is not allowed; at most {self.max_options}, "
                "max_options"
            )
        return self


class ChoiceNetworkDocument(NetworkDocument):
    """The arguments of a choice's network."""

    num_features: Width
    num_options: Width
    is_joint: Switch

    def list_shapes(self) -> Iterator[tuple[str, Shape]]:
        """Yields the parameters."""
        yield from self._list_layers(self.num_features, self.num_options)


class OrderNetworkDocument(_ValueNetwork):
    """The arguments of a group's network."""

    most: Annotated[tuple[Index, ...], Field(min_length=1, max_length=10_000)]

    def list_shapes(self) -> Iterator[tuple[str, Shape]]:
        """Yields the parameters of the network over the indicators."""
        features = sum(self.most) + len(self.most)
        for name, shape in self._list_layers(features, self.num_options + 1):
            yield f"values.{name}", shape


class Document(StrictModel):
    """What every policy file says of itself."""

    method: str
    networks: Mapping[str, NetworkDocument]

    @property
    def arguments(self) -> NetworkArguments:
        """The networks' keyword arguments, without those that were not given."""
        return {n: x.model_dump(mode="json", exclude_unset=True) for n, x in self.networks.items()}


class AgentsDocument(Document):
    """Of agents on two levels."""

    networks: dict[str, AgentNetwork]

    @model_validator(mode="after")
    def _check_modules(self) -> Self:
        if self.networks.keys() != set(MODULES):
            raise ValueError(f"networks: needed are exactly {', '.join(MODULES)}")
        return self


class ResidualDocument(Document):
    """Of choices around a tuned rule."""

    residual: Residual
    networks: dict[Literal["dispatch", "supplier_order"], ChoiceNetworkDocument]  # type: ignore[assignment]

    @model_validator(mode="after")
    def _check_choices(self) -> Self:
        if self.networks.keys() != set(self.residual.choices):
            raise ValueError("networks: needed is exactly one for each of residual.choices")
        return self


class OrdersDocument(Document):
    """Of agents that choose order quantities."""

    orders: Orders
    networks: dict[str, OrderNetworkDocument]


def read_document(
    model: type[DocumentT], document: Mapping[str, Any], weights: Weights, path: Path | str
) -> DocumentT:
    """Returns the document, once the arrays are known to be those that it promises.

    Raises:
        InputError: names the file, and the field or array that is not allowed.
    """
    source = f"policy: '{path}'"
    found = validate_model(model, dict(document), source)
    own = {name: values for name, values in weights.items() if name != COORDINATION}
    if odd := sorted(own.keys() ^ found.networks.keys()):
        state = "are missing" if odd[0] in found.networks else "do not belong there"
        raise InputError(f"{source}: the arrays of {odd[0][:60]!r} {state}")
    for name, network in found.networks.items():
        _check_arrays(source, name, dict(network.list_shapes()), own[name])
    if learnt := weights.get(COORDINATION):
        data = {decision: values.tolist() for decision, values in learnt.items()}
        validate_model(ProposerWeights, data, f"{source}: {COORDINATION}")
        if data.keys() != ProposerWeights.model_fields.keys():
            raise InputError(f"{source}: {COORDINATION} lacks the weights of a decision")
    return found


def _check_arrays(
    source: str, name: str, shapes: Mapping[str, Shape], arrays: Mapping[str, Any]
) -> None:
    if odd := sorted(shapes.keys() ^ arrays.keys()):
        state = "is missing" if odd[0] in shapes else "does not belong there"
        raise InputError(f"{source}: array {odd[0][:60]!r} of {name} {state}")
    for parameter, shape in shapes.items():
        array = arrays[parameter]
        if array.shape != shape or array.dtype not in (np.float32, np.float64):
            raise InputError(
                f"{source}: array {parameter!r} of {name} has shape {array.shape} of "
                f"{array.dtype}; {shape} of float32 is needed"
            )
