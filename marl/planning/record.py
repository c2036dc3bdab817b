"""One day of a record: a morning's forecast needs what was known before it, and no other day."""

from __future__ import annotations

from typing import get_args

from envs.omnichannel.forecast import boosted
from envs.omnichannel.forecast.history import History
from envs.omnichannel.forecast.learner import Learner, Rates
from envs.omnichannel.forecast.running import Running
from envs.omnichannel.forecast.strategies import count_days_ahead
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.demand import Recorded
from envs.omnichannel.types import Network
from envs.omnichannel.world.demand import DemandProcess
from envs.omnichannel.world.demand.traces import TraceDemand


class RecordForecast(Running):
    """The running forecast of a record as it is before one day, which `move` chooses.

    A history of all days of a year of 100,000 cells takes gigabytes. What is learnt in futures is
    not bounded by the record's empty shelves, since they are of other days.

    Args:
        scenario: whose forecast learns from the record.
        demand: the record.
        network: of the scenario.
    """

    def __init__(self, scenario: Scenario, demand: TraceDemand, network: Network) -> None:
        self.demand, self.day = demand, demand.num_days
        self._rates = Rates.from_settings(scenario.forecast)
        super().__init__(
            self._learn(),
            scenario.forecast,
            count_days_ahead(network),
            counts_sales_days=scenario.observation.spread,
        )

    def move(self, day: int) -> None:
        """Knows what the record says before a day, and nothing of the days after."""
        if day != self.day:
            self.day = day
            self.history = self._learn()

    def _learn(self) -> History:
        demand, rates = self.demand, self._rates
        stores, skus, channels = demand.scale.shape
        learner = Learner.start(
            stores,
            skus,
            channels,
            cycle=demand.cycle,
            memory=rates.count_memory(channels),
            pull=rates.pull,
        )
        stock = demand.in_stock
        for day in range(self.day):
            learner.learn(demand.read_day(day), rates, None if stock is None else stock[day])
        return History.gather([learner.read()])


def make_record_forecast(
    scenario: Scenario, demand: DemandProcess, network: Network
) -> RecordForecast | None:
    """Returns the forecast of a record before its end; None where no day stands for itself.

    Drawn demand has no record, and the boosted levels of a day are fitted to the whole of it.
    """
    method = scenario.forecast.method
    if not isinstance(demand, TraceDemand) or method not in get_args(Recorded):
        return None
    return None if method == boosted.NAME else RecordForecast(scenario, demand, network)
