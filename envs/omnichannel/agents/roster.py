"""The modules: names and order. Every list of modules comes from here."""

from __future__ import annotations

import re

from envs.errors import InputError
from envs.omnichannel.agents.decisions import DECISIONS

# Who proposes each target, in the order of axis 0 of its proposals.
PROPOSERS = {decision.target: decision.proposers for decision in DECISIONS}


def role_of(module_id: str) -> str:
    """Returns a module's role."""
    return module_id.rpartition("_")[0]


ROLES = tuple(dict.fromkeys(role_of(m) for proposers in PROPOSERS.values() for m in proposers))
LEVELS = ("high", "low")
MODULES = tuple(f"{role}_{level}" for role in ROLES for level in LEVELS)
HIGH_MODULES = tuple(m for m in MODULES if m.endswith("_high"))
LOW_MODULES = tuple(m for m in MODULES if m.endswith("_low"))
MODULES_OF = {"high": HIGH_MODULES, "low": LOW_MODULES}


def level_of(module_id: str) -> str:
    """Returns a module's level."""
    return module_id.rpartition("_")[2]


def boss_of(module_id: str) -> str | None:
    """Returns the module whose options are the goals of this one; None for the high level."""
    return f"{role_of(module_id)}_high" if level_of(module_id) == "low" else None


_AGENT = re.compile(
    r"(?:ordering_dc_\d+|({})_(?:(high)|store_\d+))(?:_sku_\d+)?".format("|".join(ROLES))
)


def module_of(agent: str) -> str:
    """Returns the module of an agent or of its cell for one SKU, by its name alone.

    `ordering_store_3` and `ordering_store_3_sku_1` share the parameters of `ordering_low`.

    Raises:
        InputError: if no agent has such a name.
    """
    found = _AGENT.fullmatch(agent)
    if not found:
        raise InputError(
            f"agent: {agent!r} is not known; allowed: a name of `possible_agents`, such as "
            "'ordering_store_3', 'return_high' or 'ordering_dc_0_sku_1'"
        )
    role, is_high = found.groups(default="")
    return f"{role or 'ordering'}_{is_high or 'low'}"


def list_rows(num_dcs: int, num_stores: int) -> dict[str, slice]:
    """Returns the rows of the observation that each module's agents read, one for each agent.

    The high level reads the network's row. A role has agents at the DCs if something is decided
    for each DC that it proposes.
    """
    network = num_dcs + num_stores
    rows: dict[str, slice] = {}
    at_dcs = {role_of(m) for d in DECISIONS if d.at_dcs for m in d.proposers}
    for role in ROLES:
        rows[f"{role}_high"] = slice(network, network + 1)
        rows[f"{role}_low"] = slice(0 if role in at_dcs else num_dcs, network)
    return rows
