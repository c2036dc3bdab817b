"""Scenarios: what a network looks like, validated, from YAML.

A scenario file holds only what differs from the defaults below. Quantities are units, times are
periods (days), money is per unit unless the field says otherwise.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from importlib import resources
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from envs.errors import InputError
from envs.omnichannel.coordination_rules import Coordination
from envs.omnichannel.cost_rules import Costs
from envs.omnichannel.demand_rules import DemandSettings, ForecastSettings, SeasonalNormal, Trace
from envs.omnichannel.network_rules import Fulfillment, LeadTime, SupplyCuts, Transshipment
from envs.omnichannel.record_rules import Records
from envs.omnichannel.return_rules import Returns
from envs.validation import (
    LARGEST,
    CountOrZero,
    NonNegative,
    Positive,
    Share,
    StrictModel,
    parse_yaml,
    read_text,
    validate_model,
)

CHANNELS = (
    "store",
    "online",
)  # of every scenario; `Scenario.channels` adds pickup where it is sold
PICKUP_CHANNEL = "pickup"
DISPOSITIONS = ("restock", "consolidate", "liquidate")

Shares = tuple[Share, Share, Share]  # of DISPOSITIONS
Name = Annotated[str, Field(min_length=1, max_length=100)]
Demand = Annotated[float, Field(ge=0, le=1e6)]  # units a period
Days = Annotated[float, Field(ge=0, le=1000)]
# Days beyond the lead time; below 0 not even its demand is covered.
Cover = Annotated[float, Field(ge=-1000, le=1000)]
MOST_CELLS = 1_000_000  # stores x SKUs
MOST_CELL_DAYS = 100_000_000  # the known season is a dense array by day
# {days: probability}. Drawn anew for every order line of a supplier and every shipment on a lane.
RandomLeadTime = dict[Annotated[int, Field(ge=1, le=180)], Share]


class Dc(StrictModel):
    """A distribution centre, supplied from outside the network. None means unlimited."""

    name: Name
    supplier_lead_time: LeadTime = 5
    capacity: Positive | None = None  # units stored without paying overflow
    order_capacity: CountOrZero | None = None  # units that suppliers take a period
    shipment_capacity: CountOrZero | None = None  # units dispatched a period
    random_lead_time: RandomLeadTime | None = None  # of its supplier, instead of the fixed one

    @model_validator(mode="after")
    def check_lead_time(self) -> Self:
        """Probabilities sum to one."""
        check_probabilities(self.random_lead_time)
        return self


class Store(StrictModel):
    """A store, supplied by its parent DC."""

    name: Name
    parent: Name
    size: Annotated[float, Field(gt=0, le=1000)] = 1.0  # multiplies every SKU's base demand
    distance: Annotated[int, Field(ge=0, le=100)] = 1  # distance band of the lane from the parent
    lead_time: LeadTime = 1
    capacity: Positive | None = None
    return_factor: NonNegative = 1.0  # multiplies every category's return rate
    random_lead_time: RandomLeadTime | None = None  # of its lane, instead of the fixed one

    @model_validator(mode="after")
    def check_lead_time(self) -> Self:
        """Probabilities sum to one."""
        check_probabilities(self.random_lead_time)
        return self


def check_probabilities(lead_time: RandomLeadTime | None) -> None:
    """Refuses a distribution that does not sum to one.

    Raises:
        ValueError: names the sum.
    """
    total = 1 if lead_time is None else sum(lead_time.values())
    if abs(total - 1) > 1e-9:
        raise ValueError(f"random_lead_time has probabilities that sum to {total:g}; 1 is needed")


class Network(StrictModel):
    """The nodes and lanes."""

    dcs: Annotated[list[Dc], Field(min_length=1)]
    stores: Annotated[list[Store], Field(min_length=1)]

    @model_validator(mode="after")
    def check_names(self) -> Self:
        """Names are unique, each parent exists and each DC is a parent."""
        dcs = [dc.name for dc in self.dcs]
        names = dcs + [store.name for store in self.stores]
        for name, count in Counter(names).items():
            if count > 1:
                raise ValueError(f"name {name!r} is used twice; node names must be unique")
        for store in self.stores:
            if store.parent not in dcs:
                raise ValueError(
                    f"parent {store.parent!r} of {store.name} is no DC; allowed: {', '.join(dcs)}"
                )
        parents = {store.parent for store in self.stores}
        for dc in dcs:
            if dc not in parents:
                raise ValueError(f"dc {dc!r} has no store; it must be the parent of at least one")
        return self


class Sku(StrictModel):
    """A stock keeping unit; demand is units a period in a store of size 1."""

    name: Name
    category: Name
    store_demand: Demand = 0.0
    online_demand: Demand = 0.0
    pickup_demand: Demand = 0.0  # bought online, collected in the store
    season_phase: Annotated[float, Field(ge=-100, le=100)] = 0.0  # radians
    shelf_life: Annotated[int, Field(ge=1, le=180)] | None = None  # days in a store; None: forever
    # Penalties of its own; None: as in `costs`.
    store_lost_sale: NonNegative | None = None
    online_lost_sale: NonNegative | None = None
    pickup_lost_sale: NonNegative | None = None
    late: NonNegative | None = None


class Category(StrictModel):
    """What the SKUs of a category share."""

    return_rate: Share = 0.1  # lambda of eq. 2
    resaleable: Share | None = None  # of its returns; None: as in `returns`


class Actions(StrictModel):
    """The grids that discrete actions index; `initial_*` are the levels of an untrained agent."""

    store_cover: Annotated[list[Cover], Field(min_length=2, max_length=100)] = [
        0, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 6.5, 8,
    ]  # days of cover beyond the lead time  # fmt: skip
    dc_cover: Annotated[list[Cover], Field(min_length=2, max_length=100)] = [
        6, 7, 8, 9, 10, 12, 14, 16, 18, 21, 24,
    ]  # days of echelon cover, lead time included  # fmt: skip
    push_cover: Annotated[list[Cover], Field(min_length=1, max_length=100)] = [0.5, 1.5, 3, 5]
    online_share: Annotated[list[Share], Field(min_length=1, max_length=100)] = [0.0, 0.5, 1.0]
    disposition: Annotated[list[Shares], Field(min_length=1, max_length=100)] = [
        (1, 0, 0), (0, 1, 0), (0, 0, 1), (0.5, 0.5, 0),
    ]  # fmt: skip
    initial_cover: CountOrZero = 1
    initial_push: CountOrZero = 0
    initial_disposition: CountOrZero = 1

    @model_validator(mode="after")
    def check_grids(self) -> Self:
        """The high level's ordering action indexes both cover grids, so they are equally long."""
        if len(self.store_cover) != len(self.dc_cover):
            raise ValueError(
                f"dc_cover has {len(self.dc_cover)} levels; "
                f"{len(self.store_cover)} are allowed (as many as store_cover)"
            )
        for shares in self.disposition:
            if abs(sum(shares) - 1) > 1e-9:
                raise ValueError(f"disposition {shares} must sum to 1")
        sizes = {
            "initial_cover": len(self.store_cover),
            "initial_push": len(self.push_cover) * len(self.online_share),
            "initial_disposition": len(self.disposition),
        }
        for field, size in sizes.items():
            if getattr(self, field) >= size:
                raise ValueError(f"{field} {getattr(self, field)} must be below {size}")
        return self


