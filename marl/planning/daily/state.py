"""The state of the forecasts in one file: what a morning hands on to the next one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from envs.errors import InputError
from envs.omnichannel.forecast import boosted
from envs.omnichannel.forecast.history import History
from envs.omnichannel.forecast.learner import Learner, Rates
from envs.omnichannel.forecast.lives import Listing, Lives
from envs.omnichannel.forecast.running import Running
from envs.omnichannel.forecast.strategies import count_days_ahead
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.demand import Recorded, Trace
from envs.omnichannel.types import BoolArray, FloatArray, Network
from envs.omnichannel.world.demand.traces import TraceDemand, load_records
from envs.untrusted import MOST_TABLE, parse_object, read_text
from envs.validation import StrictModel, validate_model
from marl.planning.daily.array_file import ArrayFile, decode, encode
from marl.planning.daily.recent import KEPT, Recent, copy_learner
from marl.planning.daily.records import Names, Sales
from marl.runs.files import write_file

VERSION = 2
_FIELD = "--state"


class StateFile(StrictModel):
    """The file's contents."""

    format: Literal["omnichannel-forecast"]
    version: Literal[2]
    scenario: str
    first_day: date  # day 0 of the record
    next_day: date  # the first one that is not learnt yet
    stores: list[str]
    skus: list[str]
    channels: list[str]
    method: Recorded = "running"
    arrays: dict[str, ArrayFile]
    before: dict[str, ArrayFile]  # the learner before the days of `recent`
    recent: dict[str, ArrayFile]
    lives: dict[str, ArrayFile] | None = None


@dataclass
class ForecastState:
    """What is known of a scenario's demand before a day."""

    scenario: Scenario
    first_day: date
    learner: Learner
    recent: Recent
    lives: Lives | None = None  # None: nothing is stated, sales alone tell

    @classmethod
    def from_record(cls, scenario: Scenario, lives: Lives | None = None) -> Self:
        """Learns everything that the scenario's record holds, its held-back days too.

        Args:
            scenario: with the record.
            lives: what is stated of its items.

        Raises:
            InputError: if demand is drawn, so that there is no record.
        """
        demand, process = _find_record(scenario)
        learner, rates = _start(scenario, demand)
        stock = demand.in_stock
        for day, units in enumerate(demand.recorded):
            _learn_day(learner, units, rates, None if stock is None else stock[day], lives)
        records = load_records(process)
        recent = Recent.start(learner, len(records.channels))
        return cls(scenario, records.first_day, learner, recent, lives)

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
        _, process = _find_record(scenario)
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
        return cls._decode(found, scenario, days, source)

    @classmethod
    def _decode(cls, found: StateFile, scenario: Scenario, days: int, source: str) -> Self:
        """The arrays of a file that is about the scenario."""
        demand, process = _find_record(scenario)
        empty, rates = _start(scenario, demand)
        if found.method != rates.method:
            raise InputError(
                f"{source}: method: {found.method!r} is not allowed; {rates.method!r} is what "
                f"scenario {scenario.name} has, learn the state anew with it"
            )

        def read(part: str, own: Mapping[str, Any]) -> dict[str, Any]:
            arrays = getattr(found, part)
            return {
                name: decode(arrays.get(name), array, f"{source}: {part}.{name}")
                for name, array in own.items()
            }

        kept = found.recent["units"].shape[0] if "units" in found.recent else 0
        if kept > min(KEPT, days):
            raise InputError(
                f"{source}: recent.units: {kept} days are not allowed; at most {min(KEPT, days)}"
            )
        channels = len(load_records(process).channels)
        recent = read("recent", Recent.make_empty(empty, channels, kept))
        before = replace(empty, day=days - kept, **read("before", empty.get_arrays()))
        lives = Lives.start(*empty.weight.shape).get_arrays()
        return cls(
            scenario,
            found.first_day,
            replace(empty, day=days, **read("arrays", empty.get_arrays())),
            Recent(before=before, **recent),
            None if found.lives is None else Lives(**read("lives", lives)),
        )

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
            method=Rates.from_settings(self.scenario.forecast).method,
            arrays=_encode(self.learner.get_arrays()),
            before=_encode(self.recent.before.get_arrays()),
            recent=_encode(self.recent.get_arrays()),
            lives=None if self.lives is None else _encode(self.lives.get_arrays()),
        )
        write_file(path, content.model_dump_json(indent=1) + "\n", _FIELD)

    @property
    def next_day(self) -> date:
        """The first day that is not learnt yet."""
        return self._find_date(self.learner.day)

    @property
    def names(self) -> Names:
        """What the axes of a sales file's arrays stand for."""
        demand, process = _find_record(self.scenario)
        return Names(
            stores=[store.name for store in self.scenario.network.stores],
            skus=[sku.name for sku in self.scenario.skus],
            channels=load_records(process).channels,
            carried=demand.carried,
        )

    def learn(self, sales: Sales) -> None:
        """Learns the days of a sales file; days that were known are learnt anew in their place.

        Args:
            sales: that begin on `next_day`, or on an earlier day from `first_kept` on.
        """
        first = self.find_day(sales.first_day)
        self.recent = self.recent.put(first, sales.units, sales.in_stock.astype(np.int64))
        if first < self.learner.day:
            self._learn_again()
        else:
            self._learn_days(self.learner, slice(-len(sales.units) or len(self.recent.units), None))
            self._forget_days()

    def take_lives(self, lives: Lives) -> None:
        """Takes what is stated of items; the days that are kept are learnt anew by it."""
        self.lives = lives
        self._learn_again()

    def _learn_again(self) -> None:
        """Learns the recent days after what was known before them."""
        self.learner = copy_learner(self.recent.before)
        self._learn_days(self.learner, slice(None))
        self._forget_days()

    def _learn_days(self, learner: Learner, which: slice) -> None:
        """Learns some of the recent days, in place."""
        demand, process = _find_record(self.scenario)
        recorded = load_records(process).channels
        rates = Rates.from_settings(self.scenario.forecast)
        in_stock = self.recent.in_stock[which] > 0
        if demand.carried is not None:
            in_stock = in_stock & demand.carried
        for day, own in zip(
            demand.spread(self.recent.units[which], recorded), in_stock, strict=True
        ):
            _learn_day(learner, day, rates, own, self.lives)

    def _forget_days(self) -> None:
        """Keeps the latest days alone; what the others brought is known before them."""
        recent, late = self.recent, max(len(self.recent.units) - KEPT, 0)
        self._learn_days(recent.before, slice(late))
        self.recent = replace(recent, units=recent.units[late:], in_stock=recent.in_stock[late:])

    @property
    def first_kept(self) -> date:
        """The first day that can be learnt anew."""
        return self._find_date(self.recent.before.day)

    def find_day(self, when: date) -> int:
        """Returns the number of the day that begins on a date."""
        return (when - self.first_day).days // self.scenario.days_a_period

    def _find_date(self, day: int) -> date:
        return self.first_day + timedelta(day * self.scenario.days_a_period)

    def find_new(self) -> BoolArray:
        """Returns what is on sale for less than four weeks, (S, K)."""
        return self.learner.find_new() if self.lives is None else self.lives.find_new(self.learner)

    def find_ended(self) -> BoolArray:
        """Returns what has ended, (S, K)."""
        learner, lives = self.learner, self.lives
        return learner.find_ended() if lives is None else lives.find_ended(learner)

    def find_unsold(self) -> BoolArray:
        """Returns what is listed and was not sold yet, (S, K); sales alone do not tell."""
        if self.lives is None:
            return np.zeros(self.learner.weight.shape, np.bool_)
        return self.lives.find_unsold(self.learner)

    def list_ended(self) -> list[str]:
        """Names the SKUs that have ended in all stores where they were sold or listed."""
        ended = self.find_ended()
        was_there = (self.learner.sale_days > 0) | self.find_unsold()
        gone = ended.any(axis=0) & (ended | ~was_there).all(axis=0)
        return [self.scenario.skus[k].name for k in np.flatnonzero(gone)]

    def list_new(self) -> list[str]:
        """Names the SKUs that are new in a store."""
        return [self.scenario.skus[k].name for k in np.flatnonzero(self.find_new().any(axis=0))]

    def make_forecast(self) -> Running:
        """Returns the forecast of this morning, which knows no other day."""
        lives, learner = self.lives, self.learner
        found = learner.read() if lives is None else lives.read(learner)
        network = Network.from_scenario(self.scenario)
        days_ahead = count_days_ahead(network)
        history, counts = History.gather([found]), self.scenario.observation.spread
        forecast = Running(history, self.scenario.forecast, days_ahead, counts_sales_days=counts)
        if lives is not None:  # futures look ahead from later days too
            days = days_ahead + int(network.lead_time.max()) + 1
            forecast.listing = Listing.from_lives(lives, learner, days)
        return forecast


