"""The HTTP service: the CSV's rows as JSON, errors in one line, true to its own OpenAPI."""

import csv
import io
import json
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from envs.errors import InputError
from envs.omnichannel.scenario import Scenario
from marl.planning.planner import Planner
from marl.planning.policy_file import OnnxPolicy
from marl.planning.serve import make_app, run_server
from marl.planning.stock_count_file import read_stock_count
from tests.conftest import WritePolicy


@dataclass(frozen=True)
class Service:
    planner: Planner
    address: str

    def post(self, body: object) -> tuple[int, Any]:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.address}/recommend", content, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)


@pytest.fixture
def service(tiny: Scenario, write_policy: WritePolicy) -> Iterator[Service]:
    """The service on a free port of this machine."""
    planner = Planner(OnnxPolicy.load(write_policy(tiny)), tiny, num_futures=10)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(make_app(planner), log_level="error", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield Service(planner, f"http://127.0.0.1:{listener.getsockname()[1]}")
    server.should_exit = True
    thread.join()
    listener.close()


def make_body(planner: Planner, scenario: Scenario) -> dict[str, Any]:
    """The template stock count as the service takes it."""
    table = csv.DictReader(io.StringIO(planner.schema.make_template()))
    rows = [
        {
            name: cell if name in {"node", "sku"} else json.loads(cell)
            for name, cell in row.items()
            if cell and name != "day"
        }
        for row in table
    ]
    return {"day": 0, "rows": rows}


def test_serve__answers_as_the_command_does(
    service: Service, tiny: Scenario, tmp_path: Path
) -> None:
    planner = service.planner
    (tmp_path / "state.csv").write_text(planner.schema.make_template(), encoding="utf-8")
    expected = planner.recommend(read_stock_count(tmp_path / "state.csv", planner.schema))

    status, answer = service.post(make_body(planner, tiny))

    assert status == 200
    assert answer == expected.model_dump(mode="json")


def test_serve__tells_what_it_serves(service: Service) -> None:
    with urllib.request.urlopen(f"{service.address}/health") as response:
        health = json.load(response)
    assert health == {"status": "ok", "policy": "constant", "scenario": "tiny"}


def test_serve__a_mistake_is_one_line(service: Service, tiny: Scenario) -> None:
    body = make_body(service.planner, tiny)
    first, *rest = body["rows"]
    cases = [
        (b"\xff", 400, "There was an error parsing the body"),
        (b"{no", 422, "body.1: JSON decode error"),
        ({}, 422, "body.day: Field required"),
        (body | {"day": -1}, 422, "body.day: Input should be greater than or equal to 0"),
        (body | {"speed": 1}, 422, "body.speed: Extra inputs are not permitted"),
        (body | {"rows": [first | {"on_hand": -1}]}, 422, "body.rows.0.on_hand: Input should be"),
        (body | {"rows": [first | {"in_transit_1": "x"}]}, 422, "body.rows.0.in_transit_1: Input"),
        (body | {"rows": rest}, 409, "rows: the row of node 'dc_0' and sku 'shirt' is missing"),
        (body | {"rows": [first, first]}, 409, "rows.1: 'dc_0' and 'shirt' stand in rows.0"),
        (body | {"rows": [first | {"node": "x"}]}, 409, "rows.0, column node: 'x' is not in the"),
        (body | {"rows": [first | {"speed": 1}]}, 409, "rows.0, column 'speed': unknown; allowed"),
        (body | {"goals": {"day": 0, "options": {}}}, 409, "goals.day: 0 is not allowed; a day"),
    ]
    for sent, status, message in cases:
        found, answer = service.post(sent)
        assert (found, list(answer)) == (status, ["error"])
        assert answer["error"].startswith(message)
        assert "\n" not in answer["error"]


def test_serve__is_true_to_its_own_openapi(service: Service, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--no-color"),
            *("run", f"{service.address}/openapi.json", "--max-examples", "10", "--seed", "0"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_run_server__an_address_in_use_is_one_line(
    tiny: Scenario, write_policy: WritePolicy
) -> None:
    planner = Planner(OnnxPolicy.load(write_policy(tiny)), tiny, num_futures=1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"127.0.0.1:{port} cannot be listened on"):
            run_server(planner, "127.0.0.1", port)