class Credit(StrictModel):
    """Weights of an agent's own, its location's and the team's share of the reward."""

    local: NonNegative = 0.4
    store: NonNegative = 0.4
    team: NonNegative = 0.2


class Reward(StrictModel):
    """Eq. 8: alpha service - beta inventory - gamma returns - delta (transport, ordering)."""

    alpha: NonNegative = 1.0
    beta: NonNegative = 1.0
    gamma: NonNegative = 1.0
    delta: NonNegative = 1.0
    cost_scale: Annotated[float, Field(ge=1e-6, le=LARGEST)] = (
        1.0  # money per unit of expected demand that weighs as much as service
    )
    credit: Credit = Credit()


class Before(StrictModel):
    """The policy before optimisation: constant covers, online from the DC, returns to the DC."""

    store_cover: Cover = 0.5
    dc_cover: Cover = 7.0


class Scenario(StrictModel):
    """One network with its demand, returns, costs, action grids and reward."""

    name: Name
    description: str = ""
    caveat: str = ""  # printed under every result: what the numbers cannot tell
    horizon: Annotated[int, Field(ge=1, le=3650)] = 100  # periods an episode
    review_period: Annotated[int, Field(ge=1, le=365)] = 7  # of the high-level agents
    initial_store_cover: Days = 2.0  # days of mean demand on hand at the start
    initial_dc_cover: Days = 5.0
    network: Network
    skus: Annotated[list[Sku], Field(min_length=1)]
    categories: dict[str, Category]
    demand: DemandSettings = SeasonalNormal()
    supply_cuts: SupplyCuts | None = None
    transshipment: Transshipment | None = None
    returns: Returns = Returns()
    records: Records | None = None  # None: always right
    fulfillment: Fulfillment = Fulfillment()
    costs: Costs = Costs()
    forecast: ForecastSettings = ForecastSettings()
    actions: Actions = Actions()
    coordination: Coordination = Coordination()
    reward: Reward = Reward()
    before: Before = Before()

    @model_validator(mode="after")
    def check_skus(self) -> Self:
        """SKU names are unique and their categories defined."""
        counts = Counter(sku.name for sku in self.skus)
        for sku in self.skus:
            if counts[sku.name] > 1:
                raise ValueError(f"skus: name {sku.name!r} is used twice; names must be unique")
            if sku.category not in self.categories:
                allowed = ", ".join(self.categories)
                raise ValueError(
                    f"skus: category {sku.category!r} of {sku.name} is not defined; "
                    f"allowed: {allowed}"
                )
        return self

    @model_validator(mode="after")
    def check_supply_cuts(self) -> Self:
        """Windows fit into their parts of the horizon."""
        cuts = self.supply_cuts
        if cuts and cuts.windows * cuts.length > self.horizon:
            raise ValueError(
                f"supply_cuts: {cuts.windows} windows of {cuts.length} periods do not fit into the "
                f"horizon of {self.horizon}; windows x length <= horizon is allowed"
            )
        return self

    @model_validator(mode="after")
    def check_size(self) -> Self:
        """One copy fits into the memory of a machine."""
        cells = len(self.network.stores) * len(self.skus)
        if cells > MOST_CELLS:
            raise ValueError(
                f"skus: {len(self.network.stores)} stores x {len(self.skus)} SKUs are {cells} "
                f"cells; at most {MOST_CELLS} are allowed"
            )
        period = getattr(self.demand, "season_period", 1)
        if cells * period > MOST_CELL_DAYS:
            raise ValueError(
                f"demand.season_period: {period} is not allowed; at most {MOST_CELL_DAYS // cells} "
                f"for {cells} cells (stores x SKUs)"
            )
        return self

    @property
    def has_perishables(self) -> bool:
        """Whether a SKU has a shelf life."""
        return any(sku.shelf_life is not None for sku in self.skus)

    @property
    def has_waste(self) -> bool:
        """Whether units can vanish from stores or spoil there."""
        return self.records is not None or self.has_perishables

    @property
    def channels(self) -> tuple[str, ...]:
        """Names along axis C; pickup only where a SKU has pickup demand."""
        pickup = any(sku.pickup_demand > 0 for sku in self.skus)
        return (*CHANNELS, PICKUP_CHANNEL) if pickup else CHANNELS

    @property
    def base_demand(self) -> list[list[float]]:
        """Units a period in a store of size 1, by SKU and channel, (K, C)."""
        return [[getattr(sku, f"{c}_demand") for c in self.channels] for sku in self.skus]

    def hash(self) -> str:
        """A short digest of every value, to key caches."""
        # The content of a trace counts, by its digest; the place of the file does not.
        values = self.model_dump(mode="json", exclude={"demand": {"file"}})
        # Fields that came later count only where they are set, so that older caches stay valid.
        for name in ("margin", "proposer_weights"):
            if getattr(self.coordination, name) == getattr(Coordination(), name):
                del values["coordination"][name]
        payload = json.dumps(values, sort_keys=True)
        return hashlib.sha256(payload.encode()).hexdigest()[:12]


