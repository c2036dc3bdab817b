"""Today's orders as data: the JSON of the service, and a decision in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field

from envs.errors import InputError
from envs.validation import StrictModel
from marl.planning.stock_cells import MOST_DAYS


def _take_whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


# With `strict`, what JSON calls an integer: 5 and 5.0, neither true nor "5".
JSON_INTEGER = BeforeValidator(_take_whole)
Day = Annotated[int, Field(strict=True, ge=0, le=MOST_DAYS), JSON_INTEGER]
Option = Annotated[int, Field(strict=True, ge=0, le=1000), JSON_INTEGER]


class Goals(StrictModel):
    """What the high-level agents hold from a review to the next: options by module and SKU."""

    day: Day  # of the review
    options: dict[str, dict[str, Option]]


# Rows are plain records, because a recommendation has thousands and checking each of their cells
# takes longer than all else that is done with them.
_STRICT = StrictModel.model_config


@dataclass(slots=True)
class Decision:
    """One decision of one node for one SKU.

    `decision` is the name of one of a decision's lines: `order` and `shipment` are units; `online`
    (who serves online orders) and what is done with returns, `restock`, `consolidate` and
    `liquidate`, are shares of what today brings, beside the units that are expected of it.
    """

    __pydantic_config__: ClassVar = _STRICT

    node: str
    sku: str
    decision: str
    source: str
    destination: str
    units: float  # whole for orders and shipments
    share: float | None
    requested: int | None  # before suppliers' and DCs' limits
    # By module, or by the rule that residual agents depart from: gap to the target, signed units;
    # or shares.
    proposals: dict[str, float]
    # Units or share that the classical rule would decide; None: it does not know the decision.
    classical: float | None
    # Of orders and shipments; a number where the scenario's days have no dates.
    arrival_date: date | int | None
    packs: int | None
    cost: float | None  # money: what is bought and the order's fixed cost, or the transport


@dataclass(slots=True, kw_only=True)
class Outlook:
    """A node's SKU before and after today's decision. Covers are days of forecast demand."""

    __pydantic_config__: ClassVar = _STRICT

    node: str
    sku: str
    on_hand: int
    on_the_way: int  # in transit and in inspection
    owed: int
    position: int  # inventory position; of a DC that of its echelon
    forecast: float  # units a day over the coming week that the node is to serve
    cover_before: float | None  # None: no demand is forecast
    cover_after: float | None
    protection_days: int  # until what is decided tomorrow can arrive
    stockout_probability: float  # of a shortage within these days
    classical_stockout_probability: float


@dataclass(slots=True)
class Totals:
    """What the lines of a kind come to, of those above zero."""

    lines: int = 0
    units: int = 0
    cost: float = 0.0  # money


def add_up(decisions: list[Decision]) -> dict[str, Totals]:
    """Returns the totals of what is sent, by the decision's name: `order`, `shipment`."""
    totals: dict[str, Totals] = {}
    for line in decisions:
        if line.share is None:
            own = totals.setdefault(line.decision, Totals())
            own.lines += line.units > 0
            own.units += int(line.units)
            own.cost += line.cost or 0.0
    return totals


def add_up_by_source(decisions: list[Decision]) -> dict[str, dict[str, Totals]]:
    """Returns the totals of what each supplier and each DC is to send, as of `add_up`."""
    by_source: dict[str, list[Decision]] = {}
    for line in decisions:
        if line.share is None and line.units > 0:
            by_source.setdefault(line.source, []).append(line)
    return {source: add_up(own) for source, own in by_source.items()}


class Recommendation(StrictModel):
    """Today's decisions, and what they were made of."""

    policy: str
    scenario: str
    day: int
    period: str  # day or week, whatever is called a day
    order_date: date | int  # of the day; its number where the scenario's days have no dates
    review: bool  # whether the high-level agents decided anew
    classical: str
    notes: list[str]
    goals: Goals | None  # None: there is no high level
    decisions: list[Decision]
    outlook: list[Outlook]
    totals: dict[str, Totals]
    rules: dict[str, dict[str, str]]  # of shelves and dates, by node and SKU, where there are any

    def explain(self, node: str, sku: str) -> str:
        """Returns the decisions of a node for a SKU in words and numbers.

        Raises:
            InputError: if there is no such node or SKU.
        """
        for kind, name, known in (
            ("node", node, {o.node for o in self.outlook}),
            ("sku", sku, {o.sku for o in self.outlook}),
        ):
            if name not in known:
                raise InputError(
                    f"--explain: {kind} {name!r} is not in the scenario; "
                    f"allowed: {', '.join(sorted(known)[:20])}"
                )
        outlook = next(o for o in self.outlook if (o.node, o.sku) == (node, sku))
        decisions = [d for d in self.decisions if (d.node, d.sku) == (node, sku)]
        told = [*self._tell(outlook, decisions)]
        if rule := self.rules.get(node, {}).get(sku):
            told.append(f"  rules      {rule}")
        return "\n".join(told)

    def _tell(self, outlook: Outlook, decisions: list[Decision]) -> Iterator[str]:
        main = decisions[0]
        yield (
            f"{outlook.node}, {outlook.sku}: {main.decision} of {main.units:g} units from "
            f"{main.source}"
            + ("" if main.requested == main.units else f" ({main.requested} asked)")
        )
        yield (
            f"  stock      {outlook.on_hand} on hand, {outlook.on_the_way} on the way, "
            f"{outlook.owed} owed; inventory position {outlook.position}"
        )
        span, now, later = (
            (" over the coming week", "today", "tomorrow's")
            if self.period == "day"
            else ("", "this week", "next week's")
        )
        yield f"  forecast   {outlook.forecast:.2f} units a {self.period}{span}"
        if outlook.cover_before is not None and outlook.cover_after is not None:
            yield (
                f"  cover      {outlook.cover_before:.1f} {self.period}s before, "
                f"{outlook.cover_after:.1f} {self.period}s after"
            )
        yield (
            f"  shortage   {outlook.stockout_probability:.0%} likely within the "
            f"{outlook.protection_days} {self.period}s until {later} decision can arrive; "
            f"{outlook.classical_stockout_probability:.0%} under {self.classical}"
        )
        for decision in decisions:
            proposed = ", ".join(f"{m} {v:+.2f}" for m, v in decision.proposals.items())
            other = decision.classical
            if decision.share is None:
                yield f"  proposals  gap to the target in units: {proposed}"
                if other is not None:
                    yield f"  classical  {self.classical} would decide {other:g} units"
            else:
                yield (
                    f"  {decision.decision:11}{decision.share:.0%} "
                    f"{decision.source} to {decision.destination}, {decision.units:.1f} units "
                    f"expected {now}; proposed {proposed}"
                    + ("" if other is None else f"; {self.classical} {other:.0%}")
                )
