"""Observations: one feature vector per row (DCs, stores, network) and SKU."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from envs.omnichannel.agents.actions import ActionDecoder, Actions
from envs.omnichannel.agents.inventory import compute_online_waiting, compute_store_position
from envs.omnichannel.agents.roster import HIGH_MODULES
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import (
    ONLINE,
    ArrayT,
    Float32Array,
    FloatArray,
    IntArray,
    Network,
    View,
    sum_axis,
    sum_channels,
)
from envs.omnichannel.world.demand import DemandProcess

FEATURES = (
    "stock", "inbound_1", "inbound_2", "inbound_3", "inbound_later", "position",
    "waiting_new", "waiting_old", "returns_soon", "returns_later", "in_inspection",
    "dc_stock", "dc_inbound_soon", "dc_inbound_later", "all_stores_stock", "system_waiting",
    "system_shortage", "level", "last_demand", "season", "season_ahead", "lead_time",
    "log_demand", "return_rate", "online_fraction", "days_to_review", "lowest_cover",
    "goal_cover", "goal_push_cover", "goal_online_share", "goal_restock", "goal_consolidate",
    "is_dc", "is_store",
)  # fmt: skip
SHELF_FEATURES = ("expiring_soon",)  # only where SKUs perish
CUT_FEATURES = ("cut_in", "cut_days")  # only where supply cuts are announced
_CLIP = 5.0
_SOON = 3  # days in which `expiring_soon` counts the units whose shelf life ends

Put = Callable[[str, FloatArray | IntArray], None]  # writes one feature, (B, N + 1, K)


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
        self.mean = demand.mean
        self.review_period = scenario.review_period
        categories = scenario.categories
        self.return_rate = np.array([categories[s.category].return_rate for s in scenario.skus])
        lanes, suppliers = network.lane_lead_time, network.lead_time[: network.num_dcs]
        self.lead_time = np.concatenate([suppliers, lanes, [suppliers.mean()]])[:, None]
        self.features: tuple[str, ...] = FEATURES
        if scenario.supply_cuts:
            self.features += CUT_FEATURES
        if scenario.has_perishables:
            self.features += SHELF_FEATURES
        self.index = {name: i for i, name in enumerate(self.features)}

    def compute_observations(self, view: View, goals: Actions) -> Float32Array:
        """Returns features, (B, N + 1, K, F) float32.

        Args:
            view: what may be known.
            goals: the levels that the high-level modules hold, each (B, 1, K).
        """
        net, state, index = self.network, view.state, self.index
        copies = len(state.period)
        obs = np.zeros((copies, net.num_nodes + 1, net.num_skus, len(self.features)), np.float32)

        def put(name: str, value: FloatArray | IntArray) -> None:
            obs[..., index[name]] = value

        forecast = sum_channels(view.forecast)  # (B, S, K)
        rate = np.maximum(self._roll_up(forecast), 0.05)  # (B, N + 1, K)
        horizon = (self.lead_time + 2) * rate
        stock = self._with_network(state.on_hand)
        # Slices, because short lead times have fewer than three slots.
        slots = [sum_axis(state.in_transit[:, slot : slot + 1], 1) for slot in range(3)]
        transit = [self._with_network(units) for units in slots]
        later = self._with_network(sum_axis(state.in_transit[:, 3:], 1))
        position = compute_store_position(state, net)
        waiting = sum_axis(state.backorders, 1)

        put("stock", stock / horizon - 1)
        for slot, units in enumerate(transit):
            put(f"inbound_{slot + 1}", units / horizon)
        put("inbound_later", later / horizon)
        below = self._roll_up(position - compute_online_waiting(state, net))
        own = stock + sum(transit) + later
        stores = slice(net.num_dcs, net.num_nodes)
        below[:, : net.num_dcs] += own[:, : net.num_dcs]
        below[:, -1] += sum_axis(own[:, : net.num_dcs], 1)
        below[:, stores] = position
        put("position", below / ((self.lead_time + 3) * rate) - 1)

        new = sum_axis(state.backorders[:, :1], 1)
        put("waiting_new", self._roll_up(new) / rate)
        put("waiting_old", self._roll_up(waiting - new) / rate)
        soon = sum_axis(state.returns_due[:, :2], 1)
        due_later = sum_axis(state.returns_due[:, 2:], 1)
        put("returns_soon", self._roll_up(soon) / rate)
        put("returns_later", self._roll_up(due_later) / rate)
        put("in_inspection", self._roll_up(sum_axis(state.in_inspection, 1)) / rate)

        self._put_system(put, state.on_hand, transit, later, rate)
        put("system_waiting", self._spread(self._roll_up(waiting) / rate))
        lack = np.maximum((net.lane_lead_time[:, None] + 1.5) * forecast - position, 0)
        put("system_shortage", self._spread(self._roll_up(lack) / rate))

        base = np.maximum(self._roll_up(self.mean.sum(axis=-1)[None]), 0.05)
        put("level", self._roll_up(sum_channels(view.level)) / base - 1)
        put("last_demand", self._roll_up(sum_channels(view.last_demand)) / rate - 1)
        now = self.season[state.day % len(self.season)]
        ahead = self.season[(state.day + 7) % len(self.season)]
        put("season", 3 * (now - 1)[:, None])
        put("season_ahead", 5 * (ahead - now)[:, None])
        put("lead_time", self.lead_time - 2)
        put("log_demand", 0.5 * np.log(rate / 10))
        put("return_rate", self.return_rate * 8 - 1)
        put("online_fraction", self._roll_up(view.forecast[..., ONLINE]) / rate)
        to_review = (-state.period % self.review_period) / self.review_period
        put("days_to_review", to_review[:, None, None])
        cover = position / np.maximum(forecast, 0.05) - net.lane_lead_time[:, None]
        put("lowest_cover", self._roll_up_lowest(cover) / 5)
        self._put_goals(put, goals)
        if view.confirmed is not None:
            self._put_cuts(put, view.confirmed)
        if state.shelf.shape[1]:
            put("expiring_soon", self._roll_up(sum_axis(state.shelf[:, :_SOON], 1)) / rate)
        obs[:, : net.num_dcs, :, index["is_dc"]] = 1
        obs[:, stores, :, index["is_store"]] = 1
        return np.clip(obs, -_CLIP, _CLIP, out=obs)

    def _put_system(
        self,
        put: Put,
        on_hand: IntArray,
        transit: list[FloatArray],
        later: FloatArray,
        rate: FloatArray,
    ) -> None:
        """What every row sees of its DC and of the stores as a whole."""
        num_dcs = self.network.num_dcs
        dc_rate = self._spread(rate)
        soon, late = transit[0] + transit[1], transit[2] + later
        put("dc_stock", self._spread(self._with_network(on_hand, dcs_only=True)) / (5 * dc_rate))
        put("dc_inbound_soon", self._spread(self._dcs_total(soon)) / (2 * dc_rate))
        put("dc_inbound_later", self._spread(self._dcs_total(late)) / (5 * dc_rate))
        stores = self._roll_up(on_hand[:, num_dcs:])
        put("all_stores_stock", self._spread(stores) / (3 * dc_rate))

    def _put_goals(self, put: Put, goals: Actions) -> None:
        ordering, shipping, returns = (goals[m] for m in HIGH_MODULES)
        decoder = self.decoder
        put("goal_cover", decoder.store_cover[ordering] / 4 - 1)
        put("goal_push_cover", decoder.push_cover[shipping] / 4 - 1)
        put("goal_online_share", decoder.online_share[shipping])
        put("goal_restock", decoder.disposition[returns][..., 0])
        put("goal_consolidate", decoder.disposition[returns][..., 1])

    def _put_cuts(self, put: Put, confirmed: FloatArray) -> None:
        """When a cut begins and how many days of it are known, as shares of the notice.

        The network's row holds the nearest beginning and the longest cut among its DCs.
        """
        cut = confirmed < 1  # (B, W, H)
        days = confirmed.shape[-1]
        begins = np.where(cut.any(axis=-1), cut.argmax(axis=-1), days) / days
        for name, value, worst in (
            ("cut_in", begins, begins.min(axis=1)),
            ("cut_days", cut.mean(axis=-1), cut.mean(axis=-1).max(axis=1)),
        ):
            stores = value[:, self.network.parent]
            rows = np.concatenate([value, stores, worst[:, None]], axis=1)
            put(name, rows[..., None])

    def _roll_up(self, by_store: ArrayT) -> FloatArray:
        """(B, S, K) to rows (B, N + 1, K): DCs and network hold the sums over their stores."""
        dcs = self.network.sum_by_dc(by_store)
        whole = sum_axis(dcs, 1)[:, None]
        return np.concatenate([dcs, by_store, whole], axis=1).astype(np.float64, copy=False)

    def _roll_up_lowest(self, by_store: FloatArray) -> FloatArray:
        """The same with minima."""
        dcs = np.stack([by_store[:, m].min(axis=1) for m in self.network.members], axis=1)
        return np.concatenate([dcs, by_store, dcs.min(axis=1, keepdims=True)], axis=1)

    def _with_network(self, by_node: ArrayT, *, dcs_only: bool = False) -> FloatArray:
        """(B, N, K) to rows: the network's row is the sum over all nodes (or over the DCs)."""
        counted = by_node[:, : self.network.num_dcs] if dcs_only else by_node
        total = sum_axis(counted, 1)[:, None]
        return np.concatenate([by_node, total], axis=1).astype(np.float64, copy=False)

    def _dcs_total(self, rows: FloatArray) -> FloatArray:
        return self._with_network(rows[:, :-1], dcs_only=True)

    def _spread(self, rows: FloatArray) -> FloatArray:
        """Gives every store row the value of its DC's row; DC and network rows keep theirs."""
        net = self.network
        spread = rows.copy()
        spread[:, net.num_dcs : net.num_nodes] = rows[:, net.parent]
        return spread
