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
