"""From a planner's CSV files to a scenario: read, check, summarise, fit, write."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

from envs.errors import InputError
from envs.omnichannel.world.demand.recorded import RecordedDemand
from marl.planning.from_data.check_demand import load_demand
from marl.planning.from_data.check_others import load_lanes, load_nodes, load_returns, load_skus
from marl.planning.from_data.check_presence import load_assortment, load_calendar, load_in_stock
from marl.planning.from_data.dataset import Dataset, Reading
from marl.planning.from_data.dates import find_zone
from marl.planning.from_data.fit import fit_scenario, get_categories
from marl.planning.from_data.fit_assortment import fit_assortment, fit_sold
from marl.planning.from_data.fit_rules import add_rules, read_rules
from marl.planning.from_data.held_back import choose_train_days
from marl.planning.from_data.layouts import parse_columns
from marl.planning.from_data.problems import Findings, Problem
from marl.planning.from_data.report import list_assumptions, list_fixes
from marl.planning.from_data.section import Section
from marl.planning.from_data.sources import Source
from marl.planning.from_data.summary import Summary, summarise
from marl.planning.from_data.writing import check_out, name_trace, write_scenario


@dataclass(frozen=True)
class Sources:
    """The files; all but the demand may be left out."""

    demand: Path | str  # a path, or the URL of a database
    returns: Path | None = None
    skus: Path | None = None
    nodes: Path | None = None
    lanes: Path | None = None
    _: KW_ONLY
    calendar: Path | None = None  # days on which stores are open
    assortment: Path | None = None
    in_stock: Path | None = None  # days on which there was something to sell
    columns: str | None = None  # of the demand file: NAME=COLUMN, ...
    query: str | None = None  # of a database
    rules: Path | None = None  # packs, calendars, suppliers and others, in YAML
    zone: str | None = None  # whose days count where times name a zone
    spread_months: bool = False  # evenly over their days


@dataclass(frozen=True)
class FromData:
    """What was made, and of what."""

    out: Path | None  # None: nothing was to be written
    trace: Path | None
    train_days: int
    held_back_days: int
    first_held_back: str | None  # date; None: nothing is held back
    reading: Reading
    summary: Summary
    sections: list[Section]
    fixed: list[Problem]

    def describe_split(self) -> str:
        """Returns a line on what is trained on, and what is held back."""
        train = f"{self.train_days} {self.summary.period}s to train on"
        if self.first_held_back is None:
            return f"{train}; nothing is held back"
        return f"{train}; {self.held_back_days} held back, from {self.first_held_back} on"

    def to_json(self) -> dict[str, Any]:
        """Returns what `from-data --json` writes."""
        return {
            "scenario": None if self.out is None else str(self.out),
            "trace": None if self.trace is None else str(self.trace),
            **self.reading.to_json(),
            "train_days": self.train_days,
            "held_back_days": self.held_back_days,
            "first_held_back": self.first_held_back,
            "summary": self.summary.to_json(),
            "assumed": list_assumptions(self.sections),
            "fixed": list_fixes(self.fixed),
        }


def make_scenario(
    sources: Sources,
    out: Path | None,
    *,
    fix: bool = False,
    held_back: str | None = None,
    force: bool = False,
    is_ragged: bool = False,
) -> FromData:
    """Makes a scenario, and the trace beside it, of a planner's files.

    Args:
        sources: the files.
        out: the scenario's file, new; None: all is checked and nothing is written.
        fix: cure what can be cured instead of refusing it.
        held_back: `30 days` or the first held-back date; None: the last fifth.
        force: replace `out` where it exists.
        is_ragged: whether a store does not carry what it never sold.

    Raises:
        InputError: one line naming file, line and column of the first mistake. Nothing is written.
    """
    if out is not None:
        check_out(out, force=force)
    rules = {} if sources.rules is None else read_rules(sources.rules)
    data, fixed = load_dataset(sources, fix=fix)
    train_days = choose_train_days(data.demand, held_back)
    summary = summarise(data, train_days, get_categories(data))
    demand, target = data.demand, out or Path("checked.yaml")
    trace = name_trace(target.stem, demand.units)
    sections = fit_scenario(data, summary, train_days, target.stem, trace)
    if is_ragged:
        if data.assortment is not None:
            raise InputError("--ragged: not allowed beside --assortment, which says it")
        sections += fit_sold(demand)
    if data.assortment is not None:
        sections += fit_assortment(demand, data.assortment)
    sections = add_rules(sections, data, rules, str(sources.rules))
    recorded = RecordedDemand(
        demand.first_day,
        demand.stores,
        demand.skus,
        demand.channels,
        demand.units,
        demand.step,
        demand.in_stock,
    )
    if out is not None:
        write_scenario(out, trace, sections, recorded)
    return FromData(
        out=out,
        trace=None if out is None else out.with_name(trace),
        train_days=train_days,
        held_back_days=demand.num_days - train_days,
        first_held_back=str(demand.get_date(train_days)) if train_days < demand.num_days else None,
        reading=data.reading,
        summary=summary,
        sections=sections,
        fixed=fixed,
    )


def load_dataset(sources: Sources, *, fix: bool) -> tuple[Dataset, list[Problem]]:
    """Reads and checks all files; returns them and what was cured.

    Raises:
        InputError: one line naming file, line and column of the first mistake.
    """
    findings = Findings(fix)
    skus = load_skus(sources.skus, findings) if sources.skus else None
    nodes = load_nodes(sources.nodes, findings) if sources.nodes else None
    stores = None if nodes is None else [n for n, node in nodes.items() if node.kind == "store"]
    demand, reading = load_demand(
        Source.parse(str(sources.demand), sources.query),
        findings,
        stores,
        skus,
        columns=parse_columns(sources.columns),
        zone=find_zone(sources.zone),
        spread_months=sources.spread_months,
        has_returns=sources.returns is not None,
    )
    if sources.in_stock is not None:
        demand = load_in_stock(sources.in_stock, demand, findings)
    if sources.calendar is not None:
        demand = load_calendar(sources.calendar, demand, findings)
    listed = sources.assortment
    assortment = None if listed is None else load_assortment(listed, demand, findings)
    returns = load_returns(sources.returns, demand, findings) if sources.returns else None
    lanes = load_lanes(sources.lanes, demand, nodes, findings) if sources.lanes else None
    data = Dataset(demand, returns or demand.returned, skus, nodes, lanes, reading, assortment)
    return data, findings.fixed
