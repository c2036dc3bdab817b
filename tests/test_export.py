"""The exported policy acts as the learner does."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from envs.errors import InputError
from envs.omnichannel.agents.roster import MODULES, PROPOSERS
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.scenario.coordination import Coordination
from envs.omnichannel.types import FloatArray, ModuleOptions
from envs.omnichannel.world.draws import make_seeds
from marl.config import load_config
from marl.evaluation.evaluate import EpisodeRunner
from marl.evaluation.tuning import load_or_tune
from marl.learning.dqn.policy import (
    LearnedPolicy,
    make_network_arguments,
    make_untrained,
    select_greedy,
)
from marl.learning.policy_arrays import NetworkArguments, Weights, save_policy
from marl.planning.export import describe_policy, export_policy, make_model
from marl.planning.policy_file import OnnxPolicy
from marl.runs.folder import PROGRESS_FILE, RunFolder

COPIES = 100


def make_weights(arguments: NetworkArguments) -> Weights:
    torch.manual_seed(0)
    return {
        m: {name: 0.2 * torch.randn(p.shape).numpy() for name, p in network.named_parameters()}
        for m, network in make_untrained(arguments).networks.items()
    }


def make_run(
    folder: Path, scenario: Scenario, *overrides: str, learnt: dict[str, FloatArray] | None = None
) -> tuple[RunFolder, LearnedPolicy]:
    """A run with one checkpoint, and the learner's own policy in it."""
    config = load_config("default", [*overrides])
    arguments = make_network_arguments(scenario, config.learner)
    weights = make_weights(arguments)
    if learnt:
        weights["coordination"] = learnt
    run = RunFolder.create(folder, scenario, config)

    def write(checkpoint: Path) -> None:
        save_policy(checkpoint / "policy.npz", {"method": "agents", "networks": arguments}, weights)
        (checkpoint / PROGRESS_FILE).write_text("{}", encoding="utf-8")

    run.save_checkpoint(32, write, is_best=True)
    return run, LearnedPolicy.from_weights(arguments, weights)


def sample_options(env: BatchedEnv, random: np.random.Generator) -> ModuleOptions:
    shape = (env.num_copies, env.network.num_skus)
    return {
        m: random.integers(
            env.layout.modules[m].num_options,
            size=(shape[0], env.layout.modules[m].num_agents, shape[1]),
        )
        for m in MODULES
    }


@pytest.mark.parametrize(
    ("rules", "overrides"),
    [
        ({}, []),
        # About half of the goals stand under these random weights.
        ({"strategy": "valued", "margin": 5}, []),
        ({}, ["learner.dueling=false"]),
    ],
    ids=str,
)
def test_export__takes_the_learners_actions_in_10_000_random_states(
    rules: dict[str, object], overrides: list[str], tiny: Scenario, tmp_path: Path
) -> None:
    tiny = tiny.model_copy(update={"coordination": Coordination.model_validate(rules)})
    run, learned = make_run(tmp_path / "run", tiny, *overrides)
    export_policy(run.path, tmp_path / "policy.onnx")
    exported = OnnxPolicy.load(tmp_path / "policy.onnx")
    env, random = BatchedEnv(tiny, COPIES), np.random.default_rng(0)

    states = actions = 0
    while states < 10_000:
        if env.period % tiny.horizon == 0:
            env.reset(make_seeds("parity", states, COPIES))
        observations = env.observe()
        expected = select_greedy(env, learned.networks, observations)
        found = exported.select_greedy(env, observations)
        assert found.keys() == expected.keys()
        for module_id, options in expected.items():
            np.testing.assert_array_equal(found[module_id], options, err_msg=module_id)
            actions += options.size
        env.step(sample_options(env, random))
        states += COPIES

    assert (states, actions) == (10_000, 149_000)


@pytest.mark.parametrize("strategy", ["average", "valued", "learned"])
def test_export__runs_episodes_as_the_learner_does(strategy: str, tmp_path: Path) -> None:
    paper = load_scenario("paper")
    rules = Coordination.model_validate({"strategy": strategy})
    paper = paper.model_copy(update={"coordination": rules})
    random = np.random.default_rng(0)
    learnt = {d: random.dirichlet(np.ones(len(p))) for d, p in PROPOSERS.items()}
    run, learned = make_run(
        tmp_path / "run", paper, learnt=learnt if strategy == "learned" else None
    )
    export_policy(run.path, tmp_path / "policy.onnx")

    exported = OnnxPolicy.load(tmp_path / "policy.onnx")

    seeds = make_seeds("test", 0, 4)
    expected = EpisodeRunner(paper, seeds, "evaluate").run(learned)
    found = EpisodeRunner(paper, seeds, "evaluate").run(exported)
    for metric, values in expected.items():
        np.testing.assert_array_equal(found[metric], values, err_msg=metric)
    if strategy == "learned":
        brought = exported.adapt(load_scenario("paper")).coordination.proposer_weights
        assert brought.disposition == pytest.approx(learnt["disposition"].tolist())
        as_before = EpisodeRunner(paper, seeds, "evaluate").run(LearnedPolicy(learned.networks))
        assert (as_before["reward"] != expected["reward"]).any()


