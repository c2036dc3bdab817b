"""Writes a run's policy as one ONNX file, from the arrays of its checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper

from envs.errors import InputError
from envs.omnichannel.agents.observation import list_features
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.coordination import Coordination
from envs.omnichannel.types import FloatArray
from marl.evaluation.tuning import read_tuned
from marl.learning.documents import (
    AgentsDocument,
    Document,
    OrdersDocument,
    ResidualDocument,
    read_document,
)
from marl.learning.policy_arrays import COORDINATION, NetworkArguments, Weights, load_arrays
from marl.planning.policy_file import (
    FORMAT_VERSION,
    OrdersMetadata,
    PolicyMetadata,
    ResidualMetadata,
)
from marl.planning.policy_graph import seal
from marl.policies import list_families
from marl.policies.residual import get_rule
from marl.runs.files import write_file
from marl.runs.folder import POLICY_FILE, RunFolder

# Old enough for every onnxruntime that the project allows, and all that the graph needs.
_OPSET, _IR_VERSION = 17, 8
_GRAPH = "omnichannel policy"

Layer = tuple[FloatArray, FloatArray]  # weight (out, in) and bias (out,)
Written = tuple[PolicyMetadata, ModelProto]


def export_policy(run_path: Path, target: Path) -> PolicyMetadata:
    """Writes the best checkpoint of a run as a policy file.

    Args:
        run_path: run folder.
        target: .onnx file to write; it appears whole or not at all.

    Returns:
        What the file says about itself.

    Raises:
        InputError: if the run has no whole checkpoint or the file cannot be written.
    """
    run = RunFolder.open(run_path)
    path = run.find_checkpoint("best") / POLICY_FILE
    data, weights = load_arrays(path)
    schema, write = _WRITERS[run.config.method]
    document = read_document(schema, data, weights, path)
    metadata = describe_policy(run.scenario, run_path.resolve().name)
    metadata, model = write(run, metadata, document, weights)
    for name, text in metadata.to_properties().items():
        model.metadata_props.add(key=name, value=text)
    write_file(target, seal(model.SerializeToString()), "--out")
    return metadata


def _add_learnt_weights(metadata: PolicyMetadata, weights: Weights) -> PolicyMetadata:
    """Puts the coordinator's weights, where they are learnt, in place of the scenario's."""
    learnt = weights.get(COORDINATION)
    if not learnt:
        return metadata
    rules = metadata.coordination.model_dump()
    rules["proposer_weights"] = {d: values.tolist() for d, values in learnt.items()}
    return metadata.model_copy(update={"coordination": Coordination.model_validate(rules)})


def _write_agents(
    run: RunFolder, metadata: PolicyMetadata, document: AgentsDocument, weights: Weights
) -> Written:
    if not run.config.learner.share_parameters:
        raise InputError(
            f"run: '{run.path}' was trained with learner.share_parameters false; only policies "
            "whose agents share parameters can be exported"
        )
    return _add_learnt_weights(metadata, weights), make_model(document.arguments, weights)


def _write_residual(
    run: RunFolder, metadata: PolicyMetadata, document: ResidualDocument, weights: Weights
) -> Written:
    del run
    settings = document.residual
    rule, choices, margin = get_rule(settings), settings.choices, settings.margin
    own = ResidualMetadata(rule=rule, choices=choices, margin=margin)
    model = make_choice_model(document.arguments, weights)
    return metadata.model_copy(update={"residual": own}), model


def _write_orders(
    run: RunFolder, metadata: PolicyMetadata, document: OrdersDocument, weights: Weights
) -> Written:
    del run
    networks = document.arguments
    own = OrdersMetadata(
        largest_order=document.orders.largest_order,
        most={group: arguments["most"] for group, arguments in networks.items()},
        num_options={group: arguments["num_options"] for group, arguments in networks.items()},
    )
    plain = {
        group: {key.removeprefix("values."): array for key, array in values.items()}
        for group, values in weights.items()
    }
    return metadata.model_copy(update={"orders": own}), make_model(networks, plain)


# By method: the schema of its document, and what it adds to the metadata and the graph.
_WRITERS: dict[str, tuple[type[Document], Callable[..., Written]]] = {
    "agents": (AgentsDocument, _write_agents),
    "residual": (ResidualDocument, _write_residual),
    "orders": (OrdersDocument, _write_orders),
}


def describe_policy(scenario: Scenario, name: str) -> PolicyMetadata:
    """Returns the metadata of a policy that was trained on the scenario.

    The parameters of classical policies are those that were tuned before; none is tuned here.
    """
    tuned = [read_tuned(family, scenario) for family in list_families(scenario)]
    return PolicyMetadata(
        format_version=FORMAT_VERSION,
        name=name,
        scenario=scenario.name,
        scenario_hash=scenario.hash(),
        features=list(list_features(scenario)),
        actions=scenario.actions,
        coordination=scenario.coordination,
        classical=tuple(rule for rule in tuned if rule),
    )


def make_model(arguments: NetworkArguments, weights: Weights) -> ModelProto:
    """Builds the graph of all modules, or of all groups of ordering agents.

    It computes in double precision, so that rounding decides between two actions only where
    the learner's own single precision cannot tell them apart.
    """
    layers = {name: _make_layers(arguments[name], weights[name]) for name in arguments}
    return _join(
        _Part(name, [f"{name}/rows"], own, _make_nodes(name, len(own)))
        for name, own in layers.items()
    )


def make_choice_model(arguments: NetworkArguments, weights: Weights) -> ModelProto:
    """Builds the graph of residual agents: the values of every choice's options.

    Rows of a joint choice hold all SKUs of a location, whose values are summed.

    Args:
        arguments: of `ChoiceNetwork`, by choice.
        weights: by choice.
    """
    parts = []
    for name, values in arguments.items():
        layers = [*_get_hidden(values, weights[name]), _get_layer(weights[name], "head")]
        axes = [f"{name}/rows", *[f"{name}/skus"] * values["is_joint"]]
        nodes = _make_choice_nodes(name, len(layers), is_joint=values["is_joint"])
        parts.append(_Part(name, axes, layers, nodes))
    return _join(parts)


class _Part(NamedTuple):
    """A network as a part of the graph."""

    name: str
    axes: list[str]  # of its input, before the features; of its values the first alone
    layers: list[Layer]
    nodes: list[NodeProto]


def _join(parts: Iterable[_Part]) -> ModelProto:
    """One model of all parts, checked."""
    nodes: list[NodeProto] = []
    initializers: list[TensorProto] = []
    inputs, outputs = [], []
    for name, axes, layers, own in parts:
        shapes = [*axes, layers[0][0].shape[1]], [axes[0], layers[-1][0].shape[0]]
        inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[0]))
        values = helper.make_tensor_value_info(f"{name}/values", TensorProto.DOUBLE, shapes[1])
        outputs.append(values)
        nodes += own
        initializers += _make_initializers(name, layers)
        if len(axes) > 1:
            initializers.append(numpy_helper.from_array(np.array([1]), f"{name}/sku_axis"))
    graph = helper.make_graph(nodes, _GRAPH, inputs, outputs, initializers)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", _OPSET)], producer_name="omnichannel-marl"
    )
    model.ir_version = _IR_VERSION
    checker.check_model(model)
    return model


def _make_initializers(name: str, layers: Sequence[Layer]) -> list[TensorProto]:
    return [
        numpy_helper.from_array(array, f"{name}/{kind}_{i}")
        for i, layer in enumerate(layers)
        for kind, array in zip(("weight", "bias"), layer, strict=True)
    ]


def _get_layer(parameters: Mapping[str, NDArray[Any]], name: str) -> Layer:
    return parameters[f"{name}.weight"].astype(float), parameters[f"{name}.bias"].astype(float)


def _get_hidden(
    arguments: Mapping[str, Any], parameters: Mapping[str, NDArray[Any]]
) -> list[Layer]:
    return [_get_layer(parameters, f"layers.{i}") for i in range(len(arguments["hidden"]))]


def _make_layers(arguments: dict[str, Any], parameters: dict[str, NDArray[Any]]) -> list[Layer]:
    """The layers of a network, the last of which gives the values of its valid options.

    The dueling combination is linear, so it is folded into that layer: Wang et al. 2016, eq. 9,
    Q = V + A - mean A.
    """
    hidden = _get_hidden(arguments, parameters)
    weight, bias = _get_layer(parameters, "head")
    options = arguments["num_options"]
    values = weight[:options], bias[:options]
    if arguments["dueling"]:
        # Option by option, so that those with equal weights keep equal values: the first one wins.
        values = (
            weight[:options] - weight[:options].mean(axis=0) + weight[-1],
            bias[:options] - bias[:options].mean() + bias[-1],
        )
    return [*hidden, values]


def _make_nodes(module_id: str, num_layers: int) -> list[NodeProto]:
    """The module's part of the graph: double precision, layers with ReLU between."""
    last = num_layers - 1
    nodes = [helper.make_node("Cast", [module_id], [f"{module_id}/0"], to=TensorProto.DOUBLE)]
    for i in range(num_layers):
        layer = [f"{module_id}/{i}", f"{module_id}/weight_{i}", f"{module_id}/bias_{i}"]
        sums = f"{module_id}/values" if i == last else f"{module_id}/sums_{i}"
        nodes.append(helper.make_node("Gemm", layer, [sums], transB=1))
        if i < last:
            nodes.append(helper.make_node("Relu", [sums], [f"{module_id}/{i + 1}"]))
    return nodes


def _make_choice_nodes(name: str, num_layers: int, *, is_joint: bool) -> list[NodeProto]:
    """A choice's part of the graph: layers with ReLU between, a sum over the SKUs if joint."""
    last = num_layers - 1
    nodes = [helper.make_node("Cast", [name], [f"{name}/0"], to=TensorProto.DOUBLE)]
    for i in range(num_layers):
        sums = f"{name}/sums_{i}" if i < last or is_joint else f"{name}/values"
        turned = f"{name}/turned_{i}"
        nodes += [
            helper.make_node("Transpose", [f"{name}/weight_{i}"], [turned]),
            helper.make_node("MatMul", [f"{name}/{i}", turned], [f"{name}/products_{i}"]),
            helper.make_node("Add", [f"{name}/products_{i}", f"{name}/bias_{i}"], [sums]),
        ]
        if i < last:
            nodes.append(helper.make_node("Relu", [sums], [f"{name}/{i + 1}"]))
    if is_joint:
        summed = [f"{name}/sums_{last}", f"{name}/sku_axis"]
        nodes.append(helper.make_node("ReduceSum", summed, [f"{name}/values"], keepdims=0))
    return nodes
