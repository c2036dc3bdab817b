"""From a stock count to today's orders, by the same parts that trained the policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

import numpy as np

from envs.errors import InputError
from envs.omnichannel.agents.roster import HIGH_MODULES
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.forecast.dated import DatedForecast
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.demand import Trace
from envs.omnichannel.types import IntArray
from envs.omnichannel.world.demand.traces import TraceDemand
from marl.planning.coming_days import Imagination, count_days, count_protection
from marl.planning.cut_offs import list_cut_offs
from marl.planning.daily.state import ForecastState
from marl.planning.decision_maker import make_decision_maker
from marl.planning.plan import simulate_plans
from marl.planning.plan_rows import PlanRows, name_suppliers, price_lines, size_packs
from marl.planning.policy_file import OnnxPolicy
from marl.planning.promotions import PromotedForecast, Promotions
from marl.planning.recommendation import Goals, Recommendation, add_up
from marl.planning.record import make_record_forecast
from marl.planning.restore import HeldOptions, Start, choose_day, choose_origin, restore
from marl.planning.rule_file import RulePolicy
from marl.planning.rule_texts import tell_rules
from marl.planning.stock_count import StockCount, StockCountSchema
from marl.policies import FAMILIES
from marl.policies.base import Setting, TargetRule
from marl.policies.tuned import TunedRule

NUM_FUTURES = 100
_UNTUNED = "forecast_order_up_to"  # the rule to compare with where none was tuned


class Planner:
    """Decides what to order, to ship and to do with returns today.

    Args:
        policy: exported, or a rule file's.
        scenario: the planner's network, demand and costs; the policy brings its action grids and
            its coordinator.
        num_futures: F, what probabilities and expected units are averages over.
        forecast: what is known of recorded demand today; None: what the scenario's record says.
        blocks: in which the futures are simulated, which changes nothing but the memory that they
            take; None: as many as the network's size asks for.

    Raises:
        InputError: if the policy does not fit the scenario.
    """

    def __init__(
        self,
        policy: OnnxPolicy | RulePolicy,
        scenario: Scenario,
        num_futures: int = NUM_FUTURES,
        forecast: ForecastState | None = None,
        blocks: int | None = None,
    ) -> None:
        self.policy = policy
        self.notes: list[str] = []
        if policy.metadata.scenario_hash != scenario.hash():
            self.notes.append(
                f"the policy was made for scenario {policy.metadata.scenario!r}, which is not "
                f"this {scenario.name!r}"
            )
        self.scenario = self._leave_out_promotions(policy.adapt(scenario))
        if self.scenario.has_perishables:
            self.notes.append(
                "perishables count as fresh where no column expires_D says how old they are"
            )
        self.today = BatchedEnv(self.scenario, 1)
        demand, network = self.today.simulator.demand, self.today.network
        self.forecast, self.record = forecast, None
        self.promoted: PromotedForecast | None = None
        if forecast is not None:
            forecast = replace(forecast, scenario=self.scenario)
            running = forecast.make_forecast()
            if running.listing is not None and network.schedule is not None:
                # States begin on the very day, see `choose_day`.
                running.listing = replace(running.listing, day=forecast.learner.day)
            self.today.follow(running)
        else:
            self.record = make_record_forecast(self.scenario, demand, network)
            if self.record is not None:
                self.today.follow(self.record)
        self.setting = Setting.from_scenario(self.scenario, self.today.forecast, demand)
        self.decision_maker = make_decision_maker(policy, self.scenario, self.setting)
        self.schema = StockCountSchema(self.today.simulator)
        self.network = self.today.network
        self.packs = size_packs(self.scenario)
        self.classical = self._make_classical()
        soon = None if self.decision_maker.observes_later else count_days(self.network)
        self.imagination = Imagination(self.today, num_futures, blocks, soon)

    def announce(self, promotions: Promotions) -> None:
        """Lets the forecast count on promotions from now on."""
        own, net = self.today.forecast, self.network
        plain = own.forecast if isinstance(own, DatedForecast) else own
        self.promoted = PromotedForecast(
            plain, promotions, (net.num_stores, net.num_skus), net.cycle
        )
        self.today.follow(self.promoted)
        self.notes += promotions.list_notes()

    def recommend(self, stock_count: StockCount, goals: Goals | None = None) -> Recommendation:
        """Decides today.

        Args:
            stock_count: taken before the day opens.
            goals: what the high level has held since its last review. It reviews today without
                them, and `review_period` days after they were chosen.

        Raises:
            InputError: if the goals do not fit the policy, the scenario or the day.
        """
        self._check_day(stock_count)
        start = self.make_start(stock_count, goals)
        env = self.today
        if self.record is not None:
            self.record.move(choose_origin(self.record.demand, stock_count.day))
        if self.promoted is not None:
            self.promoted.shift = stock_count.day - choose_day(env, stock_count.day)
        restore(env, start)
        decided = self.decision_maker.decide(env, start.held)
        plan, classical = simulate_plans(
            env,
            self.imagination.imagine(start),
            [decided.follow, self.classical.compute_targets],
        )
        suppliers = name_suppliers(self.scenario, self.network, stock_count.day)
        rows = PlanRows(
            network=self.network,
            nodes=self.schema.nodes,
            skus=self.schema.skus,
            plan=plan,
            classical=classical,
            cost=price_lines(self.scenario, self.network, plan.carried_out, suppliers),
            packs=self.packs,
            arrival=self._name_arrivals(stock_count.day),
            suppliers=suppliers,
            protection=count_protection(self.network, stock_count.day),
        )
        decisions = [*rows.list_decisions(decided.proposed)]
        return Recommendation(
            policy=self.policy.name,
            scenario=self.scenario.name,
            day=stock_count.day,
            period=self.scenario.period,
            order_date=self._name_day(stock_count.day),
            review=self.decision_maker.has_goals and env.is_review,
            classical=self.classical.name,
            notes=[
                *self.notes,
                *stock_count.notes,
                *self._tell_staleness(stock_count),
                *list_cut_offs(self.scenario, decisions),
            ],
            goals=(
                self._make_goals(decided.options, stock_count.day - start.since_review)
                if self.decision_maker.has_goals
                else None
            ),
            decisions=decisions,
            outlook=[*rows.list_outlook(env.view)],
            totals=add_up(decisions),
            rules=tell_rules(env, plan.decisions.shipment[0]),
        )

    def _name_arrivals(self, day: int) -> list[list[date | int]]:
        """The day on which what is sent today arrives, (N, K)."""
        network = self.network
        ahead = np.repeat(network.lead_time[:, None], network.num_skus, axis=1)
        if network.schedule is not None:
            ahead = network.schedule.count_lead_time(np.array([day]))[0]
        names = {days: self._name_day(day + days) for days in np.unique(ahead).tolist()}
        return [[names[days] for days in row] for row in ahead.tolist()]

    def _name_day(self, day: int) -> date | int:
        """The date of a day, or its number where demand has no dates."""
        demand = self.today.simulator.demand
        return demand.find_date(day) if isinstance(demand, TraceDemand) else day

    def _tell_staleness(self, stock_count: StockCount) -> list[str]:
        """What is to be said of a forecast that ends before today, and of items that have ended."""
        demand = self.today.simulator.demand
        if self.forecast is not None:
            ended, new = self.forecast.list_ended(), self.forecast.list_new()
            told = [f"ended, so nothing is ordered: {', '.join(ended)}"] if ended else []
            return told + ([f"new, so demand is a guess: {', '.join(new)}"] if new else [])
        if not isinstance(demand, TraceDemand) or stock_count.day <= demand.num_days:
            return []
        last = demand.find_date(demand.num_days - 1)
        return [
            f"forecasts end with the record, on {last}; `learn-sales` and --forecast keep them up "
            "to date"
        ]

    def _check_day(self, stock_count: StockCount) -> None:
        """A forecast is that of one morning."""
        if self.forecast is None or self.forecast.learner.day == stock_count.day:
            return
        raise InputError(
            f"day: {stock_count.day} is not allowed; the forecast is that of day "
            f"{self.forecast.learner.day}, {self.forecast.next_day}, before which the sales were "
            "learnt"
        )

    def _leave_out_promotions(self, scenario: Scenario) -> Scenario:
        """The scenario without promotions: a stock count does not tell which are coming."""
        if isinstance(scenario.demand, Trace) or scenario.demand.promotions is None:
            return scenario
        self.notes.append("promotions are left out: a stock count does not say which are coming")
        demand = scenario.demand.model_copy(update={"promotions": None})
        return scenario.model_copy(update={"demand": demand})

    def _make_classical(self) -> TargetRule:
        """The best family of which the policy file has tuned parameters that fit this network."""
        setting = self.setting
        fitting = [
            rule
            for rule in self.policy.metadata.classical
            if rule.family in FAMILIES
            and FAMILIES[rule.family].suits(setting)
            and set(rule.parameters) == set(FAMILIES[rule.family].make_space(setting).names)
        ]
        if fitting:
            return max(fitting, key=lambda rule: rule.reward).make_in(setting)
        self.notes.append(
            f"{_UNTUNED} is not tuned for this network: its parameters are first guesses"
        )
        return TunedRule(family=_UNTUNED, parameters={}).make_in(setting)

    def make_start(self, stock_count: StockCount, goals: Goals | None = None) -> Start:
        """Returns where every simulation begins: the stock, what is held, and for how long.

        Args and errors as of `recommend`.
        """
        modules, skus = self.today.layout.modules, self.schema.skus
        initial = {
            m: np.full((1, 1, len(skus)), modules[m].initial_option, np.int64) for m in HIGH_MODULES
        }
        if goals is None:
            return Start(stock_count, initial, 0)
        if not self.decision_maker.has_goals:
            raise InputError(
                f"goals: policy {self.policy.name!r} decides on every day anew and holds none; "
                "leave them out"
            )
        if goals.day >= stock_count.day:
            raise InputError(
                f"goals.day: {goals.day} is not allowed; a day before today's {stock_count.day} is "
                "needed"
            )
        held: HeldOptions = {}
        for m in HIGH_MODULES:
            options = goals.options.get(m, {})
            for sku in skus:
                if not 0 <= options.get(sku, -1) < modules[m].num_options:
                    raise InputError(
                        f"goals.options.{m}.{sku}: {options.get(sku)} is not allowed; an option "
                        f"from 0 to {modules[m].num_options - 1} is needed"
                    )
            held[m] = np.array([options[sku] for sku in skus], np.int64).reshape(1, 1, -1)
        since = stock_count.day - goals.day
        return Start(stock_count, held, since if since < self.scenario.review_period else 0)

    def _make_goals(self, options: Mapping[str, IntArray], day: int) -> Goals:
        skus = self.schema.skus
        return Goals(
            day=day,
            options={
                m: dict(zip(skus, options[m][0, 0].tolist(), strict=True)) for m in HIGH_MODULES
            },
        )
