"""Observations: one feature vector per row (DCs, stores, network) and SKU."""

from __future__ import annotations

import numpy as np

from envs.omnichannel.agents.actions import ActionDecoder, Actions
from envs.omnichannel.agents.kernels import (
    COLUMN,
    FEATURES,
    LOWEST_RATE,
    Rows,
    Units,
    write_quantities,
)
from envs.omnichannel.agents.roster import HIGH_MODULES
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import Float32Array, FloatArray, Network, View
from envs.omnichannel.world.demand import DemandProcess

__all__ = ["CUT_FEATURES", "FEATURES", "SHELF_FEATURES", "ObservationModel", "list_features"]

SHELF_FEATURES = ("expiring_soon",)  # only where SKUs perish; always the last one
CUT_FEATURES = ("cut_in", "cut_days")  # only where supply cuts are announced


class ObservationModel:
    """Builds the (B, N + 1, K, F) observation that every agent reads a row of.

    Stocks and flows are divided by the row's own forecast, so that the features of a large and of
    a small location look alike and one network serves any number of stores and SKUs. The row
    of a DC sees the sums over its stores, the network's row the sums over all. All features are
    clipped to [-5, 5]. The goals are the actions that the high level holds: low-level agents see
    them from the period after they were chosen on.
    """

    def __init__(
        self, scenario: Scenario, network: Network, demand: DemandProcess, decoder: ActionDecoder
    ) -> None:
        self.network = network
        self.decoder = decoder
        self.season = demand.season.mean(axis=1)  # (days, K)
        self.review_period = scenario.review_period
        self.features = list_features(scenario)
        self.index = {name: i for i, name in enumerate(self.features)}
        self.rows = _make_rows(network, demand)
        categories = scenario.categories
        return_rate = np.array([categories[s.category].return_rate for s in scenario.skus])
        stores = slice(network.num_dcs, network.num_nodes)
        shape = (network.num_nodes + 1, network.num_skus, len(self.features))
        self.constant = np.zeros(shape, np.float32)
        self.constant[..., COLUMN.lead_time] = self.rows.lead_time[:, None] - 2
        self.constant[..., COLUMN.return_rate] = return_rate * 8 - 1
        self.constant[: network.num_dcs, :, COLUMN.is_dc] = 1
        self.constant[stores, :, COLUMN.is_store] = 1

    def compute_observations(self, view: View, goals: Actions) -> Float32Array:
        """Returns features, (B, N + 1, K, F) float32.

        In memory the rows come first, so that a module's rows are one block without gaps.

        Args:
            view: what may be known.
            goals: the levels that the high-level modules hold, each (B, 1, K).
        """
        state, rows = view.state, self.constant
        obs = np.empty((len(rows), len(state.period), *rows.shape[1:]), np.float32)
        obs[:] = rows[:, None]
        self._put_calendar(obs, view)
        self._put_goals(obs, goals)
        if view.confirmed is not None:
            self._put_cuts(obs, view.confirmed)
        # The kernel is compiled for arrays without gaps.
        contiguous = np.ascontiguousarray
        units = Units(
            on_hand=contiguous(state.on_hand),
            in_transit=contiguous(state.in_transit),
            in_inspection=contiguous(state.in_inspection),
            inspection_queue=contiguous(state.inspection_queue),
            backorders=contiguous(state.backorders),
            returns_due=contiguous(state.returns_due),
            shelf=contiguous(state.shelf),
            last_demand=contiguous(view.last_demand),
            forecast=contiguous(view.forecast),
            level=contiguous(view.level),
        )
        write_quantities(obs, units, self.rows, self.network.online_slots)
        return obs.swapaxes(0, 1)

    def _put_calendar(self, obs: Float32Array, view: View) -> None:
        day, period = view.state.day, view.state.period
        now = self.season[day % len(self.season)]
        ahead = self.season[(day + 7) % len(self.season)]
        to_review = (-period % self.review_period) / self.review_period
        obs[..., COLUMN.season] = 3 * (now - 1)
        obs[..., COLUMN.season_ahead] = 5 * (ahead - now)
        obs[..., COLUMN.days_to_review] = to_review[:, None]

    def _put_goals(self, obs: Float32Array, goals: Actions) -> None:
        ordering, shipping, returns = (goals[m][:, 0] for m in HIGH_MODULES)
        decoder = self.decoder
        obs[..., COLUMN.goal_cover] = decoder.store_cover[ordering] / 4 - 1
        obs[..., COLUMN.goal_push_cover] = decoder.push_cover[shipping] / 4 - 1
        obs[..., COLUMN.goal_online_share] = decoder.online_share[shipping]
        obs[..., COLUMN.goal_restock] = decoder.disposition[returns][..., 0]
        obs[..., COLUMN.goal_consolidate] = decoder.disposition[returns][..., 1]

    def _put_cuts(self, obs: Float32Array, confirmed: FloatArray) -> None:
        """When a cut begins and how many days of it are known, as shares of the notice.

        The network's row holds the nearest beginning and the longest cut among its DCs.
        """
        cut = confirmed < 1  # (B, W, H)
        days = confirmed.shape[-1]
        begins = np.where(cut.any(axis=-1), cut.argmax(axis=-1), days) / days
        for column, value, worst in (
            (len(FEATURES), begins, begins.min(axis=1)),
            (len(FEATURES) + 1, cut.mean(axis=-1), cut.mean(axis=-1).max(axis=1)),
        ):
            stores = value[:, self.network.parent]
            rows = np.concatenate([value, stores, worst[:, None]], axis=1)
            obs[..., column] = rows.T[..., None]


def list_features(scenario: Scenario) -> tuple[str, ...]:
    """Names the columns of a scenario's observations."""
    return (
        *FEATURES,
        *(CUT_FEATURES if scenario.supply_cuts else ()),
        *(SHELF_FEATURES if scenario.has_perishables else ()),
    )


def _make_rows(network: Network, demand: DemandProcess) -> Rows:
    lanes, suppliers = network.lane_lead_time, network.lead_time[: network.num_dcs]
    mean = demand.mean.sum(axis=-1)
    dcs = network.sum_by_dc(mean[None])[0]
    base = np.concatenate([dcs, mean, dcs.sum(axis=0, keepdims=True)])
    upper = np.arange(network.num_nodes + 1)
    upper[network.num_dcs : network.num_nodes] = network.parent
    return Rows(
        parent=network.parent,
        upper=upper,
        lead_time=np.concatenate([suppliers, lanes, [suppliers.mean()]]),
        base=np.maximum(base, LOWEST_RATE),
    )
