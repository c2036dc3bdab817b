"""Costs of a period by term, node and SKU, read from the flows (eq. 3, 4 and tiered transport)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import FloatArray, Flows, Network
from envs.omnichannel.world.account.ledger_kernels import Rates, Terms, price_flows

TERMS = Terms._fields


class Costs(Mapping[str, FloatArray]):
    """Money a period by term, node and SKU: term -> (B, N, K).

    Args:
        by_term: the same as one array, (8, B, N, K) in the order of `TERMS`.
    """

    def __init__(self, by_term: FloatArray) -> None:
        self.by_term = by_term

    def __getitem__(self, term: str) -> FloatArray:
        if term not in TERMS:
            raise KeyError(term)
        return self.by_term[TERMS.index(term)]

    def __iter__(self) -> Iterator[str]:
        return iter(TERMS)

    def __len__(self) -> int:
        return len(TERMS)


class CostModel:
    """Turns flows into money.

    - `lost_sales`, `late`: penalty per unit lost, and per unit and period an online order waits;
      a SKU may have its own, by channel.
    - `holding` (eq. 3): units x rate x days, on the stock at the end of the period.
    - `overflow`: rate per unit above a node's capacity, shared among SKUs by their stock.
    - `transport`: a lane's rate rises with its distance and falls with the quantity of the whole
      shipment (tiers), and every started truck has a fixed cost that rises with the distance,
      shared among SKUs by their units. Transshipments cost their own rate per unit. Plus the last
      mile of online orders from store or DC, and of walk-ins and pickups that the DC serves.
    - `ordering`: fixed cost per supplier order line.
    - `returns` (eq. 4): base fee per store, SKU and period in which anything came back, plus a
      unit fee by disposition.
    - `waste`: per unit that vanished from a store or reached the end of its shelf life there.
    """

    def __init__(self, scenario: Scenario, network: Network) -> None:
        costs, lateral = scenario.costs, scenario.transshipment
        distance: FloatArray = network.distance.astype(np.float64)
        skus, channels = scenario.skus, scenario.channels
        self.lost_sale = np.array(
            [
                [_choose(getattr(sku, f"{c}_lost_sale"), costs.lost_sale) for c in channels]
                for sku in skus
            ]
        )  # (K, C)
        self.late = np.array([_choose(sku.late, costs.late) for sku in skus])
        self._rates = Rates(
            lost_sale=self.lost_sale,
            late=self.late,
            holding=np.where(
                np.arange(network.num_nodes) < network.num_dcs,
                costs.holding_dc,
                costs.holding_store,
            ),
            capacity=network.capacity,
            overflow=costs.overflow,
            lane=costs.transport * (1 + distance),
            breaks=np.array(costs.quantity_breaks, np.float64),
            tiers=np.array(costs.quantity_rates, np.float64),
            truck_capacity=costs.truck_capacity or 0,
            truck=costs.truck_cost + costs.truck_cost_distance * distance,
            transshipment=lateral.cost if lateral else 0.0,
            last_mile_store=costs.last_mile_store,
            last_mile_dc=costs.last_mile_dc + costs.last_mile_dc_distance * distance,
            fixed_order=costs.fixed_order,
            return_base=costs.return_base,
            return_restock=costs.return_restock,
            return_consolidate=costs.return_consolidate,
            return_liquidate=costs.return_liquidate,
            return_scrap=costs.return_scrap,
            return_mail=costs.return_mail,
            waste=costs.waste if scenario.has_waste else 0.0,
        )

    def compute_costs(self, flows: Flows) -> Costs:
        """Returns money by term, node and SKU; what arises in a region is booked at its store."""
        by_term = np.zeros((len(TERMS), *flows.on_hand.shape))
        price_flows(flows.ledger, self._rates, by_term)
        return Costs(by_term)


def _choose(own: float | None, common: float) -> float:
    return common if own is None else own