def list_scenarios() -> list[str]:
    """Names of the built-in scenarios, sorted."""
    folder = resources.files("envs.omnichannel") / "scenarios"
    return sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith("yaml"))


def load_scenario(name_or_path: str | Path) -> Scenario:
    """Reads a built-in scenario by name, or a YAML file by path.

    Raises:
        InputError: if there is no such scenario or file, or a value in it is not allowed.
    """
    text = str(name_or_path)
    if text in list_scenarios():
        source = resources.files("envs.omnichannel") / "scenarios" / f"{text}.yaml"
        content = source.read_text(encoding="utf-8")
        return validate_model(Scenario, parse_yaml(content, text), text)
    path = Path(text)
    if path.suffix not in {".yaml", ".yml"}:
        raise InputError(
            f"scenario: {text!r} is not known; allowed: {', '.join(list_scenarios())}, "
            "or the path of a .yaml file"
        )
    content = read_text(path, "scenario")
    return _find_trace(validate_model(Scenario, parse_yaml(content, text), text), path)


def _find_trace(scenario: Scenario, path: Path) -> Scenario:
    """The scenario with its trace file as an absolute path, and with the digest of its bytes."""
    trace = scenario.demand
    if not isinstance(trace, Trace) or trace.file is None:
        return scenario
    file = (path.parent / trace.file).resolve()
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    except FileNotFoundError:
        raise InputError(
            f"{path}: demand.file: '{trace.file}' does not exist; give a path relative to the "
            "scenario's file"
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: demand.file: '{trace.file}' cannot be read ({reason})") from None
    if trace.digest not in {None, digest}:
        raise InputError(
            f"{path}: demand.digest: {trace.digest!r} is not allowed; '{trace.file}' has {digest} "
            "(the file has changed)"
        )
    found = trace.model_copy(update={"file": str(file), "digest": digest})
    return scenario.model_copy(update={"demand": found})
