"""Policy files that lie: refused in one line before they decide anything."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from envs.errors import InputError
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.world.draws import make_seeds
from marl.planning.policy_file import OnnxPolicy
from marl.planning.policy_graph import DIGEST, NO_DIGEST, PolicyBytes, seal
from tests.conftest import WritePolicy

Change = Callable[[onnx.ModelProto], None]


def fill_weights(value: float) -> Change:
    def change(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            array = numpy_helper.to_array(tensor)
            tensor.CopyFrom(numpy_helper.from_array(np.full_like(array, value), tensor.name))

    return change


def rename_output(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        node.output[:] = ["x" if o == "ordering_high/values" else o for o in node.output]
    model.graph.output[0].name = "x"


def drop_shape(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.ClearField("shape")


def set_property(name: str, text: str) -> Change:
    def change(model: onnx.ModelProto) -> None:
        (entry,) = (p for p in model.metadata_props if p.key == name)
        entry.value = text

    return change


def shorten_grids(model: onnx.ModelProto) -> None:
    (entry,) = (p for p in model.metadata_props if p.key == "actions")
    grids = json.loads(entry.value)
    grids["push_cover"] = grids["push_cover"][:1]
    set_property("actions", json.dumps(grids))(model)


def add_loop(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Loop", ["a", "b"], ["c"]))


def add_product_of_batches(model: onnx.ModelProto) -> None:
    name = model.graph.input[0].name
    model.graph.node.append(helper.make_node("MatMul", [name, name], ["square"]))


def read_another_file(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/dev/zero"


def declare_more(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [9000, 9000]


def take_a_weight_twice(model: onnx.ModelProto) -> None:
    first, second = [node for node in model.graph.node if node.op_type == "Gemm"][:2]
    second.input[1] = first.input[1]


def widen_by_a_bias(model: onnx.ModelProto) -> None:
    name = model.graph.input[0].name
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((9000, 1)), "tall"))
    model.graph.node.append(helper.make_node("Add", [name, "tall"], ["grown"]))


def multiply_from_the_left(model: onnx.ModelProto) -> None:
    name = model.graph.input[0].name
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((9000, 1)), "tall"))
    model.graph.node.append(helper.make_node("MatMul", ["tall", name], ["grown"]))


def turn_the_inputs(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        if node.output[0].endswith("/values"):
            node.attribute.append(helper.make_attribute("transA", 1))


def lengthen(model: onnx.ModelProto) -> None:
    """Puts layers before the first one that take long and change nothing."""
    first = next(node for node in model.graph.node if node.op_type == "Gemm")
    (features,) = (x.dims[1] for x in model.graph.initializer if x.name == first.input[1])
    before, layers = first.input[0], 20
    nodes, wide = [], 400
    for i in range(layers):
        shape = (features if i == 0 else wide, features if i == layers - 1 else wide)
        model.graph.initializer.append(numpy_helper.from_array(np.eye(*shape), f"long/{i}"))
        nodes.append(helper.make_node("MatMul", [before, f"long/{i}"], [f"long/values_{i}"]))
        before = f"long/values_{i}"
    first.input[0] = before
    place = list(model.graph.node).index(first)
    others = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*others[:place], *nodes, *others[place:]])


LIES: dict[str, tuple[Change, str]] = {
    "nan": (fill_weights(np.nan), "is not finite"),
    "infinite": (fill_weights(np.inf), "is not finite"),
    "output": (rename_output, "its inputs and outputs are not those"),
    "shape": (drop_shape, "its inputs and outputs are not those"),
    "grids": (shorten_grids, "its inputs and outputs are not those"),
    "deep": (set_property("actions", "[" * 200_000), "actions: not valid JSON (nested too deeply)"),
    "no object": (set_property("actions", "null"), "a mapping of fields is needed"),
    "infinite number": (set_property("classical", "Infinity"), "classical: not valid JSON (Infi"),
    "loop": (add_loop, "operator 'Loop' is not allowed"),
    "square": (add_product_of_batches, "must have one input that is no weight"),
    "weight twice": (take_a_weight_twice, "must have one input that is no weight"),
    "tall bias": (widen_by_a_bias, "must have one input that is no weight"),
    "left": (multiply_from_the_left, "must have one input that is no weight"),
    "file": (read_another_file, "field 1"),
    "size": (declare_more, "does not have the size that it declares"),
    "rule": (
        set_property("classical", json.dumps([{"family": "naive", "parameters": {"x": 1e300}}])),
        "classical.0.parameters.x: 1e+300 is not allowed",
    ),
    "version": (set_property("format_version", "2"), "format_version: 2 is not allowed"),
}


def rewrite(path: Path, change: Change, *, is_sealed: bool) -> None:
    """Changes a policy file as somebody would who knows how its digest is made, or does not."""
    model = onnx.load(path, load_external_data=False)
    change(model)
    if is_sealed:
        set_property(DIGEST, NO_DIGEST)(model)
    content = model.SerializeToString()
    path.write_bytes(seal(content) if is_sealed else content)


@pytest.mark.parametrize(("change", "message"), LIES.values(), ids=LIES)
def test_policy__a_lie_is_one_line(
    change: Change, message: str, tiny: Scenario, write_policy: WritePolicy
) -> None:
    path = write_policy(tiny)
    rewrite(path, change, is_sealed=True)
    with pytest.raises(InputError) as error:
        OnnxPolicy.load(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("name", ["nan", "infinite", "output", "grids"])
def test_policy__what_was_changed_has_another_digest(
    name: str, tiny: Scenario, write_policy: WritePolicy
) -> None:
    path = write_policy(tiny)
    rewrite(path, LIES[name][0], is_sealed=False)
    with pytest.raises(InputError, match="it was changed after export wrote it"):
        OnnxPolicy.load(path)


def test_policy__any_changed_byte_is_noticed(tiny: Scenario, write_policy: WritePolicy) -> None:
    path = write_policy(tiny)
    content, random = path.read_bytes(), np.random.default_rng(0)
    PolicyBytes.parse(content).check_digest()
    for place in random.integers(len(content), size=100).tolist():
        changed = bytearray(content)
        changed[place] ^= 1 << int(random.integers(8))
        path.write_bytes(changed)
        with pytest.raises(InputError) as error:
            OnnxPolicy.load(path)
        assert "\n" not in str(error.value)


def test_policy__values_beyond_all_numbers_decide_nothing(
    tiny: Scenario, write_policy: WritePolicy
) -> None:
    path = write_policy(tiny)
    rewrite(path, fill_weights(1e300), is_sealed=True)
    policy, env = OnnxPolicy.load(path), BatchedEnv(tiny, 1)
    env.reset(make_seeds("test", 0, 1))
    with pytest.raises(InputError, match="that are no finite numbers; it cannot decide"):
        policy.select_greedy(env, env.observe())


def test_policy__a_graph_that_fails_on_its_rows_decides_nothing(
    tiny: Scenario, write_policy: WritePolicy
) -> None:
    path = write_policy(tiny)
    rewrite(path, turn_the_inputs, is_sealed=True)
    policy, env = OnnxPolicy.load(path), BatchedEnv(tiny, 1)
    env.reset(make_seeds("test", 0, 1))
    with pytest.raises(InputError, match="fails on its inputs; it cannot decide"):
        policy.select_greedy(env, env.observe())


def test_policy__a_run_that_takes_too_long_ends(
    tiny: Scenario, write_policy: WritePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_policy(tiny)
    rewrite(path, lengthen, is_sealed=True)
    policy, env = OnnxPolicy.load(path), BatchedEnv(tiny, 100)
    env.reset(make_seeds("test", 0, 100))
    observations = env.observe()
    policy.select_greedy(env, observations)
    monkeypatch.setattr("marl.planning.policy_session.MOST_SECONDS", 0.02)

    with pytest.raises(InputError, match=r"takes longer than the 0.02 s that are allowed"):
        policy.select_greedy(env, observations)


def test_policy__many_rows_are_run_in_parts(
    tiny: Scenario, write_policy: WritePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, env = OnnxPolicy.load(write_policy(tiny)), BatchedEnv(tiny, 20)
    env.reset(make_seeds("test", 0, 20))
    whole = policy.select_greedy(env, env.observe())
    monkeypatch.setattr("marl.planning.policy_session._MOST_VALUES", 7 * policy.session.width)

    in_parts = policy.select_greedy(env, env.observe())

    for module_id, options in whole.items():
        np.testing.assert_array_equal(in_parts[module_id], options)


def test_policy__a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "policy.onnx")
    with pytest.raises(InputError, match="is a pipe or a device; a file is needed"):
        OnnxPolicy.load(tmp_path / "policy.onnx")


def test_policy__onnxruntime_sends_no_telemetry(
    tmp_path: Path, tiny: Scenario, write_policy: WritePolicy
) -> None:
    (tmp_path / "home").mkdir()
    code = (
        "import os, sys; from pathlib import Path\n"
        "from marl.planning.policy_file import OnnxPolicy\n"
        "assert 'onnxruntime' not in sys.modules\n"
        "OnnxPolicy.load(Path(sys.argv[1]))\n"
        "assert os.environ['ORT_DISABLE_TELEMETRY'] == '1'"
    )
    environment = {**os.environ, "HOME": str(tmp_path / "home"), "PYTHONPATH": str(Path.cwd())}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    subprocess.run(
        [sys.executable, "-c", code, str(write_policy(tiny))], env=environment, check=True
    )
    assert list((tmp_path / "home").rglob("*onnxruntime*")) == []
