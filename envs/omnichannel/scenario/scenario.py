"""The scenario: everything about a network, validated, from YAML.

A scenario file holds only what differs from the defaults. Quantities are units, times are
periods (days or weeks), money is per unit unless the field says otherwise.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from envs.omnichannel.scenario.agents import Actions, Before, Observation, Reward
from envs.omnichannel.scenario.assortment import (
    Assortment,
    Dates,
    tabulate_assortment,
    tabulate_dates,
)
from envs.omnichannel.scenario.calendars import OrderCalendar, Supplier, check_suppliers
from envs.omnichannel.scenario.coordination import Coordination
from envs.omnichannel.scenario.costs import Costs
from envs.omnichannel.scenario.demand import DemandSettings, ForecastSettings, SeasonalNormal, Trace
from envs.omnichannel.scenario.fulfillment import Fulfillment
from envs.omnichannel.scenario.goods import Category, Name, Sku
from envs.omnichannel.scenario.network import (
    Network,
    SupplyCuts,
    Transshipment,
    expect_lead_time,
)
from envs.omnichannel.scenario.order_rules import OrderRule, tabulate_rules
from envs.omnichannel.scenario.overrides import check_overrides
from envs.omnichannel.scenario.records import Records
from envs.omnichannel.scenario.returns import Returns
from envs.omnichannel.scenario.schedule import Schedule, make_schedule
from envs.omnichannel.scenario.shelf_rules import BackRooms, ShelfRules, tabulate_shelves
from envs.omnichannel.scenario.start import Start, tabulate_start
from envs.omnichannel.scenario.substitution import Substitution, tabulate_substitution
from envs.validation import StrictModel

# Of every scenario; `Scenario.channels` adds pickup where it is sold.
CHANNELS = ("store", "online")
PICKUP_CHANNEL = "pickup"
DISPOSITIONS = ("restock", "consolidate", "liquidate")

Days = Annotated[float, Field(ge=0, le=1000)]
PERIOD_DAYS = {"day": 1, "week": 7}
MOST_CELLS = 1_000_000  # stores x SKUs
MOST_CELL_DAYS = 100_000_000  # the known season is a dense array by day


class Scenario(StrictModel):
    """One network with its demand, returns, costs, action grids and reward."""

    name: Name
    description: str = ""
    caveat: str = ""  # printed under every result: what the numbers cannot tell
    period: Literal["day", "week"] = "day"  # whatever is called a day is one of these
    horizon: Annotated[int, Field(ge=1, le=3650)] = 100  # periods an episode
    review_period: Annotated[int, Field(ge=1, le=365)] = 7  # of the high-level agents
    initial_store_cover: Days = 2.0  # days of mean demand on hand at the start
    initial_dc_cover: Days = 5.0
    start: Start | None = None  # None: as the two covers say
    network: Network
    skus: Annotated[list[Sku], Field(min_length=1)]
    categories: dict[str, Category]
    assortment: Assortment | None = None  # None: every store carries every SKU
    demand: DemandSettings = SeasonalNormal()
    supply_cuts: SupplyCuts | None = None
    order_rules: Annotated[list[OrderRule], Field(min_length=1)] | None = None  # None: any units
    order_calendars: Annotated[list[OrderCalendar], Field(min_length=1)] | None = (
        None  # None: daily
    )
    suppliers: Annotated[list[Supplier], Field(min_length=1)] | None = None  # None: one a DC
    shelf_rules: ShelfRules | None = None  # None: shelves hold everything, and need show nothing
    back_room: BackRooms | None = None  # None: it holds what the shelves do not, for nothing
    transshipment: Transshipment | None = None
    returns: Returns = Returns()
    records: Records | None = None  # None: always right
    fulfillment: Fulfillment = Fulfillment()
    substitution: Annotated[list[Substitution], Field(min_length=1)] | None = None  # None: nobody
    costs: Costs = Costs()
    forecast: ForecastSettings = ForecastSettings()
    observation: Observation = Observation()
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
    def check_demand(self) -> Self:
        """What is different for some stores and SKUs names them, and fits their processes."""
        if not isinstance(self.demand, Trace):
            check_overrides(self.demand, self.store_names, self.skus)
        return self

    @model_validator(mode="after")
    def check_order_rules(self) -> Self:
        """Order rules name locations and SKUs of the scenario, and allow an order each."""
        if self.order_rules is not None:
            tabulate_rules(self.order_rules, self.node_names, self.sku_names)
        return self

    @model_validator(mode="after")
    def check_dates(self) -> Self:
        """The assortment's dates name stores and SKUs of the scenario, and are in order."""
        _ = self.dates
        return self

    @model_validator(mode="after")
    def check_shelf_rules(self) -> Self:
        """Shelf rules name stores and SKUs of the scenario; rooms stand behind limited shelves."""
        rules, rooms = self.shelf_rules or (), self.back_room or ()
        if not rules and not rooms:
            return self
        tabulate_shelves(rules, rooms, self.store_names, self.sku_names)
        if rooms and all(rule.maximum is None for rule in rules):
            raise ValueError(
                "back_room: not allowed where shelves hold everything; a maximum in shelf_rules is "
                "needed"
            )
        return self

    @model_validator(mode="after")
    def check_substitution(self) -> Self:
        """Substitution names stores and SKUs of the scenario, whose walk-ins do not wait."""
        if self.substitution is None:
            return self
        tabulate_substitution(self.substitution, self.store_names, self.sku_names)
        unmet = self.fulfillment.get_unmet("store")
        if unmet not in {"lost", "partial"}:
            raise ValueError(
                f"fulfillment.store_unmet: {unmet!r} is not allowed with substitution; lost or "
                "partial is needed, because walk-ins who wait take nothing else"
            )
        return self

    @model_validator(mode="after")
    def check_calendars(self) -> Self:
        """Orders to every location are taken and delivered on some day of the week."""
        if self.period == "week" and (self.order_calendars or self.suppliers):
            raise ValueError(
                "order_calendars, suppliers: not allowed with period week, because their calendars "
                "are about single days"
            )
        skus = {sku.name: sku for sku in self.skus}
        check_suppliers(self.suppliers or (), self.node_names, skus)
        demand, dated = self.demand, self.order_calendars or self.suppliers
        if dated and isinstance(demand, Trace) and demand.date_of_first_day is None:
            raise ValueError(
                "demand.first_day: missing, which order_calendars and suppliers need; the date of "
                "the record's first day"
            )
        _ = self.schedule
        return self

    @model_validator(mode="after")
    def check_start(self) -> Self:
        """The start state names locations and SKUs of the scenario, and what stores carry."""
        carried = self.carried
        if self.start is None:
            return self
        on_hand, in_transit = tabulate_start(self.start, self.node_names, self.sku_names)
        if carried is not None:
            given = (on_hand + in_transit.sum(axis=0))[len(self.network.dcs) :]
            for s, k in np.argwhere(~carried & (given > 0)):
                raise ValueError(
                    f"start: {given[s, k]} units of {self.skus[k].name!r} are not allowed at "
                    f"{self.network.stores[s].name!r}, which does not carry it"
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

    @model_validator(mode="after")
    def check_period(self) -> Self:
        """Nothing in a weekly scenario is about single days."""
        if self.period == "day":
            return self
        if getattr(self.demand, "calendar", None) is not None:
            raise ValueError(
                "demand.calendar: not allowed with period week, because it is about single days"
            )
        if self.returns.delay.kind == "recorded":
            raise ValueError(
                "returns.delay.kind: 'recorded' is not allowed with period week, because it was "
                "measured in days; uniform, table, lognormal or geometric is needed"
            )
        return self

    @property
    def days_a_period(self) -> int:
        """Calendar days from a period to the next one."""
        return PERIOD_DAYS[self.period]

    @property
    def cycle(self) -> int:
        """Periods a week: what demand's profile by weekday has."""
        return PERIOD_DAYS["week"] // self.days_a_period

    @property
    def node_names(self) -> list[str]:
        """DCs, then stores."""
        return [dc.name for dc in self.network.dcs] + self.store_names

    @property
    def store_names(self) -> list[str]:
        """In the order of axis S."""
        return [store.name for store in self.network.stores]

    @property
    def sku_names(self) -> list[str]:
        """In the order of axis K."""
        return [sku.name for sku in self.skus]

    @property
    def carried(self) -> NDArray[np.bool_] | None:
        """Whether a store carries a SKU, (S, K); None where all carry all."""
        if self.assortment is None:
            return None
        carried = tabulate_assortment(self.assortment, self.store_names, self.sku_names)
        return None if carried.all() else carried

    @property
    def dates(self) -> Dates | None:
        """When stores sell SKUs; None where they always do."""
        if self.assortment is None or self.assortment.dates is None:
            return None
        return tabulate_dates(self.assortment.dates, self.store_names, self.sku_names)

    @property
    def carried_by_node(self) -> NDArray[np.bool_] | None:
        """The same of DCs and stores, (N, K): a DC carries what some of its stores do."""
        carried = self.carried
        if carried is None:
            return None
        parents = np.array([store.parent for store in self.network.stores])
        below = [carried[parents == dc.name].any(axis=0) for dc in self.network.dcs]
        return np.concatenate([np.stack(below), carried])

    @property
    def schedule(self) -> Schedule | None:
        """When orders are taken and when they arrive; None where that is so on every day."""
        if not self.order_calendars and not self.suppliers:
            return None
        dcs, stores = self.network.dcs, self.network.stores
        lanes = [(dc.supplier_lead_time, dc.random_lead_time) for dc in dcs]
        lanes += [(store.lead_time, store.random_lead_time) for store in stores]
        return make_schedule(
            self.order_calendars or (),
            self.suppliers or (),
            self.node_names,
            self.sku_names,
            [expect_lead_time(*lane) for lane in lanes],
            len(dcs),
            self.demand.date_of_first_day if isinstance(self.demand, Trace) else None,
        )

    @property
    def has_perishables(self) -> bool:
        """Whether a SKU has a shelf life."""
        return any(sku.shelf_life is not None for sku in self.skus)

    @property
    def has_waste(self) -> bool:
        """Whether units can vanish from stores, on the way there, or spoil there."""
        lost = any(store.delivery is not None for store in self.network.stores)
        return self.records is not None or self.has_perishables or lost

    @property
    def loses_orders(self) -> bool:
        """Whether some of what is sent may not arrive."""
        return any(delivery is not None for delivery in self.network.deliveries)

    @property
    def channels(self) -> tuple[str, ...]:
        """Names along axis C; pickup only where a SKU has pickup demand."""
        pickup = any(sku.pickup_demand > 0 for sku in self.skus)
        return (*CHANNELS, PICKUP_CHANNEL) if pickup else CHANNELS

    @property
    def base_demand(self) -> list[list[float]]:
        """Units a period in a store of size 1, by SKU and channel, (K, C)."""
        fields = [f"{channel}_demand" for channel in self.channels]  # asked once: it reads all SKUs
        return [[getattr(sku, field) for field in fields] for sku in self.skus]

    def hash(self) -> str:
        """A short digest of every value, to key caches."""
        # The content of a trace counts, by its digest; the place of the file does not. What is off
        # is left out, so that an option which comes later leaves caches valid.
        values = self.model_dump(mode="json", exclude={"demand": {"file"}}, exclude_none=True)
        if self.period == "day":
            del values["period"]
        if self.observation == Observation():
            del values["observation"]
        if self.actions.unit == "days":
            del values["actions"]["unit"]
        if self.forecast.method != "moving_average":
            del values["forecast"]["window"]
        if self.forecast.method != "empirical":
            del values["forecast"]["span"]
        payload = json.dumps(values, sort_keys=True)
        return hashlib.sha256(payload.encode()).hexdigest()[:12]
