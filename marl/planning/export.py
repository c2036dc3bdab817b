"""Writes a run's policy as one ONNX file, from the arrays of its checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper

from envs.errors import InputError
from envs.omnichannel.agents.observation import list_features
from envs.omnichannel.agents.roster import MODULES
from envs.omnichannel.coordination_rules import Coordination
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import FloatArray
from marl.evaluation.tuning import read_tuned
from marl.learning.policy_arrays import COORDINATION, NetworkArguments, Weights, load_arrays
from marl.planning.policy_file import FORMAT_VERSION, PolicyMetadata, TunedRule
from marl.policies import list_families
from marl.run_folder import POLICY_FILE, RunFolder

# Old enough for every onnxruntime that the project allows, and all that the graph needs.
_OPSET, _IR_VERSION = 17, 8

Layer = tuple[FloatArray, FloatArray]  # weight (out, in) and bias (out,)


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
    arguments, weights = load_arrays(run.find_checkpoint("best") / POLICY_FILE)
    if set(arguments) != set(MODULES):
        raise InputError(
            f"run: '{run_path}' was trained with method {run.config.method}; only policies of "
            "method agents can be exported"
        )
    if not run.config.learner.share_parameters:
        raise InputError(
            f"run: '{run_path}' was trained with learner.share_parameters false; only policies "
            "whose agents share parameters can be exported"
        )
    metadata = describe_policy(run.scenario, run_path.resolve().name)
    if learnt := weights.get(COORDINATION):
        rules = metadata.coordination.model_dump()
        rules["proposer_weights"] = {d: values.tolist() for d, values in learnt.items()}
        coordination = Coordination.model_validate(rules)
        metadata = metadata.model_copy(update={"coordination": coordination})
    model = make_model(arguments, weights)
    for name, text in metadata.to_properties().items():
        model.metadata_props.add(key=name, value=text)
    partial = target.with_name(f".{target.name}.partial")
    try:
        partial.write_bytes(model.SerializeToString())
        partial.replace(target)
    except OSError as error:
        raise InputError(f"--out: '{target}' cannot be written ({error.strerror})") from None
    return metadata


def describe_policy(scenario: Scenario, name: str) -> PolicyMetadata:
    """Returns the metadata of a policy that was trained on the scenario.

    The parameters of classical policies are those that were tuned before; none is tuned here.
    """
    tuned = {family: read_tuned(family, scenario) for family in list_families(scenario)}
    return PolicyMetadata(
        format_version=FORMAT_VERSION,
        name=name,
        scenario=scenario.name,
        scenario_hash=scenario.hash(),
        features=list(list_features(scenario)),
        actions=scenario.actions,
        coordination=scenario.coordination,
        classical={
            family: TunedRule(reward=found.reward, parameters=found.parameters)
            for family, found in tuned.items()
            if found
        },
    )


def make_model(arguments: NetworkArguments, weights: Weights) -> ModelProto:
    """Builds the graph of all modules.

    It computes in double precision, so that rounding decides between two actions only where
    the learner's own single precision cannot tell them apart.
    """
    nodes: list[NodeProto] = []
    initializers: list[TensorProto] = []
    inputs, outputs = [], []
    for module_id in MODULES:
        layers = _make_layers(arguments[module_id], weights[module_id])
        num_features, num_levels = layers[0][0].shape[1], layers[-1][0].shape[0]
        rows = f"{module_id}/rows"  # each module has its own number of agents
        inputs.append(
            helper.make_tensor_value_info(module_id, TensorProto.FLOAT, [rows, num_features])
        )
        outputs += [
            helper.make_tensor_value_info(
                f"{module_id}/values", TensorProto.DOUBLE, [rows, num_levels]
            ),
            helper.make_tensor_value_info(f"{module_id}/level", TensorProto.INT64, [rows]),
        ]
        nodes += _make_nodes(module_id, len(layers))
        for i, (weight, bias) in enumerate(layers):
            initializers += [
                numpy_helper.from_array(weight, f"{module_id}/weight_{i}"),
                numpy_helper.from_array(bias, f"{module_id}/bias_{i}"),
            ]
    graph = helper.make_graph(nodes, "omnichannel policy", inputs, outputs, initializers)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", _OPSET)], producer_name="omnichannel-marl"
    )
    model.ir_version = _IR_VERSION
    checker.check_model(model)
    return model


def _make_layers(arguments: dict[str, Any], parameters: dict[str, NDArray[Any]]) -> list[Layer]:
    """The layers of a network, the last of which gives the values of its valid levels.

    The dueling combination is linear, so it is folded into that layer: Wang et al. 2016, eq. 9,
    Q = V + A - mean A.
    """

    def get(name: str) -> Layer:
        return parameters[f"{name}.weight"].astype(float), parameters[f"{name}.bias"].astype(float)

    hidden = [get(f"layers.{i}") for i in range(len(arguments["hidden"]))]
    # The value is the mean over the quantiles, which is linear too; noise is for exploration.
    quantiles = arguments.get("num_quantiles", 1)
    weight, bias = (p.reshape(quantiles, -1, *p.shape[1:]).mean(axis=0) for p in get("head"))
    levels = arguments["num_levels"]
    values = weight[:levels], bias[:levels]
    if arguments["dueling"]:
        # Level by level, so that levels with equal weights keep equal values: the first one wins.
        values = (
            weight[:levels] - weight[:levels].mean(axis=0) + weight[-1],
            bias[:levels] - bias[:levels].mean() + bias[-1],
        )
    return [*hidden, values]


def _make_nodes(module_id: str, num_layers: int) -> list[NodeProto]:
    """The module's part of the graph: double precision, layers with ReLU between, best level."""
    last = num_layers - 1
    nodes = [helper.make_node("Cast", [module_id], [f"{module_id}/0"], to=TensorProto.DOUBLE)]
    for i in range(num_layers):
        layer = [f"{module_id}/{i}", f"{module_id}/weight_{i}", f"{module_id}/bias_{i}"]
        sums = f"{module_id}/values" if i == last else f"{module_id}/sums_{i}"
        nodes.append(helper.make_node("Gemm", layer, [sums], transB=1))
        if i < last:
            nodes.append(helper.make_node("Relu", [sums], [f"{module_id}/{i + 1}"]))
    level = [f"{module_id}/level"]
    nodes.append(helper.make_node("ArgMax", [f"{module_id}/values"], level, axis=1, keepdims=0))
    return nodes