@pytest.mark.parametrize("dueling", [True, False])
def test_make_model__gives_the_networks_action_values(tiny: Scenario, dueling: bool) -> None:
    learner = load_config().learner.model_copy(update={"dueling": dueling})
    arguments = make_network_arguments(tiny, learner)
    weights = make_weights(arguments)
    networks = LearnedPolicy.from_weights(arguments, weights).networks
    model = make_model(arguments, weights)
    from onnxruntime import InferenceSession

    session = InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    features = np.random.default_rng(0).normal(size=(50, 34)).astype(np.float32)
    outputs = session.run([f"{m}/values" for m in MODULES], dict.fromkeys(MODULES, features))

    for module_id, values in zip(MODULES, outputs, strict=True):
        options = arguments[module_id]["num_options"]
        with torch.inference_mode():
            expected = networks[module_id](torch.from_numpy(features))[:, :options].numpy()
        np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-4)


def test_export__says_what_its_options_mean(
    tiny: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMNICHANNEL_CACHE", str(tmp_path / "cache"))
    assert describe_policy(tiny, "mine").classical == ()
    run, _ = make_run(tmp_path / "run", tiny)
    # The cache is asked for the default search; this puts a short one in its place.
    monkeypatch.setattr("marl.evaluation.tuning.SMALL_BUDGET", (2, 20))
    tuned = load_or_tune("order_up_to", tiny)

    export_policy(run.path, tmp_path / "policy.onnx")

    metadata = OnnxPolicy.load(tmp_path / "policy.onnx").metadata
    assert metadata.name == "run"
    assert (metadata.scenario, metadata.scenario_hash) == ("tiny", tiny.hash())
    assert metadata.features[:2] == ["stock", "inbound_1"]
    assert metadata.actions == tiny.actions
    assert metadata.coordination == tiny.coordination
    assert metadata.classical == (tuned,)


def test_policy__brings_its_own_grids_and_coordinator(tiny: Scenario, tmp_path: Path) -> None:
    run, _ = make_run(tmp_path / "run", tiny)
    export_policy(run.path, tmp_path / "policy.onnx")
    policy = OnnxPolicy.load(tmp_path / "policy.onnx")
    grids = tiny.actions.model_copy(update={"push_cover": [1.0]})

    assert policy.adapt(tiny.model_copy(update={"actions": grids})) == tiny

    cuts = load_scenario("volatile").supply_cuts
    assert cuts is not None
    other = tiny.model_copy(
        update={"supply_cuts": cuts.model_copy(update={"windows": 1, "length": 2})}
    )
    with pytest.raises(InputError, match="they differ in cut_days, cut_in"):
        policy.adapt(other)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[: len(content) // 2], "is not a policy file"),
        (lambda content: b"", "is not a policy file"),
        (lambda content: b"\x00" * 1000, "is not a policy file"),
        (lambda content: content.replace(b"push_cover", b"pull_cover"), "actions.pull_cover"),
    ],
)
def test_policy__a_damaged_file_is_one_line(
    damage: object, message: str, tiny: Scenario, tmp_path: Path
) -> None:
    run, _ = make_run(tmp_path / "run", tiny)
    path = tmp_path / "policy.onnx"
    export_policy(run.path, path)
    assert callable(damage)
    path.write_bytes(damage(path.read_bytes()))

    with pytest.raises(InputError, match=message) as raised:
        OnnxPolicy.load(path)
    assert "\n" not in str(raised.value)


def test_policy__a_foreign_network_is_one_line(tmp_path: Path) -> None:
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["y"])],
        "other",
        [value],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])],
    )
    opset = onnx.helper.make_opsetid("", 17)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8)
    (tmp_path / "other.onnx").write_bytes(model.SerializeToString())

    with pytest.raises(InputError, match="format_version: missing"):
        OnnxPolicy.load(tmp_path / "other.onnx")


def test_export__refuses_networks_that_are_not_shared(tiny: Scenario, tmp_path: Path) -> None:
    run, _ = make_run(tmp_path / "run", tiny, "learner.share_parameters=false")

    with pytest.raises(InputError, match="share_parameters false; only policies whose"):
        export_policy(run.path, tmp_path / "policy.onnx")


def test_export__leaves_nothing_behind_when_it_cannot_write(tiny: Scenario, tmp_path: Path) -> None:
    run, _ = make_run(tmp_path / "run", tiny)

    with pytest.raises(InputError, match=r"--out: .* cannot be written"):
        export_policy(run.path, tmp_path / "nowhere" / "policy.onnx")

    assert not (tmp_path / "nowhere").exists()
