"""Observations: one feature vector per row (DCs, stores, network) and SKU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from envs.omnichannel.agents.decisions import DECISIONS
from envs.omnichannel.agents.decisions.base import Decision
from envs.omnichannel.agents.observation_arrays import Context, Rows, Shown, Units
from envs.omnichannel.agents.observation_kernels import (
    BY_SKU,
    COLUMN,
    CONSTANT,
    FEATURES,
    write_observations,
)
from envs.omnichannel.agents.observation_spread import SPREAD_FEATURES, SpreadFeatures
from envs.omnichannel.agents.positions import count_positions
from envs.omnichannel.agents.roster import HIGH_MODULES, role_of
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import (
    LOWEST_RATE,
    Float32Array,
    FloatArray,
    Half,
    ModuleOptions,
    Network,
    View,
)
from envs.omnichannel.world.demand import DemandProcess

__all__ = ["CUT_FEATURES", "FEATURES", "SHELF_FEATURES", "ObservationModel", "list_features"]

SHELF_FEATURES = ("expiring_soon",)  # only where SKUs perish; always the last one
_NO_SHELF = np.empty((0, 0, 0, 0), np.int64)
_NOWHERE = np.empty((0, 0, 0, 0, 0), np.uint16)
CUT_FEATURES = ("cut_in", "cut_days")  # only where supply cuts are announced
# Goals that have no column among `FEATURES`: those of decisions that were added to them.
_OWN_GOALS = tuple(g.name for d in DECISIONS for g in d.goals if g.name not in FEATURES)


class ObservationModel:
    """Builds the (B, N + 1, K, F) observation that every agent reads a row of.

    Stocks and flows are divided by the row's own forecast, so that the features of a large and of
    a small location look alike and one network serves any number of stores and SKUs. The row
    of a DC sees the sums over its stores, the network's row the sums over all. All features are
    clipped to [-5, 5]. The goals are the actions that the high level holds: low-level agents see
    them from the period after they were chosen on.
    """

    def __init__(
        self,
        scenario: Scenario,
        network: Network,
        demand: DemandProcess,
        decisions: Sequence[Decision],
    ) -> None:
        self.network = network
        self.season = demand.season.mean(axis=1)  # (days, K)
        self.season_ahead = np.roll(self.season, -network.cycle, axis=0)
        review = scenario.review_period
        self.to_review = -np.arange(review) % review / review  # by periods since the last one
        self.spread = SpreadFeatures(network) if scenario.observation.spread else None
        self.features = list_features(scenario)
        self.index = {name: i for i, name in enumerate(self.features)}
        self.rows = _make_rows(network, demand)
        categories = scenario.categories
        return_rate = np.array([categories[s.category].return_rate for s in scenario.skus])
        stores = slice(network.num_dcs, network.num_nodes)
        shape = (network.num_nodes + 1, network.num_skus, len(CONSTANT))
        self.constant = np.zeros(shape, np.float32)
        self.constant[..., CONSTANT.index(COLUMN.lead_time)] = self.rows.lead_time[:, None] - 2
        self.constant[..., CONSTANT.index(COLUMN.return_rate)] = return_rate * 8 - 1
        self.constant[: network.num_dcs, :, CONSTANT.index(COLUMN.is_dc)] = 1
        self.constant[stores, :, CONSTANT.index(COLUMN.is_store)] = 1
        self.shown = self._make_shown(decisions)

    def compute_observations(
        self, view: View, goals: ModuleOptions, stored: Half | None = None, period: int = 0
    ) -> Float32Array:
        """Returns features, (B, N + 1, K, F) float32.

        In memory the rows come first, so that a module's rows are one block without gaps.

        Args:
            view: what may be known.
            goals: the options that the high-level modules hold, each (B, 1, K).
            stored: (B, T, N + 1, K, F), at whose `period` the same is written.
            period: of `stored`.
        """
        obs = self._make_rows(view, slice(None))
        self._write(obs, 0, view, goals, stored, period)
        return obs.swapaxes(0, 1)

    def compute_rows(
        self, view: View, goals: ModuleOptions, rows: slice, num_spare: int = 0
    ) -> Float32Array:
        """Returns features of some rows, as they lie in memory: (R', B, K, F + spare) float32.

        Args:
            view: what may be known.
            goals: as of `compute_observations`.
            rows: which, one after the other.
            num_spare: columns that are left to the caller to fill.
        """
        obs = self._make_rows(view, rows, num_spare)
        self._write(obs, rows.start, view, goals, None, 0)
        return obs

    def _make_rows(self, view: View, rows: slice, num_spare: int = 0) -> Float32Array:
        count, skus, _ = self.constant[rows].shape
        shape = (count, len(view.period), skus, len(self.features) + num_spare)
        return np.empty(shape, np.float32)

    def _write(
        self,
        obs: Float32Array,
        first: int,
        view: View,
        goals: ModuleOptions,
        stored: Half | None,
        period: int,
    ) -> None:
        """Writes the rows from `first` on."""
        day = view.day % len(self.season)
        context = Context(
            season=self.season[day],
            season_ahead=self.season_ahead[day],
            to_review=self.to_review[view.period % len(self.to_review)],
            cuts=self._compute_cuts(view),
            spread=self._compute_spread(view),
            held=np.concatenate([goals[m] for m in HIGH_MODULES], axis=1),
        )
        write_observations(
            obs,
            first,
            _NOWHERE if stored is None else stored.view(np.uint16),
            period,
            len(self.features),
            self.constant,
            self._make_units(view),
            context,
            self.shown,
            self.rows,
        )

    def _make_units(self, view: View) -> Units:
        contiguous = np.ascontiguousarray
        return Units(
            on_hand=contiguous(view.on_hand),
            in_transit=contiguous(view.in_transit),
            in_inspection=contiguous(view.in_inspection),
            backorders=contiguous(view.backorders),
            returns_due=contiguous(view.returns_due),
            shelf=_NO_SHELF if view.shelf is None else contiguous(view.shelf),
            last_demand=contiguous(view.last_demand),
            forecast=contiguous(view.forecast),
            smoothed=contiguous(view.smoothed),
            positions=count_positions(view, self.network).rows,
        )

    def _make_shown(self, decisions: Sequence[Decision]) -> Shown:
        """Where and how the options are shown that the high level holds."""
        roles = [role_of(m) for m in HIGH_MODULES]
        goals = [goal for decision in decisions for goal in decision.goals]
        values = [value for decision in decisions for value in decision.list_goals()]
        table = np.zeros((len(values), max(map(len, values))))
        for i, value in enumerate(values):
            table[i, : len(value)] = value
        columns = [self.index[goal.name] for goal in goals]
        order = [*BY_SKU, *range(len(FEATURES), len(FEATURES) + len(_OWN_GOALS))]
        return Shown(
            goal=np.array([order.index(column) for column in columns]),
            module=np.array([roles.index(goal.role) for goal in goals]),
            value=table,
            first_cut=len(FEATURES) + len(_OWN_GOALS),
        )

    def _compute_spread(self, view: View) -> FloatArray:
        """How demand scatters, (B, N + 1, K, 5); (B, N + 1, K, 0) where agents do not see it."""
        if self.spread is None:
            return np.empty((len(view.period), *self.constant.shape[:2], 0))
        return self.spread.compute(view)

    def _compute_cuts(self, view: View) -> FloatArray:
        """When a cut begins and how many days of it are known, as shares of the notice.

        The network's row holds the nearest beginning and the longest cut among its DCs.

        Returns:
            (B, N + 1, 2), or (B, N + 1, 0) where cuts are not announced.
        """
        if view.confirmed is None:
            return np.empty((len(view.period), len(self.constant), 0))
        cut = view.confirmed < 1  # (B, W, H)
        days = view.confirmed.shape[-1]
        begins = np.where(cut.any(axis=-1), cut.argmax(axis=-1), days) / days
        known = cut.mean(axis=-1)
        by_dc = np.stack([begins, known], axis=-1)
        worst = np.stack([begins.min(axis=1), known.max(axis=1)], axis=-1)
        return np.concatenate([by_dc, by_dc[:, self.network.parent], worst[:, None]], axis=1)


def list_features(scenario: Scenario) -> tuple[str, ...]:
    """Names the columns of a scenario's observations."""
    return (
        *FEATURES,
        *_OWN_GOALS,
        *(CUT_FEATURES if scenario.supply_cuts else ()),
        *(SPREAD_FEATURES if scenario.observation.spread else ()),
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
