"""The events of a period, in order; one that a scenario has off is left out there."""

from envs.omnichannel.world.events.arrivals import Arrive
from envs.omnichannel.world.events.capacities import LimitOrders, LimitShipments
from envs.omnichannel.world.events.dispatch import Dispatch
from envs.omnichannel.world.events.fulfillment import Fulfil
from envs.omnichannel.world.events.inspection import Inspect, QueueInspections
from envs.omnichannel.world.events.lots import ConfirmLots, ShipLots
from envs.omnichannel.world.events.mail import TakeBackMail
from envs.omnichannel.world.events.rationing import Ration
from envs.omnichannel.world.events.records import Count, Shrink
from envs.omnichannel.world.events.returns import TakeBack
from envs.omnichannel.world.events.shelves import Shelve, Spoil
from envs.omnichannel.world.events.spending import NameSuppliers, Spend
from envs.omnichannel.world.events.substitution import Substitute
from envs.omnichannel.world.events.supply_cuts import CutSupply
from envs.omnichannel.world.events.transshipment import Transship
from envs.omnichannel.world.events.undelivered import LoseOrders
from envs.omnichannel.world.period import Event

EVENTS: list[type[Event]] = [
    # 3. Order and dispatch
    CutSupply,
    LimitOrders,
    ConfirmLots,
    NameSuppliers,
    Spend,
    Ration,
    LimitShipments,
    ShipLots,
    Dispatch,
    Transship,
    # 4. and 5. Demand, which is drawn beforehand, is fulfilled
    Fulfil,
    Substitute,
    # 6. Returns
    TakeBack,
    TakeBackMail,
    QueueInspections,
    Inspect,
    # 7. Account
    Shrink,
    Spoil,
    Count,
    # 1. of the next period
    Arrive,
    LoseOrders,
    Shelve,
]
