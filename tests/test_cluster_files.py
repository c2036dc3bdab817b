"""The files of cluster/: they parse, fit the schemas and agree with the rest about versions."""

import re
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import fillout_defaults, validate_config

ROOT = Path(__file__).parents[1]
CLUSTER = ROOT / "cluster"
AUTOSCALER_FILES = ["ray-cluster.yaml", "ray-cluster-local.yaml"]
SHELL_FILES = [
    "cluster/slurm.sh", "scripts/bootstrap.sh", "scripts/train", "scripts/test", ".ci/run",
]  # fmt: skip

# Fields of KubeRay's API reference for ray.io/v1 (1.5): type, or allowed values.
POD_TEMPLATE = {"spec": dict, "metadata": dict}
RAY_JOB = {
    "activeDeadlineSeconds": int, "backoffLimit": int, "clusterSelector": dict,
    "deletionStrategy": dict, "entrypoint": str, "entrypointNumCpus": (int, float),
    "entrypointNumGpus": (int, float), "entrypointResources": str, "jobId": str,
    "managedBy": str, "metadata": dict, "rayClusterSpec": dict, "runtimeEnvYAML": str,
    "shutdownAfterJobFinishes": bool, "submissionMode": str, "submitterConfig": dict,
    "submitterPodTemplate": dict, "suspend": bool, "ttlSecondsAfterFinished": int,
}  # fmt: skip
RAY_CLUSTER = {
    "authOptions": dict, "autoscalerOptions": dict, "enableInTreeAutoscaling": bool,
    "gcsFaultToleranceOptions": dict, "headGroupSpec": dict, "headServiceAnnotations": dict,
    "managedBy": str, "rayVersion": str, "suspend": bool, "workerGroupSpecs": list,
}  # fmt: skip
HEAD_GROUP = {
    "enableIngress": bool, "headService": dict, "rayStartParams": dict, "serviceType": str,
    "template": dict,
}  # fmt: skip
WORKER_GROUP = {
    "groupName": str, "idleTimeoutSeconds": int, "maxReplicas": int, "minReplicas": int,
    "numOfHosts": int, "rayStartParams": dict, "replicas": int, "scaleStrategy": dict,
    "suspend": bool, "template": dict,
}  # fmt: skip


def load(name: str) -> Any:
    return yaml.safe_load((CLUSTER / name).read_text(encoding="utf-8"))


def check_fields(data: dict[str, Any], allowed: dict[str, Any]) -> None:
    assert data.keys() <= allowed.keys(), data.keys() - allowed.keys()
    for name, value in data.items():
        kinds = allowed[name]
        # bool is a subclass of int, but not a number of replicas.
        assert isinstance(value, kinds), name
        assert not isinstance(value, bool) or kinds is bool, name


@pytest.mark.parametrize("name", AUTOSCALER_FILES)
def test_ray_cluster__fits_the_schema_of_ray(name: str) -> None:
    config = load(name)

    validate_config(config | {"cluster_synced_files": []})
    if config["provider"]["type"] != "local":  # Ray makes the node types of machines it is told
        validate_config(fillout_defaults(config))
        assert config["head_node_type"] in config["available_node_types"]


@pytest.mark.parametrize("name", AUTOSCALER_FILES)
def test_ray_cluster__unknown_field_is_seen(name: str) -> None:
    with pytest.raises(Exception, match="Additional properties are not allowed"):
        validate_config(load(name) | {"max_wokers": 1})


@pytest.mark.parametrize("name", AUTOSCALER_FILES)
def test_ray_cluster__asks_for_the_token_and_hides_the_dashboard(name: str) -> None:
    config = load(name)

    assert "--env RAY_AUTH_MODE=token" in config["docker"]["run_options"]
    assert config["file_mounts"]["/home/ray/.ray/auth_token"] == "~/.ray/auth_token"
    head = config["head_start_ray_commands"][-1]
    assert "--dashboard-host=127.0.0.1" in head


def test_rayjob__has_only_fields_that_kuberay_documents() -> None:
    job = load("rayjob.yaml")

    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]
    check_fields(spec, RAY_JOB)
    assert spec["submissionMode"] in {"K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"}
    assert spec["shutdownAfterJobFinishes"]  # ttlSecondsAfterFinished means nothing without it
    cluster = spec["rayClusterSpec"]
    check_fields(cluster, RAY_CLUSTER)
    check_fields(cluster["headGroupSpec"], HEAD_GROUP)
    assert cluster["authOptions"] == {"mode": "token"}
    for group in cluster["workerGroupSpecs"]:
        check_fields(group, WORKER_GROUP)
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
        # Kubernetes refuses numbers here.
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        check_fields(group["template"], POD_TEMPLATE)
        (container,) = group["template"]["spec"]["containers"]
        assert container.keys() <= {"name", "image", "ports", "resources", "env"}
        assert container["resources"]["requests"] == container["resources"]["limits"]


