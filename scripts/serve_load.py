"""Load on `serve`: requests a second, waiting times and memory on ten stores with 30 SKUs.

python scripts/serve_load.py --clients 16 --seconds 20
"""

from __future__ import annotations

import argparse
import csv
import http.client
import io
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from envs.omnichannel.layout import Layout
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.world.simulator import Simulator
from marl.planning.export import describe_policy, make_model
from marl.planning.policy_graph import seal
from marl.planning.stock_count import StockCountSchema

HIDDEN = 64
TICKS = os.sysconf("SC_CLK_TCK")


def make_policy(scenario: Scenario) -> bytes:
    """An untrained policy, of the size of a trained one."""
    random, layout = np.random.default_rng(0), Layout.from_scenario(scenario)
    arguments, weights = {}, {}
    for name, module in layout.modules.items():
        sizes = [layout.num_features, HIDDEN, HIDDEN]
        arguments[name] = {
            "hidden": [HIDDEN, HIDDEN],
            "num_options": module.num_options,
            "dueling": False,
        }
        shapes = {"layers.0": (sizes[1], sizes[0]), "layers.1": (sizes[2], sizes[1])}
        shapes["head"] = (module.num_options + 1, HIDDEN)
        weights[name] = {
            f"{layer}.{kind}": 0.1 * random.normal(size=shape if kind == "weight" else shape[:1])
            for layer, shape in shapes.items()
            for kind in ("weight", "bias")
        }
    model = make_model(arguments, weights)
    for key, text in describe_policy(scenario, "untrained").to_properties().items():
        model.metadata_props.add(key=key, value=text)
    return seal(model.SerializeToString())


def make_rows(scenario: Scenario) -> list[dict[str, object]]:
    """The rows of the template as a request takes them."""
    template = StockCountSchema(Simulator(scenario)).make_template()
    return [
        {
            name: cell if name in {"node", "sku"} else json.loads(cell)
            for name, cell in row.items()
            if cell and name != "day"
        }
        for row in csv.DictReader(io.StringIO(template))
    ]


class Load:
    """Clients that ask one after the other, each on a connection of its own."""

    def __init__(self, port: int, rows: list[dict[str, object]], *, is_equal: bool) -> None:
        self.port, self.rows, self.is_equal = port, rows, is_equal
        self.seconds: list[float] = []
        self.statuses: list[int] = []

    def run(self, clients: int, seconds: float) -> None:
        """Asks for some time."""
        self.until = time.monotonic() + seconds
        threads = [threading.Thread(target=self._ask, args=(c,)) for c in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _ask(self, client: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        tail = json.dumps(self.rows[1:])[1:]
        asked = 0
        while time.monotonic() < self.until:
            stock = 0 if self.is_equal else 1000 * client + asked
            first = json.dumps({**self.rows[0], "on_hand": 500 + stock})
            body = f'{{"day": 0, "rows": [{first}, {tail}}}'
            began = time.monotonic()
            connection.request("POST", "/recommend", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.read()
            self.seconds.append(time.monotonic() - began)
            self.statuses.append(response.status)
            asked += 1
        connection.close()


def wait_until_up(service: subprocess.Popen[bytes], port: int) -> None:
    """Waits until the port is listened on."""
    while service.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    sys.exit("the service has not started")


def watch_health(port: int, stop: threading.Event, seconds: list[float]) -> None:
    """Asks for /health ten times a second."""
    while not stop.wait(0.1):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        began = time.monotonic()
        connection.request("GET", "/health")
        connection.getresponse().read()
        seconds.append(time.monotonic() - began)
        connection.close()


def count_cpu_seconds(pid: int) -> float:
    """Returns what a process has used so far, in user and system mode."""
    return sum(map(int, Path(f"/proc/{pid}/stat").read_text("utf-8").split()[13:15])) / TICKS


def main() -> None:
    """Starts the service, loads it and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenario", default="retail")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=20)
    chosen = parser.parse_args()
    scenario = load_scenario(chosen.scenario)
    rows = make_rows(scenario)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        policy = Path(folder, "policy.onnx")
        policy.write_bytes(make_policy(scenario))
        service = subprocess.Popen(
            [
                *(sys.executable, "-m", "marl.commands.cli", "serve", "--policy", str(policy)),
                *("--scenario", chosen.scenario, "--port", str(port)),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_until_up(service, port)
            Load(port, rows, is_equal=False).run(1, 0.1)  # compiles
            for label, is_equal in (("different requests", False), ("equal requests", True)):
                load, stop = Load(port, rows, is_equal=is_equal), threading.Event()
                health: list[float] = []
                watcher = threading.Thread(target=watch_health, args=(port, stop, health))
                watcher.start()
                used = -count_cpu_seconds(service.pid)
                load.run(chosen.clients, chosen.seconds)
                used += count_cpu_seconds(service.pid)
                stop.set()
                watcher.join()
                p50, p99 = np.quantile(load.seconds, [0.5, 0.99])
                print(
                    f"{label}: {len(load.seconds) / chosen.seconds:.1f} a second, p50 {p50:.3f} s, "
                    f"p99 {p99:.3f} s, {used / len(load.seconds):.4f} s of CPU each on "
                    f"{used / chosen.seconds:.2f} cores, statuses {sorted(set(load.statuses))}; "
                    f"/health p99 "
                    f"{1000 * np.quantile(health, 0.99):.0f} ms"
                )
            status = Path(f"/proc/{service.pid}/status").read_text(encoding="utf-8")
            peak = int(status.partition("VmHWM:")[2].split()[0])
            print(
                f"most memory: {peak / 1e6:.2f} GB; load of the machine: {os.getloadavg()[0]:.1f}"
            )
        finally:
            service.terminate()
            service.wait()


if __name__ == "__main__":
    main()
