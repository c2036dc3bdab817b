"""The state of the forecasts in one file: what a morning hands on to the next one."""

from __future__ import annotations

import base64
import binascii
import zlib
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field

from envs.errors import InputError
from envs.omnichannel.forecast.history import History
from envs.omnichannel.forecast.learner import NEVER, Learner, Rates
from envs.omnichannel.forecast.running import Running
from envs.omnichannel.forecast.strategies import count_days_ahead
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.demand import Trace
from envs.omnichannel.types import FloatArray, IntArray, Network
from envs.omnichannel.world.demand.traces import TraceDemand, load_records
from envs.untrusted import MOST_TABLE, parse_object, read_text
from envs.validation import StrictModel, validate_model
from marl.planning.daily.records import Names, Sales
from marl.runs.files import write_file

VERSION = 1
_FIELD = "--state"
_MOST = 1e15  # of any number in an array


class ArrayFile(StrictModel):
    """An array as text: its bytes, compressed, in base 64."""

    kind: Literal["float64", "int64"]
    shape: Annotated[list[Annotated[int, Field(ge=0, le=1_000_000)]], Field(max_length=3)]
    data: str


class StateFile(StrictModel):
    """The file's contents."""

    format: Literal["omnichannel-forecast"]
    version: Literal[1]
    scenario: str
    first_day: date  # day 0 of the record
    next_day: date  # the first one that is not learnt yet
    stores: list[str]
    skus: list[str]
    channels: list[str]
    arrays: dict[str, ArrayFile]


@dataclass(frozen=True)
class ForecastState:
    """What is known of a scenario's demand before a day."""

    scenario: Scenario
    first_day: date
    learner: Learner

    @classmethod
    def from_record(cls, scenario: Scenario) -> Self:
        """Learns everything that the scenario's record holds, its held-back days too.

        Raises:
            InputError: if demand is drawn, so that there is no record.
        """
        demand, process = _find_record(scenario)
        learner = Learner.start(*demand.recorded.shape[1:], cycle=demand.cycle)
        rates, stock = Rates.from_settings(scenario.forecast), demand.in_stock
        for day, units in enumerate(demand.recorded):
            learner.learn(units, rates, None if stock is None else stock[day])
        return cls(scenario, load_records(process).first_day, learner)

    @classmethod
    def read(cls, path: Path, scenario: Scenario, field: str = _FIELD) -> Self:
        """Reads a state.

        Args:
            path: of the file.
            scenario: whose demand it is to be about.
            field: what messages call the file.

        Raises:
            InputError: if it is no such file, is not whole, or is that of other stores or SKUs.
        """
        source = f"{field}: '{path}'"
        data = parse_object(read_text(path, field, MOST_TABLE), source)
        found = validate_model(StateFile, data, str(path))
        demand, process = _find_record(scenario)
        for name, own in (
            ("scenario", scenario.name),
            ("stores", [store.name for store in scenario.network.stores]),
            ("skus", [sku.name for sku in scenario.skus]),
            ("channels", list(scenario.channels)),
        ):
            if getattr(found, name) != own:
                raise InputError(
                    f"{source}: {name}: not that of scenario {scenario.name}; learn the state anew "
                    "with it"
                )
        first_day = load_records(process).first_day
        days, rest = divmod((found.next_day - found.first_day).days, scenario.days_a_period)
        if found.first_day != first_day or days < 0 or rest:
            raise InputError(
                f"{source}: first_day: '{found.first_day}' is not allowed; the scenario's record "
                f"begins on {first_day}"
            )
        empty = Learner.start(*demand.recorded.shape[1:], cycle=demand.cycle)
        arrays = {
            name: _decode(found.arrays.get(name), own, f"{source}: arrays.{name}")
            for name, own in empty.get_arrays().items()
        }
        return cls(scenario, first_day, Learner(day=days, **arrays))  # type: ignore[arg-type]

    def write(self, path: Path) -> None:
        """Writes the state: the whole file, or none of it."""
        content = StateFile(
            format="omnichannel-forecast",
            version=VERSION,
            scenario=self.scenario.name,
            first_day=self.first_day,
            next_day=self.next_day,
            stores=[store.name for store in self.scenario.network.stores],
            skus=[sku.name for sku in self.scenario.skus],
            channels=list(self.scenario.channels),
            arrays={name: _encode(array) for name, array in self.learner.get_arrays().items()},
        )
        write_file(path, content.model_dump_json(indent=1) + "\n", _FIELD)

    @property
    def next_day(self) -> date:
        """The first day that is not learnt yet."""
        return self.first_day + timedelta(self.learner.day * self.scenario.days_a_period)

    @property
    def names(self) -> Names:
        """What the axes of a sales file's arrays stand for."""
        _, process = _find_record(self.scenario)
        return Names(
            stores=[store.name for store in self.scenario.network.stores],
            skus=[sku.name for sku in self.scenario.skus],
            channels=load_records(process).channels,
        )

    def learn(self, sales: Sales) -> None:
        """Adds the days of a sales file, which begin with `next_day`."""
        demand, process = _find_record(self.scenario)
        recorded = load_records(process).channels
        units = demand.spread(sales.units, recorded)
        rates = Rates.from_settings(self.scenario.forecast)
        for day, in_stock in zip(units, sales.in_stock, strict=True):
            self.learner.learn(day, rates, in_stock)

    def list_ended(self) -> list[str]:
        """Names the SKUs that have ended in all stores where they were sold."""
        ended, sold = self.learner.find_ended(), self.learner.sale_days > 0
        gone = ended.any(axis=0) & (ended | ~sold).all(axis=0)
        return [self.scenario.skus[k].name for k in np.flatnonzero(gone)]

    def make_forecast(self) -> Running:
        """Returns the forecast of this morning, which knows no other day."""
        history = History.gather([self.learner.read()])
        days_ahead = count_days_ahead(Network.from_scenario(self.scenario))
        counts = self.scenario.observation.spread
        return Running(history, self.scenario.forecast, days_ahead, counts_sales_days=counts)


