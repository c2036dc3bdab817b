"""A period in the making, and what an event of it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import fields, replace
from typing import Any

from envs.omnichannel.flows import Decisions, Flows
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import Demand, FloatArray, IntArray, Network, SeedArray, State, no_units

Fields = dict[str, Any]  # some fields of a record, by name

_FLOWS = tuple(f.name for f in fields(Flows) if f.default is not None)  # of every scenario


class Period:
    """A period of all copies: events read what came before them and fill in the rest.

    Attributes:
        state: before the period; not modified.
        decisions: feasible, in units.
        demand: what the world brings, with all draws of the period.
        on_hand: stock at this moment, (B, N, K). `Dispatch` makes it the period's own; later
            events may change it in place.
        flows: what moved so far, by field of `Flows`; zeros where nothing did.
        after: what the next state has in place of this one, by field of `State`.
        under_way: units on ways that events opened: units (B, N', K), nodes N', periods.
    """

    # Set by the event that is named, for those after it.
    lead_time: IntArray  # Dispatch: of what is sent, (B, N, K), or (1, N, K) for all copies
    sent: IntArray  # Dispatch: to each node, (B, N, K)
    offered: IntArray  # Fulfil: on hand when demand comes, (B, N, K)
    handed_over: IntArray  # Fulfil: units by channel, backorders included, (B, S, K, C)
    to_inspect: IntArray  # TakeBack: units whose inspection begins at stores, (B, S, K)
    to_inspect_at_dcs: IntArray | None = None  # TakeBackMail: the same at DCs, (B, W, K)

    def __init__(self, state: State, decisions: Decisions, demand: Demand) -> None:
        self.state, self.decisions, self.demand = state, decisions, demand
        self.on_hand = state.on_hand
        self.flows: dict[str, IntArray] = dict.fromkeys(_FLOWS, no_units(decisions.shipment.shape))
        self.flows["supplied"] = decisions.supplier_order
        self.flows["requested"] = decisions.shipment
        self.flows["demand"] = demand.units
        self.after: Fields = {
            "period": state.period + 1,
            "day": state.day + 1,
            "log_drift": demand.next_log_drift,
        }
        self.under_way: list[tuple[IntArray, slice, int]] = []

    def finish(self) -> tuple[State, Flows]:
        """Returns the state after the next arrivals, and the flows of the period."""
        after = replace(self.state, on_hand=self.on_hand, **self.after)
        return after, Flows(**self.flows)


class Event(ABC):
    """What happens at one point of a period: settings, draws, memory and rule in one place.

    Args:
        scenario: for the settings.
        network: its nodes and lanes.
    """

    reach: int = 0  # periods of the longest way that its units travel

    def __init__(self, scenario: Scenario, network: Network) -> None:
        self.network = network

    @classmethod
    def is_on(cls, scenario: Scenario) -> bool:
        """Whether the event takes place in a scenario."""
        return True

    def begin(self, seed: SeedArray, on_hand: IntArray) -> Fields:
        """Returns the fields of an episode's first state that this event keeps.

        Args:
            seed: of the exogenous draws, (B,).
            on_hand: at the start, (B, N, K).
        """
        return {}

    def draw(self, state: State) -> dict[str, FloatArray | IntArray]:
        """Returns the fields of the period's `Demand` that this event reads."""
        return {}

    @abstractmethod
    def apply(self, period: Period) -> None:
        """Lets the event happen in all copies."""
