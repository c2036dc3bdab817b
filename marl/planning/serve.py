"""The planner as a small HTTP service: the rows of a stock count in, today's orders out."""

from __future__ import annotations

import socket
from importlib import metadata
from threading import Lock
from typing import Annotated, Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from envs.errors import InputError
from envs.validation import StrictModel
from marl.planning.planner import Planner
from marl.planning.recommendation import JSON_INTEGER, Day, Goals, Recommendation
from marl.planning.stock_count import MOST_UNITS

# Numbers alone: true is no count of anything.
Amount = Annotated[float, Field(ge=0, le=MOST_UNITS, strict=True)]


class StockRow(BaseModel):
    """A node's SKU. Further properties are the other columns of the stock count's CSV."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)
    __pydantic_extra__: dict[str, Amount] = Field(init=False)

    node: str
    sku: str
    on_hand: Annotated[int, Field(strict=True, ge=0, le=MOST_UNITS), JSON_INTEGER]


class CountedStock(StrictModel):
    """The stock before the day opens: a row for every node and SKU of the scenario."""

    day: Day
    rows: list[StockRow]
    goals: Goals | None = None  # of the latest recommendation from a day before; without: a review


class Health(StrictModel):
    """What the service answers with."""

    status: str
    policy: str
    scenario: str


class Problem(StrictModel):
    """What is wrong with a request, in one line: field, value, what is allowed."""

    error: str


def make_app(planner: Planner) -> FastAPI:
    """Builds the service.

    A body that is no text is answered with 400, one that does not match its description with 422,
    one that does and still does not fit the scenario served (an unknown node, a missing row) with
    409.
    """
    app = FastAPI(
        title="omnichannel",
        version=metadata.version("omnichannel-marl"),
        description=f"Orders for scenario {planner.scenario.name} by policy {planner.policy.name}.",
    )
    turn = Lock()  # the planner's environments serve one request at a time

    @app.exception_handler(RequestValidationError)
    def refuse(request: Request, error: RequestValidationError) -> JSONResponse:
        del request
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        return JSONResponse({"error": f"{field}: {first['msg']}"}, 422)

    @app.exception_handler(InputError)
    def disagree(request: Request, error: InputError) -> JSONResponse:
        del request
        return JSONResponse({"error": str(error)}, 409)

    @app.exception_handler(HTTPException)
    def reject(request: Request, error: HTTPException) -> JSONResponse:
        del request
        return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)

    @app.get("/health")
    def get_health() -> Health:
        """Tells that the service is up, and what it serves."""
        return Health(status="ok", policy=planner.policy.name, scenario=planner.scenario.name)

    problems: dict[int | str, dict[str, Any]] = {
        status: {"model": Problem} for status in (400, 409, 422)
    }

    @app.post("/recommend", responses=problems)
    def recommend(count: CountedStock) -> Recommendation:
        """Turns a stock count into today's orders, shipments and returns."""
        rows = ((f"rows.{i}", row.model_dump()) for i, row in enumerate(count.rows))
        stock_count = planner.schema.parse(rows, "rows", count.day)
        with turn:
            return planner.recommend(stock_count, count.goals)

    return app


def run_server(planner: Planner, host: str, port: int) -> None:
    """Serves until interrupted.

    Raises:
        InputError: if the address cannot be listened on.
    """
    try:
        listener = socket.create_server((host, port))
    except OSError as error:
        raise InputError(
            f"--host, --port: {host}:{port} cannot be listened on ({error.strerror})"
        ) from None
    with listener:
        config = uvicorn.Config(make_app(planner), log_level="info")
        uvicorn.Server(config).run(sockets=[listener])