def test_rayjob__is_not_reachable_from_outside() -> None:
    head = load("rayjob.yaml")["spec"]["rayClusterSpec"]["headGroupSpec"]

    assert head["serviceType"] == "ClusterIP"
    assert not head.get("enableIngress", False)


@pytest.mark.parametrize(
    "name", [*AUTOSCALER_FILES, "rayjob.yaml", "Dockerfile", "README.md"]
)  # fmt: skip
def test_cluster_files__name_the_pinned_ray(name: str) -> None:
    text = (CLUSTER / name).read_text(encoding="utf-8")

    pinned = re.search(r'"ray\[rllib\]==([\d.]+)\.\*"', (ROOT / "pyproject.toml").read_text())
    assert pinned
    assert metadata.version("ray").startswith(f"{pinned[1]}.")
    named = re.findall(
        r"(?:rayproject/ray:|rayVersion: |omnichannel:|ray\[default\]==)(\d+\.\d+)", text
    )
    assert set(named) == {pinned[1]}


@pytest.mark.parametrize("name", [*AUTOSCALER_FILES, "Dockerfile"])
def test_cluster_files__install_the_torch_of_the_bootstrap(name: str) -> None:
    bootstrap = (ROOT / "scripts" / "bootstrap.sh").read_text(encoding="utf-8")

    (torch,) = re.findall(r'^TORCH="(.+)"$', bootstrap, re.MULTILINE)
    assert f'"{torch}"' in (CLUSTER / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SHELL_FILES)
def test_shell_files__pass_shellcheck(name: str) -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")

    found = subprocess.run(
        [shellcheck, "-x", "-P", "SCRIPTDIR", ROOT / name],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert found.returncode == 0, found.stdout


def test_dockerfile__copies_what_exists_and_runs_as_a_user() -> None:
    text = (CLUSTER / "Dockerfile").read_text(encoding="utf-8")
    lines = [line.split() for line in text.splitlines() if line and line[0] != "#"]

    words = {line[0] for line in lines}
    assert words <= {"FROM", "RUN", "COPY", "USER", "WORKDIR", "CMD"}
    assert lines[0][0] == "FROM"
    copied = {
        source
        for line in lines
        if line[0] == "COPY"
        for source in line[1:-1]
        if not source.startswith("--")
    }
    assert {"pyproject.toml", "envs", "marl"} <= copied
    assert all((ROOT / source).exists() for source in copied)
    assert all("--no-cache-dir" in line for line in lines if line[:2] == ["RUN", "pip"])
    users = [line[1] for line in lines if line[0] == "USER"]
    assert users[-1] == "ray"


def test_cluster_readme__names_every_file() -> None:
    text = (CLUSTER / "README.md").read_text(encoding="utf-8")

    for path in CLUSTER.iterdir():
        assert path.name == "README.md" or f"`{path.name}`" in text


def write_program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def test_slurm__starts_ray_on_every_node_and_passes_on_signal_and_status(tmp_path: Path) -> None:
    """Slurm's and our programs are stubs: what the script makes of them is tested."""
    calls = tmp_path / "calls"
    shell = f'#!/usr/bin/env bash\necho "$(basename "$0") $*" >>{calls}\n'
    write_program(tmp_path / "bin/scontrol", "#!/usr/bin/env bash\nprintf 'n1\\nn2\\nn3\\n'\n")
    skip_options = 'while [[ "$1" == --* ]]; do shift; done\n'
    write_program(tmp_path / "bin/srun", f'#!/usr/bin/env bash\n{skip_options}exec "$@"\n')
    write_program(tmp_path / ".venv/bin/ray", shell)
    write_program(
        tmp_path / ".venv/bin/omnichannel",
        f"#!{sys.executable}\nimport pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGINT, lambda *_: sys.exit(3))\n"
        f"pathlib.Path('{calls}').open('a').write(f'omnichannel {{sys.argv[1:]}}\\n')\n"
        "time.sleep(60)\n",
    )
    environment = {
        "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "SLURM_JOB_NODELIST": "n[1-3]",
        "SLURM_JOB_ID": "70011",
        "SLURM_CPUS_PER_TASK": "4",
    }

    with subprocess.Popen(
        ["bash", CLUSTER / "slurm.sh", "--scenario", "tiny"], env=environment
    ) as script:
        deadline = time.monotonic() + 60
        while "omnichannel" not in (calls.read_text() if calls.exists() else ""):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        script.terminate()
        status = script.wait(timeout=60)

    assert status == 3
    lines = calls.read_text().splitlines()
    starts = [line for line in lines if line.startswith("ray start")]
    assert [("--head" in line) for line in starts].count(True) == 1
    assert len(starts) == 3
    assert all("20011" in line for line in starts)
    (training,) = (line for line in lines if line.startswith("omnichannel"))
    assert "'env_runners.num_env_runners=8', '--scenario', 'tiny'" in training
