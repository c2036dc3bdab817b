"""The size of a scenario and its agents: `Layout`, known without building any environment."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

import numpy as np

from envs.omnichannel.agents.observation import list_features
from envs.omnichannel.agents.roster import MODULES, boss_of, level_of, list_rows, role_of
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import BoolArray, IntArray


@dataclass(frozen=True, kw_only=True)
class Agent:
    """An agent: its PettingZoo name, its module, its index in the module and its row."""

    name: str
    module_id: str
    index: int
    row: int


@dataclass(frozen=True, kw_only=True)
class Module:
    """The agents of one role on one level, who share parameters."""

    name: str
    role: str
    level: str  # "high" or "low"
    boss: str | None  # module whose options are this one's goals; None: of the high level
    rows: slice  # of the observation, one for each agent
    num_options: int
    initial_option: int  # of an untrained agent
    cadence: int  # periods from one decision to the next

    @property
    def num_agents(self) -> int:
        """A_m."""
        return int(self.rows.stop - self.rows.start)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """All sizes of a scenario, and its agents.

    Observations and rewards have N + 1 rows: the DCs, the stores, the network as a whole. An
    agent reads its row, a module a slice of rows, so that one array serves all agents.
    """

    num_dcs: int  # W
    num_stores: int  # S
    num_skus: int  # K
    num_channels: int  # C
    horizon: int  # T, periods of an episode
    review_period: int  # periods between decisions of the high level
    features: tuple[str, ...]  # columns of an observation
    modules: dict[str, Module]  # in the order of `MODULES`
    # (N, K) `Scenario.carried_by_node`; None: all locations carry all SKUs.
    carried: BoolArray | None = field(default=None, compare=False)

    @classmethod
    def from_scenario(cls, scenario: Scenario) -> Self:
        """Reads the sizes of a validated scenario; nothing is built."""
        num_dcs, num_stores = len(scenario.network.dcs), len(scenario.network.stores)
        rows, options = list_rows(num_dcs, num_stores), scenario.actions.options
        cadence = {"high": scenario.review_period, "low": 1}
        return cls(
            num_dcs=num_dcs,
            num_stores=num_stores,
            num_skus=len(scenario.skus),
            num_channels=len(scenario.channels),
            horizon=scenario.horizon,
            review_period=scenario.review_period,
            features=list_features(scenario),
            modules={
                m: Module(
                    name=m,
                    role=role_of(m),
                    level=level_of(m),
                    boss=boss_of(m),
                    rows=rows[m],
                    num_options=options[role_of(m)].number,
                    initial_option=options[role_of(m)].initial,
                    cadence=cadence[level_of(m)],
                )
                for m in MODULES
            },
            carried=scenario.carried_by_node,
        )

    @property
    def num_nodes(self) -> int:
        """N, DCs and stores."""
        return self.num_dcs + self.num_stores

    @property
    def num_rows(self) -> int:
        """R, of observations and rewards: the nodes and the network as a whole."""
        return self.num_nodes + 1

    @property
    def num_features(self) -> int:
        """F."""
        return len(self.features)

    @cached_property
    def agents(self) -> tuple[Agent, ...]:
        """All agents by module; their order is that of PettingZoo's `possible_agents`."""
        return tuple(
            Agent(
                name=self._name_agent(module, row),
                module_id=module.name,
                index=row - module.rows.start,
                row=row,
            )
            for module in self.modules.values()
            for row in range(module.rows.start, module.rows.stop)
        )

    @property
    def names(self) -> list[str]:
        """PettingZoo's `possible_agents`."""
        return [agent.name for agent in self.agents]

    def rows_of(self, level: str) -> slice:
        """Rows that a level's agents read: those of all locations, or the network's."""
        nodes, rows = self.num_nodes, self.num_rows
        return slice(nodes, rows) if level == "high" else slice(0, nodes)

    def decision_times(self, level: str) -> IntArray:
        """Periods whose decisions a level learns from, (T',).

        A review period that the horizon cuts is left out: its return would end with the value of
        a state in which the high level never decides. An episode shorter than a review period
        has no other decision, so that one stays.
        """
        cadence = self.review_period if level == "high" else 1
        return np.arange(0, max(self.horizon - cadence + 1, 1), cadence)

    def _name_agent(self, module: Module, row: int) -> str:
        if module.level == "high":
            return module.name
        place = f"dc_{row}" if row < self.num_dcs else f"store_{row - self.num_dcs}"
        return f"{module.role}_{place}"
