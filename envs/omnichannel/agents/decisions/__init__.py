"""The decisions of a period: one file each, and the list of them."""

from __future__ import annotations

from envs.omnichannel.agents.decisions.base import Decision
from envs.omnichannel.agents.decisions.disposition import Disposition
from envs.omnichannel.agents.decisions.online_share import OnlineShare
from envs.omnichannel.agents.decisions.shipment import Shipment
from envs.omnichannel.agents.decisions.supplier_order import SupplierOrder

DECISIONS: tuple[type[Decision], ...] = (SupplierOrder, Shipment, OnlineShare, Disposition)
