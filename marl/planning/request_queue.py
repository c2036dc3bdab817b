"""The service's queue: a bounded number of requests wait for the planners, equal ones once."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TYPE_CHECKING

from marl.planning.request import CountedStock

if TYPE_CHECKING:
    from marl.planning.planner import Planner

MOST_WAITING = 64
MOST_REMEMBERED = 64_000_000  # bytes of requests and recommendations


class BusyError(Exception):
    """As many requests wait as may."""


class RequestQueue:
    """Answers requests, as many at a time as there are planners.

    A planner's environments serve one request at a time. Compiled loops let other threads run, so
    a planner for each core uses them all.
    """

    def __init__(self, planners: Sequence[Planner]) -> None:
        self._free: SimpleQueue[Planner] = SimpleQueue()
        for planner in planners:
            self._free.put(planner)
        self._turn = asyncio.Semaphore(len(planners))
        self._threads = ThreadPoolExecutor(len(planners), thread_name_prefix="planner")
        self.num_waiting = 0
        self._known: OrderedDict[bytes, bytes] = OrderedDict()  # request -> recommendation
        self._num_bytes = 0

    async def answer(self, body: bytes, is_gone: Callable[[], Awaitable[bool]]) -> bytes | None:
        """Returns the JSON of a recommendation; None if the client hung up before its turn.

        Raises:
            BusyError: if too many wait.
            UnicodeDecodeError, JSONDecodeError, RecursionError: if the body is not JSON.
            ValidationError: if it is not as described.
            InputError: if it does not fit the scenario.
        """
        if body in self._known:
            self._known.move_to_end(body)
            return self._known[body]
        if self.num_waiting >= MOST_WAITING:
            raise BusyError(f"{MOST_WAITING} requests wait already; ask again in a second")
        self.num_waiting += 1
        try:
            async with self._turn:
                if await is_gone():
                    return None
                loop = asyncio.get_running_loop()
                found = await loop.run_in_executor(self._threads, self._recommend, body)
        finally:
            self.num_waiting -= 1
        self._remember(body, found)
        return found

    def _recommend(self, body: bytes) -> bytes:
        planner = self._free.get()
        try:
            count = CountedStock.model_validate(json.loads(body.decode("utf-8")))
            rows = ((f"rows.{i}", row.list_cells()) for i, row in enumerate(count.rows))
            stock_count = planner.schema.parse(rows, "rows", count.day)
            return planner.recommend(stock_count, count.goals).model_dump_json().encode()
        finally:
            self._free.put(planner)

    def _remember(self, body: bytes, found: bytes) -> None:
        if body not in self._known:
            self._known[body] = found
            self._num_bytes += len(body) + len(found)
        while self._num_bytes > MOST_REMEMBERED:
            request, answer = self._known.popitem(last=False)
            self._num_bytes -= len(request) + len(answer)