def _learn_day(
    learner: Learner,
    units: FloatArray,
    rates: Rates,
    in_stock: BoolArray | None,
    lives: Lives | None,
) -> None:
    """Learns a day of units by channel, (S, K, C)."""
    if lives is not None:
        may_teach = lives.prepare(learner, units)
        in_stock = may_teach if in_stock is None else may_teach & in_stock
    learner.learn(units, rates, in_stock)


def _encode(arrays: Mapping[str, Any]) -> dict[str, ArrayFile]:
    return {name: encode(array) for name, array in arrays.items()}


def find_first_day(scenario: Scenario) -> date:
    """Returns day 0 of a scenario's record.

    Raises:
        InputError: if demand is drawn, so that there is none.
    """
    _, process = _find_record(scenario)
    return load_records(process).first_day


def _start(scenario: Scenario, demand: TraceDemand) -> tuple[Learner, Rates]:
    """A learner that knows nothing yet, and how it is to learn."""
    rates = Rates.from_settings(scenario.forecast)
    if rates.method == boosted.NAME:
        raise InputError(
            f"forecast.method: {rates.method!r} is not allowed where sales are learnt day by day, "
            "because its model is fitted to a whole record; the others are"
        )
    shape = demand.recorded.shape[1:]
    memory = rates.count_memory(shape[-1])
    return Learner.start(*shape, cycle=demand.cycle, memory=memory, pull=rates.pull), rates


def _find_record(scenario: Scenario) -> tuple[TraceDemand, Trace]:
    if not isinstance(scenario.demand, Trace):
        raise InputError(
            f"--scenario: {scenario.name} is not allowed; its demand is drawn and has no record to "
            "learn from, make one with `omnichannel scenario from-data`"
        )
    return TraceDemand(scenario, scenario.demand), scenario.demand
