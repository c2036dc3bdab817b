"""Two Ray nodes in two network namespaces: training spreads, survives a cut, uses the node again.

Addresses, ports and processes belong to namespaces that the test makes and removes. A node that was
cut off for long ends its raylet, as Ray has declared it dead: it joins again by a new `ray start`.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.distributed.commands import CODE, ENVIRONMENT, SMALL, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.distributed, pytest.mark.timeout(1800)]

IP = shutil.which("ip") or shutil.which("ip", path="/usr/sbin:/sbin")
RAY = Path(sys.executable).with_name("ray")
PORT = 6379  # of the head, inside its namespace
HEAD_ADDRESS, WORKER_ADDRESS = "10.213.0.1", "10.213.0.2"


def ip(*arguments: str, check: bool = True) -> str:
    assert IP is not None
    return subprocess.run([IP, *arguments], capture_output=True, text=True, check=check).stdout


class Node:
    """A network namespace and the processes in it."""

    device = ""

    def __init__(self, name: str, address: str, token: str) -> None:
        self.name, self.address = name, address
        self.processes: list[subprocess.Popen[bytes]] = []
        self.temp_dir = tempfile.mkdtemp(prefix="ray-")  # short: sockets lie in it
        self.environment = {
            **ENVIRONMENT,
            "HOME": self.temp_dir,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": token,
            # A lost node is noticed within seconds.
            "RAY_health_check_initial_delay_ms": "0",
            "RAY_health_check_period_ms": "1000",
            "RAY_health_check_timeout_ms": "2000",
            "RAY_health_check_failure_threshold": "3",
        }
        ip("netns", "add", name)

    def connect(self, device: str) -> None:
        ip("link", "set", device, "netns", self.name)
        ip("-n", self.name, "address", "add", f"{self.address}/24", "dev", device)
        ip("-n", self.name, "link", "set", "lo", "up")
        ip("-n", self.name, "link", "set", device, "up")
        # Ray asks which address leads out; nothing is sent there.
        ip("-n", self.name, "route", "add", "default", "dev", device)

    def start(self, log: Path, *command: str) -> subprocess.Popen[bytes]:
        assert IP is not None
        with log.open("ab") as file:
            process = subprocess.Popen(
                [IP, "netns", "exec", self.name, *command],
                env=self.environment, stdout=file, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        self.processes.append(process)
        return process

    def start_ray(self, log: Path, *arguments: str) -> subprocess.Popen[bytes]:
        return self.start(
            log, str(RAY), "start", "--block", "--num-cpus=1", "--disable-usage-stats",
            f"--node-ip-address={self.address}", f"--temp-dir={self.temp_dir}", *arguments,
        )  # fmt: skip

    def list_processes(self) -> list[int]:
        return [int(pid) for pid in ip("netns", "pids", self.name, check=False).split()]

    def kill_processes(self) -> None:
        """Kills what runs in the namespace, and nothing else."""
        for pid in self.list_processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def remove(self) -> None:
        for _ in range(20):
            if not self.list_processes():
                break
            self.kill_processes()
            time.sleep(0.2)
        for process in self.processes:
            process.wait(timeout=30)
        ip("netns", "delete", self.name, check=False)
        shutil.rmtree(self.temp_dir, ignore_errors=True)


@pytest.fixture
def nodes() -> Iterator[tuple[Node, Node]]:
    """A head and a worker, connected by a pair of virtual devices."""
    if IP is None:
        pytest.skip("iproute2's `ip` is not installed")
    if os.geteuid() != 0:
        pytest.skip("only root can make network namespaces")
    tag = secrets.token_hex(3)
    if subprocess.run(
        [IP, "netns", "add", f"try-{tag}"], check=False, capture_output=True
    ).returncode:
        pytest.skip("network namespaces are not allowed here")
    ip("netns", "delete", f"try-{tag}")
    with ExitStack() as stack:
        token = secrets.token_hex(32)
        head = Node(f"head-{tag}", HEAD_ADDRESS, token)
        stack.callback(head.remove)
        worker = Node(f"work-{tag}", WORKER_ADDRESS, token)
        stack.callback(worker.remove)
        ip("link", "add", f"a{tag}", "type", "veth", "peer", "name", f"b{tag}")
        head.connect(f"a{tag}")
        worker.connect(f"b{tag}")
        worker.device = f"b{tag}"
        yield head, worker


def read_rounds(run: Path) -> list[dict[str, float]]:
    """What the run wrote about each round so far."""
    file = run / "metrics.jsonl"
    if not file.exists():
        return []
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(x) for x in lines if x.endswith("\n") and "env_steps_per_second" in x]


def find_samplers(round_: dict[str, float]) -> set[str]:
    """Addresses of the nodes that sampled in a round."""
    tags = [tag.split("/") for tag in round_]
    return {tag[1] for tag in tags if tag[0] == "nodes"}


def test_two_nodes__cut_off_and_used_again(nodes: tuple[Node, Node], tmp_path: Path) -> None:
    head, worker = nodes
    log, run = tmp_path / "log", tmp_path / "run"

    def look() -> str:
        samplers = [find_samplers(round_) for round_ in read_rounds(run)]
        return log.read_text(errors="replace")[-4000:] + str(samplers[-10:])

    def sampled_by(*addresses: str) -> bool:
        """Whether just these nodes sampled the last three rounds."""
        last = [find_samplers(round_) for round_ in read_rounds(run)[-3:]]
        return last == [set(addresses)] * 3

    head.start_ray(log, "--head", f"--port={PORT}", "--include-dashboard=false")
    address = f"{HEAD_ADDRESS}:{PORT}"
    assert wait_until(lambda: "Ray runtime started" in log.read_text(), 180), look()
    worker.start_ray(log, f"--address={address}")
    driver = head.start(
        log, sys.executable, "-u", "-c", CODE, "train", *SMALL, "--episodes", "10000000",
        "--set", "env_runners.num_env_runners=2", "--set", "env_runners.sample_timeout_s=20",
        "--set", "evaluation.interval_episodes=100000",
        "--address", address, "--run-dir", str(run),
    )  # fmt: skip

    both = HEAD_ADDRESS, WORKER_ADDRESS
    assert wait_until(lambda: sampled_by(*both), 400), look()

    # The worker is cut off; the run goes on with the head's runner.
    ip("-n", worker.name, "link", "set", worker.device, "down")
    assert wait_until(lambda: sampled_by(HEAD_ADDRESS), 300), look()
    assert driver.poll() is None

    # The line is back, the node joins again.
    ip("-n", worker.name, "link", "set", worker.device, "up")
    ip("-n", worker.name, "route", "replace", "default", "dev", worker.device)
    worker.kill_processes()
    worker.start_ray(log, f"--address={address}")
    assert wait_until(lambda: sampled_by(*both), 400), look()
    assert driver.poll() is None