def _find_record(scenario: Scenario) -> tuple[TraceDemand, Trace]:
    if not isinstance(scenario.demand, Trace):
        raise InputError(
            f"--scenario: {scenario.name} is not allowed; its demand is drawn and has no record to "
            "learn from, make one with `omnichannel scenario from-data`"
        )
    return TraceDemand(scenario, scenario.demand), scenario.demand


def _encode(array: FloatArray | IntArray) -> ArrayFile:
    data = base64.b64encode(zlib.compress(np.ascontiguousarray(array).tobytes(), 1)).decode("ascii")
    kind: Literal["float64", "int64"] = "int64" if array.dtype == np.int64 else "float64"
    return ArrayFile(kind=kind, shape=list(array.shape), data=data)


def _decode(
    found: ArrayFile | None, own: FloatArray | IntArray, source: str
) -> FloatArray | IntArray:
    """An array of the shape and kind of the learner's own one.

    Raises:
        InputError: names the array and what is wrong with it.
    """
    if found is None:
        raise InputError(f"{source} is missing; the file is not whole")
    if (found.kind, tuple(found.shape)) != (own.dtype.name, own.shape):
        raise InputError(
            f"{source}: {found.kind} of shape {found.shape} found; {own.dtype.name} of shape "
            f"{list(own.shape)} is needed"
        )
    try:
        packed = zlib.decompressobj()
        raw = packed.decompress(base64.b64decode(found.data, validate=True), own.nbytes + 1)
    except (binascii.Error, ValueError, zlib.error):
        raise InputError(f"{source}: the data are damaged") from None
    if len(raw) != own.nbytes:
        raise InputError(f"{source}: the data are damaged; {own.nbytes} bytes are needed")
    array = np.frombuffer(raw, own.dtype).reshape(own.shape).copy()
    least = NEVER if array.dtype == np.int64 else 0
    if not ((array >= least) & (array <= _MOST)).all():  # NaN is neither
        raise InputError(f"{source}: numbers from {least} to {_MOST:g} are needed")
    return array  # type: ignore[return-value]
