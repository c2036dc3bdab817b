"""The HTTP service: the CSV's rows as JSON, errors in one line, true to its own OpenAPI."""

import csv
import io
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from envs.errors import InputError
from envs.omnichannel.scenario import Scenario
from marl.planning.planner import Planner
from marl.planning.policy_file import OnnxPolicy
from marl.planning.request_queue import MOST_WAITING, RequestQueue
from marl.planning.serve import listen, make_app, run_server
from marl.planning.stock_count_file import read_stock_count
from tests.conftest import WritePolicy


@dataclass(frozen=True)
class Service:
    planner: Planner
    address: str
    queue: RequestQueue

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


@contextmanager
def serve(*planners: Planner) -> Iterator[Service]:
    """The service on a free port of this machine."""
    listener = listen("127.0.0.1", 0)
    app = make_app(planners)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield Service(planners[0], f"http://127.0.0.1:{listener.getsockname()[1]}", app.state.queue)
    server.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture
def service(tiny: Scenario, write_policy: WritePolicy) -> Iterator[Service]:
    with serve(Planner(OnnxPolicy.load(write_policy(tiny)), tiny, num_futures=10)) as running:
        yield running


def make_body(planner: Planner, scenario: Scenario) -> dict[str, Any]:
    """The template stock count as the service takes it."""
    table = csv.DictReader(io.StringIO(planner.schema.make_template()))
    return {"day": 0, "rows": [*map(to_json, table)]}


def to_json(row: dict[str, str]) -> dict[str, Any]:
    """A row of the CSV as the service takes it."""
    return {
        name: cell if name in {"node", "sku"} else json.loads(cell)
        for name, cell in row.items()
        if cell and name != "day"
    }


def test_serve__answers_as_the_command_does(
    service: Service, tiny: Scenario, tmp_path: Path
) -> None:
    planner = service.planner
    (tmp_path / "state.csv").write_text(planner.schema.make_template(), encoding="utf-8")
    expected = planner.recommend(read_stock_count(tmp_path / "state.csv", planner.schema))

    status, answer = service.post(make_body(planner, tiny))

    assert status == 200
    assert answer == expected.model_dump(mode="json")


def test_serve__different_requests_at_once_get_the_answers_of_the_command(
    tiny: Scenario, write_policy: WritePolicy, tmp_path: Path
) -> None:
    policy = write_policy(tiny)

    def make_planner() -> Planner:
        return Planner(OnnxPolicy.load(policy), tiny, num_futures=10)

    header, *lines = csv.reader(io.StringIO(make_planner().schema.make_template()))
    on_hand, smoothed = header.index("on_hand"), header.index("smoothed_store")
    bodies, expected = [], []
    for number, day in enumerate([3, 3, 3, 8, 8, 12, 3, 3] * 2):
        for line in lines:
            line[0], line[on_hand] = str(day), str(5 * number)
            if line[smoothed]:
                line[smoothed] = str(4 + number % 8 // 6)  # the last two expect more
        rows = [dict(zip(header, line, strict=True)) for line in lines]
        (tmp_path / "state.csv").write_text(
            "\n".join(map(",".join, [header, *lines])), encoding="utf-8"
        )
        planner = make_planner()  # a new one, that remembers nothing
        recommendation = planner.recommend(read_stock_count(tmp_path / "state.csv", planner.schema))
        expected.append(recommendation.model_dump(mode="json"))
        bodies.append({"day": day, "rows": [*map(to_json, rows)]})

    with serve(make_planner(), make_planner()) as service, ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(service.post, bodies))

    assert answers == [(200, found) for found in expected]
    assert len({json.dumps(found) for found in expected}) == len(bodies)


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
            run_server([planner], "127.0.0.1", port)


def ask(service: Service, head: str, body: bytes = b"") -> socket.socket:
    """Sends a request as bytes; the answer is left to be read."""
    connection = socket.create_connection(("127.0.0.1", int(service.address.split(":")[-1])))
    connection.sendall(f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    return connection


def read_status(connection: socket.socket) -> int:
    with connection:
        return int(connection.recv(100).split()[1])


POST = "POST /recommend HTTP/1.1\r\nContent-Type: application/json\r\nHost: 127.0.0.1"


class Gate:
    """Holds a planner back until it is opened, and counts what it decides."""

    def __init__(self, planner: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened, self.count, recommend = threading.Event(), 0, planner.recommend

        def wait(*arguments: Any) -> Any:
            self.count += 1
            assert self.opened.wait(60)
            return recommend(*arguments)

        monkeypatch.setattr(planner, "recommend", wait)


def test_serve__an_equal_request_is_not_worked_out_again(
    service: Service, tiny: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(service.planner, monkeypatch)
    gate.opened.set()
    body = make_body(service.planner, tiny)
    first, again = service.post(body), service.post(body)
    other = service.post(body | {"day": 1})
    assert first == again
    assert other[1]["day"] == 1
    assert gate.count == 2


def test_serve__health_is_told_and_the_queue_has_an_end(
    service: Service, tiny: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(service.planner, monkeypatch)
    body = make_body(service.planner, tiny)
    waiting = [
        ask(service, POST, json.dumps(body | {"day": day}).encode()) for day in range(MOST_WAITING)
    ]
    while service.queue.num_waiting < MOST_WAITING:
        time.sleep(0.01)
    with urllib.request.urlopen(f"{service.address}/health", timeout=5) as response:
        assert response.status == 200
    full = ask(service, POST, json.dumps(body | {"day": 1001}).encode())
    told = full.recv(1000).decode()
    full.close()
    assert told.startswith("HTTP/1.1 503")
    assert "retry-after: 1" in told.lower()

    for connection in waiting[1:]:
        connection.close()
    gate.opened.set()
    assert read_status(waiting[0]) == 200
    assert service.post(body | {"day": 1002})[0] == 200
    assert gate.count == 2, "nobody waits for the orders of those who hung up"


def test_serve__a_body_that_is_too_large_is_not_read(service: Service) -> None:
    assert read_status(ask(service, f"{POST}\r\nX: y", b"[" + b"1," * 200_000)) == 413
    chunk = b"10000\r\n" + b"1" * 65_536 + b"\r\n"
    head = POST.replace("Host", "Transfer-Encoding: chunked\r\nHost")
    address = ("127.0.0.1", int(service.address.split(":")[-1]))
    with socket.create_connection(address) as connection:
        connection.sendall(f"{head}\r\n\r\n".encode() + chunk * 4)
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:80", 200),
        ("127.0.0.1", 200),
        ("[::1]:80", 200),
        ("evil.example", 400),
        ("", 400),
    ],
)
def test_serve__a_name_of_another_site_is_refused(host: str, status: int, service: Service) -> None:
    assert read_status(ask(service, f"GET /health HTTP/1.1\r\nHost: {host}")) == status


def test_serve__no_page_loads_scripts_from_elsewhere(service: Service) -> None:
    for page in ("/docs", "/redoc"):
        assert read_status(ask(service, f"GET {page} HTTP/1.1\r\nHost: localhost")) == 404


def test_listen__small_answers_are_sent_at_once() -> None:
    with listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP  # which makes asyncio set TCP_NODELAY
