"""B copies of the environment as arrays: the one loop of simulator, agents and coordinator."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from envs.omnichannel.agents.coordinator import Coordinator, make_feasible
from envs.omnichannel.agents.listing import ListingRules
from envs.omnichannel.agents.observation import ObservationModel
from envs.omnichannel.agents.positions import compute_system_rate, measure_covers
from envs.omnichannel.agents.reward import RewardModel
from envs.omnichannel.agents.roster import HIGH_MODULES
from envs.omnichannel.agents.shelf_rules import ShelfRules
from envs.omnichannel.flows import Decisions, Flows, Proposals, Targets
from envs.omnichannel.forecast.dated import DatedForecast, wrap_dates
from envs.omnichannel.forecast.make import make_forecast
from envs.omnichannel.forecast.strategies import Forecast
from envs.omnichannel.layout import Layout
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import (
    LOWEST_RATE,
    BoolArray,
    Demand,
    Float32Array,
    FloatArray,
    Half,
    IntArray,
    Known,
    ModuleOptions,
    SeedArray,
    Signals,
    State,
    View,
)
from envs.omnichannel.world.account.costs import CostModel, Costs
from envs.omnichannel.world.account.metrics import EpisodeMetrics, MetricsAccumulator
from envs.omnichannel.world.allocation.lots import Lots
from envs.omnichannel.world.allocation.ration import get_rule
from envs.omnichannel.world.allocation.supplier_limits import NOBODY, SupplierLimits
from envs.omnichannel.world.demand import Split
from envs.omnichannel.world.simulator import Simulator


@dataclass(frozen=True)
class Step:
    """What a period brought."""

    rewards: Float32Array  # (B, N + 1, K) each row's share of eq. 8, without its constant alpha
    team_reward: FloatArray  # (B,) eq. 8
    demand: Demand
    flows: Flows
    costs: Costs
    done: bool  # the horizon is reached: truncation, not termination


class BatchedEnv:
    """B copies in lock-step.

    `step` takes the agents' options, `apply` the targets of a classical policy; both run the same
    simulator. `state` is the truth, `view` what may be known of it. High-level actions count on
    review periods and are held in between. The same seed gives the same trajectory whatever B is.
    """

    def __init__(self, scenario: Scenario, num_copies: int, split: Split = "train") -> None:
        self.scenario = scenario
        self.num_copies = num_copies
        self.split: Split = split
        self.simulator = Simulator(scenario)
        self.network = self.simulator.network
        self.layout = Layout.from_scenario(scenario)
        demand = self.simulator.demand
        self.coordinator = Coordinator(scenario, self.network)
        self._forecast: Forecast | None = None
        self.observation = ObservationModel(
            scenario, self.network, demand, self.coordinator.decisions
        )
        self.cost_model = CostModel(scenario, self.network)
        self.lots = Lots.from_scenario(scenario)
        self.supplier_limits = SupplierLimits.from_scenario(scenario, self.network)
        self.rations_by_cover = get_rule(scenario.fulfillment.rationing).by_cover
        self.dates = self.network.dates
        self.listing = ListingRules.from_scenario(scenario, self.network)
        self.shelf_rules = ShelfRules.from_scenario(scenario, self.network)
        self.reward_model = RewardModel(scenario, self.network, demand.scale)
        self._coordinated: tuple[ModuleOptions, View] | None = None
        self.state: State
        self.view: View
        self.goals: dict[str, IntArray]
        self.period = 0
        self.service_weight = 1.0  # of the agents' rewards alone: eq. 8 is reported as it is
        self._metrics: MetricsAccumulator

    def reset(self, seeds: SeedArray) -> None:
        """Begins an episode in every copy.

        Args:
            seeds: of the exogenous draws, (B,).

        Raises:
            ValueError: if there are not B seeds.
        """
        if seeds.shape != (self.num_copies,):
            raise ValueError(f"seeds has shape {seeds.shape}; ({self.num_copies},) is needed")
        shape = (self.num_copies, 1, self.network.num_skus)
        goals = {m: np.full(shape, self.layout.modules[m].initial_option) for m in HIGH_MODULES}
        state = self.simulator.make_state(seeds, self.split)
        known = self.forecast.begin(state.day)
        self.restore(state, known, np.rint(known.smoothed).astype(np.int64), goals)

    def restore(
        self, state: State, known: Known, last_demand: IntArray, goals: dict[str, IntArray]
    ) -> None:
        """Begins in a given state, in which all copies are at the same period.

        Args:
            state: of all copies.
            known: what is known of demand, (B, ...).
            last_demand: units of the period before, (B, S, K, C).
            goals: options that the high-level modules hold, each (B, 1, K).
        """
        self.state, self.goals, self.period = state, goals, int(state.period[0])
        self.view = self.make_view(state, self.make_signals(state, known, last_demand))
        self._coordinated = None
        self._metrics = MetricsAccumulator(self.scenario, self.network, self.num_copies)

    @property
    def is_review(self) -> bool:
        """Whether the high level decides in this period."""
        return self.period % self.scenario.review_period == 0

    def observe(self, stored: Half | None = None, period: int = 0) -> Float32Array:
        """Returns the observation of all rows, (B, N + 1, K, F).

        Args:
            stored: (B, T, N + 1, K, F), at whose `period` the same is written.
            period: of `stored`.
        """
        return self.observation.compute_observations(self.view, self.goals, stored, period)

    def step(self, options: ModuleOptions) -> Step:
        """Runs a period under the agents' options.

        Args:
            options: by module, (B, A_m, K); those of the high level are read on review periods
                only.
        """
        if self.is_review:
            # Copies: the caller may reuse its arrays while the goals are held.
            self.goals = {m: options[m].copy() for m in HIGH_MODULES}
        options = {**options, **self.goals}
        self._coordinated = options, self.view
        return self.apply(self.coordinator.compute_targets(options, self.view))

    @property
    def proposals(self) -> Proposals | None:
        """What the agents proposed in the last `step`, made when asked for, which few ask.

        Made of the arrays that `step` was given, so ask before reusing them.
        """
        if self._coordinated is None:
            return None
        return self.coordinator.coordinate(*self._coordinated)[0]

    def apply(self, targets: Targets) -> Step:
        """Runs a period under coordinated targets."""
        expected = self.forecast.predict_day(self.view, self.state)
        demand, flows = self.advance(targets)
        costs = self.cost_model.compute_costs(flows)
        loss = self.reward_model.compute_loss(costs)
        team_reward = self.reward_model.compute_team_reward(loss)
        if self.service_weight != 1:
            loss = self.reward_model.compute_loss(costs, self.service_weight)
        self._metrics.add(flows, costs, team_reward)
        self._metrics.add_forecast(expected, flows.demand)
        return Step(
            rewards=self.reward_model.compute_credit(loss),
            team_reward=team_reward,
            demand=demand,
            flows=flows,
            costs=costs,
            done=self.period >= self.scenario.horizon,
        )

    def advance(self, targets: Targets) -> tuple[Demand, Flows]:
        """Runs a period as `apply` does, but keeps no account of costs, rewards and metrics."""
        before = self.state
        demand = self.simulator.sample_demand(before)
        decisions = self.decide(targets, self.view)
        self.state, flows = self.simulator.simulate_period(before, decisions, demand)
        known = self.forecast.update(self.view, flows.demand, before)
        signals = self.make_signals(self.state, known, flows.demand)
        self.view = self.make_view(self.state, signals)
        self.period += 1
        return demand, flows

    @property
    def decides_by_view(self) -> bool:
        """Whether the stock that is known says more of a decision than its targets."""
        by_stock = self.shelf_rules is not None or self.listing is not None
        by_day = self.network.schedule is not None
        return self.rations_by_cover or by_stock or by_day

    def decide(self, targets: Targets, view: View | None = None) -> Decisions:
        """Returns what is done about the targets in this scenario.

        Args:
            targets: of any copies.
            view: what is known in those; None: the targets are of this environment's own copies.
        """
        if not self.decides_by_view:
            return self._settle(targets)
        view = view or self.view
        if self.shelf_rules is not None:
            targets = self.shelf_rules.raise_targets(targets, view)
        if self.listing is not None:
            targets = self.listing.settle_targets(targets, view)
        schedule = self.network.schedule
        if schedule is not None:
            targets = self._wait(targets, schedule.take_orders(view.day))
        decisions = self._settle(targets)
        if self.supplier_limits is not None:
            decisions = self._limit_orders(self.supplier_limits, decisions, targets, view)
        if self.shelf_rules is not None:
            decisions = self.shelf_rules.limit(decisions, view)
        if not self.rations_by_cover:
            return decisions
        covers = measure_covers(view, self.network, decisions.online_share)
        return replace(decisions, covers=covers)

    def _limit_orders(
        self, limits: SupplierLimits, decisions: Decisions, targets: Targets, view: View
    ) -> Decisions:
        """The decisions, within the suppliers' minimums and budgets."""
        net, schedule = self.network, self.network.schedule
        assert schedule is not None, "there are suppliers"
        spent = np.zeros((len(view.day), len(limits.budget))) if view.spent is None else view.spent
        rate = compute_system_rate(view, net)
        # No minimum is filled up with what nobody will buy.
        wanted = (rate > 0) & self._may_order(view) | (decisions.supplier_order > 0)
        order = limits.settle(
            decisions.supplier_order,
            self._leave_out(targets).supplier_gap,
            np.maximum(rate, LOWEST_RATE),
            np.where(wanted, schedule.name_suppliers(view.day), NOBODY),
            limits.count_left(spent, view.day),
        )
        return replace(decisions, supplier_order=order)

    def _may_order(self, view: View) -> BoolArray:
        """What DCs may order today, (B, W, K)."""
        net = self.network
        assert net.schedule is not None, "there are suppliers"
        taken = net.schedule.take_orders(view.day)
        allowed = taken if net.carried is None else taken & net.carried
        own = allowed[:, : net.num_dcs]
        return own if self.listing is None else own & self.listing.may_supply(view)

    def _settle(self, targets: Targets) -> Decisions:
        """What the targets come to, whatever is in stock."""
        return make_feasible(
            self._leave_out(targets),
            whole_trucks=self.scenario.costs.truck_capacity is not None,
            with_surplus=self.scenario.transshipment is not None,
            lots=self.lots,
        )

    def _leave_out(self, targets: Targets) -> Targets:
        """The targets, nothing of what a location does not carry."""
        carried = self.network.carried
        return targets if carried is None else self._wait(targets, carried)

    def _wait(self, targets: Targets, allowed: BoolArray) -> Targets:
        """The targets, nothing of what may not be ordered, (N, K) or (B, N, K)."""
        dcs, stores = np.split(allowed, [self.network.num_dcs], axis=-2)
        order, shipment = targets.supplier_gap, targets.shipment_gap
        return replace(
            targets,
            supplier_gap=np.where(dcs, order, np.minimum(order, 0)),
            shipment_gap=np.where(stores, shipment, np.minimum(shipment, 0)),
        )

    @property
    def forecast(self) -> Forecast:
        """The scenario's own unless another is followed; made when it is first asked for."""
        if self._forecast is None:
            self._forecast = make_forecast(
                self.simulator.demand,
                self.scenario.forecast,
                self.network,
                counts_sales_days=self.scenario.observation.spread,
            )
        return self._forecast

    def follow(self, forecast: Forecast) -> None:
        """Lets another forecast say what is to come, as far as the assortment's dates allow."""
        self._forecast = wrap_dates(forecast, self.network)

    def move_dates(self, days: int) -> None:
        """Lets the assortment's dates be those of a calendar that begins so many days later.

        A recommendation counts days from a weekday on.
        """
        if self.network.dates is not None:
            self.dates = self.network.dates.move(days)
            if isinstance(self.forecast, DatedForecast):
                self.forecast.dates = self.dates

    def compute_metrics(self) -> EpisodeMetrics:
        """Returns the metrics of the episodes so far, each (B,)."""
        return self._metrics.compute()

    def make_view(self, state: State, signals: Signals) -> View:
        """Returns what may be known of a state, whose stock is seen as recorded."""
        return View.make(self.simulator.show(state), signals)

    def make_signals(self, state: State, known: Known, last_demand: IntArray) -> Signals:
        """Returns what is known beside a state's stock.

        Args:
            state: for its calendar and what is announced, (B, ...).
            known: what is known of demand, (B, ...).
            last_demand: units of the period before, (B, S, K, C).
        """
        return Signals(
            forecast=self.forecast.predict_week(known, state),
            ahead=self.forecast.look_ahead(known, state),
            last_demand=last_demand,
            confirmed=self.simulator.announce(state),
            starts_in=None if self.dates is None else self.dates.count_to_first(state.day),
            ends_in=None if self.dates is None else self.dates.count_to_last(state.day),
            **vars(known),
        )
