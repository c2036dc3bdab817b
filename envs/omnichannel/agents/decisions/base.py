"""The protocol of a decision: its proposers, its options, and how it becomes feasible.

There are two kinds. The proposals for a *quantity* are targets, from which an inventory position
is taken away; they are averaged signed, and only the mean is clipped and rounded: quantities that
were clipped at zero first could only ever push stock up. Those for a *share* are averaged, then
projected on what is allowed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.compiler import compiled
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import FloatArray, IntArray, Network
from envs.omnichannel.world.allocation.lots import Lots


class Goal(NamedTuple):
    """A feature by which agents see what the high level's option of a role stands for."""

    name: str
    role: str


PLACE, DC = "{place}", "{dc}"  # in a line: where it is decided, and that place's DC


class Line(NamedTuple):
    """How a recommendation tells a decision, or a part of it, for each place and SKU."""

    name: str
    source: str  # a name, `PLACE` or `DC`
    destination: str
    units: str | None = None  # field of `flows.Flows` with what comes of it; None: it moves nothing
    take: Callable[[FloatArray], FloatArray] = np.asarray  # the part of the decision


class Decision(ABC):
    """One decision of every period, for all copies at once."""

    name: ClassVar[str]  # field of `flows.Decisions`: what is done
    target: ClassVar[str]  # field of `flows.Targets`: what is aimed at
    proposers: ClassVar[tuple[str, ...]]  # modules, in the order of axis 0 of proposals
    is_share: ClassVar[bool]
    at_dcs: ClassVar[bool] = False  # decided for each DC; else for each store
    goals: ClassVar[tuple[Goal, ...]] = ()
    lines: ClassVar[tuple[Line, ...]]  # of a recommendation

    def __init__(self, scenario: Scenario, network: Network, rows: Mapping[str, slice]) -> None:
        self.network = network
        # What the options stand for by proposer, (L, D); D is 1 but for dispositions.
        self.grids = tuple(
            np.ascontiguousarray(grid, np.float64).reshape(len(grid), -1)
            for grid in self.list_grids(scenario)
        )
        # Where the places of this decision begin among the agents of each proposer.
        place = 0 if self.at_dcs else network.num_dcs
        self.first = np.array([place - rows[m].start for m in self.proposers], np.int64)

    @abstractmethod
    def list_grids(self, scenario: Scenario) -> list[Any]:
        """Returns what the options of each proposer stand for."""

    @classmethod
    @abstractmethod
    def settle(
        cls, target: FloatArray, *, whole_trucks: bool = False, lots: Lots | None = None
    ) -> NDArray[Any]:
        """Returns what is done about a target: feasible, if the stock is there.

        Args:
            target: coordinated, not yet feasible.
            whole_trucks: units that fill trucks are rounded so that they still do.
            lots: that orders to the places of this decision are to be made of; None: single units.
        """

    def list_goals(self) -> list[FloatArray]:
        """Returns what each of `goals` shows for every option, (L,) each."""
        return []


class Share(Decision):
    """A decision whose proposals are fractions."""

    is_share = True

    @classmethod
    def settle(
        cls, target: FloatArray, *, whole_trucks: bool = False, lots: Lots | None = None
    ) -> FloatArray:
        """Returns the share within [0, 1]."""
        del whole_trucks, lots
        return target.clip(0.0, 1.0)


class Quantity(Decision):
    """A decision whose proposals are covers, which targets are made of.

    In days a target is (lead time + days) x rate. In sigmas it is the mean of the demand over lead
    time and review, the very days ahead, plus so many of its standard deviations.
    """

    is_share = False
    pushed: ClassVar[int] = -1  # the proposer whose proposal is kept within what the DC holds

    def __init__(self, scenario: Scenario, network: Network, rows: Mapping[str, slice]) -> None:
        super().__init__(scenario, network, rows)
        self.in_sigmas = scenario.actions.unit == "sigmas"

    @property
    def lead_time(self) -> FloatArray:
        """Periods to be covered beyond the days, by place, (G,); none where covers include them."""
        net = self.network
        return np.zeros(net.num_dcs if self.at_dcs else net.num_stores)

    @classmethod
    def settle(
        cls, target: FloatArray, *, whole_trucks: bool = False, lots: Lots | None = None
    ) -> IntArray:
        """Returns positive gaps rounded half up, or to lots, the others zero."""
        del whole_trucks
        if lots is not None:
            return lots.settle(target)
        return round_gaps(np.ascontiguousarray(target, np.float64))


@compiled
def round_gaps(gap: FloatArray) -> IntArray:
    """Positive gaps rounded half up, the others zero, (B, G, K)."""
    rounded = np.empty(gap.shape, np.int64)
    units, flat = rounded.reshape(-1), gap.reshape(-1)
    for i in range(len(units)):
        units[i] = np.int64(max(flat[i], 0.0) + 0.5)
    return rounded
