"""The agents: names, modules and order. Every list of agents or modules comes from here."""

from __future__ import annotations

from dataclasses import dataclass

from envs.omnichannel.types import Network

ROLES = ("ordering", "shipping", "return")
LEVELS = ("high", "low")
MODULES = tuple(f"{role}_{level}" for role in ROLES for level in LEVELS)
HIGH_MODULES = tuple(m for m in MODULES if m.endswith("_high"))
LOW_MODULES = tuple(m for m in MODULES if m.endswith("_low"))
MODULES_OF = {"high": HIGH_MODULES, "low": LOW_MODULES}

# Who proposes each decision, in the order of axis 0 of `Proposals`.
PROPOSERS = {
    "supplier_gap": ("ordering_high", "ordering_low"),
    "shipment_gap": ("ordering_high", "ordering_low", "shipping_high", "shipping_low"),
    "online_share": ("shipping_high", "shipping_low"),
    "disposition": ("return_high", "return_low"),
}


@dataclass(frozen=True)
class Agent:
    """An agent: its PettingZoo name, its module, its index in the module and its row."""

    name: str
    module_id: str
    index: int
    row: int


@dataclass(frozen=True)
class Roster:
    """All agents of a network.

    Observations and rewards have N + 1 rows: the DCs, the stores, the network as a whole. An
    agent reads its row, a module a slice of rows, so that one array serves all agents.
    """

    agents: tuple[Agent, ...]
    module_rows: dict[str, slice]

    @property
    def names(self) -> list[str]:
        """PettingZoo's `possible_agents`."""
        return [agent.name for agent in self.agents]

    def num_agents(self, module_id: str) -> int:
        """A_m, agents that share the module's parameters."""
        rows = self.module_rows[module_id]
        return int(rows.stop - rows.start)


def find_level(module_id: str) -> str:
    """Returns a module's level."""
    return "high" if module_id in HIGH_MODULES else "low"


def make_roster(network: Network) -> Roster:
    """Builds the roster: per role the high-level agent, then the DCs' and stores' agents."""
    num_dcs, num_nodes = network.num_dcs, network.num_nodes
    agents: list[Agent] = []
    module_rows: dict[str, slice] = {}
    for role in ROLES:
        agents.append(Agent(f"{role}_high", f"{role}_high", 0, num_nodes))
        module_rows[f"{role}_high"] = slice(num_nodes, num_nodes + 1)
        first = 0 if role == "ordering" else num_dcs
        module_rows[f"{role}_low"] = slice(first, num_nodes)
        for row in range(first, num_nodes):
            node = f"dc_{row}" if row < num_dcs else f"store_{row - num_dcs}"
            agents.append(Agent(f"{role}_{node}", f"{role}_low", row - first, row))
    return Roster(tuple(agents), module_rows)
