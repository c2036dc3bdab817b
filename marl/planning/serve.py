"""The planner as a small HTTP service: the rows of a stock count in, today's orders out."""

from __future__ import annotations

import json
import socket
from importlib import metadata
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from envs.errors import InputError
from marl.planning.recommendation import Recommendation
from marl.planning.request import CountedStock, Health, Problem
from marl.planning.request_queue import BusyError, RequestQueue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from marl.planning.planner import Planner

_BYTES_A_CELL = 40  # of a request: a column's name and its number
_BYTES_BESIDE = 65_536
_HUNG_UP = 499  # nobody reads it


def make_app(planners: Sequence[Planner], hosts: Sequence[str] = ()) -> FastAPI:
    """Builds the service.

    A body that is no text is answered with 400, one that does not match its description with 422,
    one that does and still does not fit the scenario served (an unknown node, a missing row) with
    409, one that is too large with 413; 503 asks to come again.

    Args:
        planners: of the same policy and scenario; each answers one request at a time.
        hosts: names that a request may ask for, beside IP addresses and this machine's.
    """
    planner = planners[0]
    app = FastAPI(
        title="omnichannel",
        version=metadata.version("omnichannel-marl"),
        description=f"Orders for scenario {planner.scenario.name} by policy {planner.policy.name}.",
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
    )
    queue = app.state.queue = RequestQueue(planners)
    schema = planner.schema
    num_cells = len(schema.nodes) * len(schema.skus) * (len(schema.columns) + 3)
    app.add_middleware(_Guard, most=_BYTES_BESIDE + num_cells * _BYTES_A_CELL, hosts=hosts)

    @app.exception_handler(HTTPException)
    def reject(request: Request, error: HTTPException) -> JSONResponse:
        del request
        return _tell(error.status_code, str(error.detail), error.headers)

    @app.get("/health")
    async def get_health() -> Health:
        """Tells that the service is up, and what it serves."""
        return Health(status="ok", policy=planner.policy.name, scenario=planner.scenario.name)

    problems: dict[int | str, dict[str, Any]] = {
        status: {"model": Problem} for status in (400, 409, 413, 422, 503)
    }
    body = {"content": {"application/json": {"schema": CountedStock.model_json_schema()}}}
    _inline_definitions(body)

    @app.post(
        "/recommend",
        responses={200: {"model": Recommendation}, **problems},
        openapi_extra={"requestBody": {"required": True, **body}},
        response_class=Response,
    )
    async def recommend(request: Request) -> Response:
        """Turns a stock count into today's orders, shipments and returns."""
        return await _answer(queue, request)

    return app


async def _answer(queue: RequestQueue, request: Request) -> Response:
    """The recommendation as JSON, or what is wrong with the request."""
    try:
        found = await queue.answer(await request.body(), request.is_disconnected)
    except BusyError as busy:
        return _tell(503, str(busy), {"Retry-After": "1"})
    except UnicodeDecodeError:
        return _tell(400, "There was an error parsing the body")
    except json.JSONDecodeError as error:
        return _tell(422, f"body.{error.pos}: JSON decode error")
    except RecursionError:
        return _tell(422, "body: nested too deeply")
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        field = ".".join(["body", *map(str, first["loc"])])
        return _tell(422, f"{field}: {first['msg']}")
    except InputError as error:
        return _tell(409, str(error))
    if found is None:
        return Response(status_code=_HUNG_UP)
    return Response(found, media_type="application/json")


def _tell(status: int, message: str, headers: Any = None) -> JSONResponse:
    return JSONResponse({"error": message}, status, headers)


def _inline_definitions(body: dict[str, Any]) -> None:
    """Puts the schemas of nested models where they are used: OpenAPI looks for them elsewhere."""
    schema = body["content"]["application/json"]["schema"]
    definitions = schema.pop("$defs", {})

    def resolve(part: Any) -> Any:
        if isinstance(part, dict):
            name = str(part.get("$ref", "")).removeprefix("#/$defs/")
            return resolve(definitions[name]) if name else {k: resolve(v) for k, v in part.items()}
        return [resolve(item) for item in part] if isinstance(part, list) else part

    body["content"]["application/json"]["schema"] = resolve(schema)


class _Guard:
    """Refuses bodies that are too large before they are read, and names of other hosts.

    A page of another site can point a name of its own at this machine and ask from the user's
    browser; such a request carries that name.
    """

    def __init__(self, app: ASGIApp, most: int, hosts: Sequence[str]) -> None:
        self.app, self.most = app, most
        self.hosts = {"localhost", socket.gethostname().lower(), *(h.lower() for h in hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        declared = headers.get(b"content-length", b"0")
        if not self._is_known(host):
            await _tell(400, f"Host: {host[:60]!r} is not allowed; see --allow-host")(
                scope, receive, send
            )
            return
        too_large = f"body: too large; at most {self.most} bytes are allowed"
        if not declared.isdigit() or int(declared[:20]) > self.most:
            await _tell(413, too_large, {"Connection": "close"})(scope, receive, send)
            return
        size = 0

        async def receive_some() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self.most:
                raise HTTPException(413, too_large)
            return message

        await self.app(scope, receive_some, send)

    def _is_known(self, host: str) -> bool:
        name = host.lower()
        name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
        if name in self.hosts:
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        return True


def run_server(
    planners: Sequence[Planner], host: str, port: int, hosts: Sequence[str] = ()
) -> None:
    """Serves until interrupted.

    Raises:
        InputError: if the address cannot be listened on.
    """
    try:
        listener = listen(host, port)
    except OSError as error:
        raise InputError(
            f"--host, --port: {host}:{port} cannot be listened on ({error.strerror})"
        ) from None
    with listener:
        config = uvicorn.Config(make_app(planners, [host, *hosts]), log_level="info")
        uvicorn.Server(config).run(sockets=[listener])


def listen(host: str, port: int) -> socket.socket:
    """Returns a listening socket whose connections send small answers at once.

    asyncio sets TCP_NODELAY only where the socket itself knows that it speaks TCP.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener
