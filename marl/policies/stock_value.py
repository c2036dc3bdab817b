"""The worth of stock at the end of a branch, beyond which nothing is simulated."""

from __future__ import annotations

from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.types import FloatArray, State
from envs.omnichannel.world.account.rates import price_units


class StockValue:
    """Values the stock at and on its way to the stores by what it costs to bring one more there.

    A unit that is there at the end of a branch saves that later; without it every branch would
    rather ship nothing. It depends on the distance: a flat value biases the choice between stores.

    Attributes:
        by_store: cost of one more unit in a full truck, money, (S,).
    """

    def __init__(self, env: BatchedEnv) -> None:
        rates, net = env.scenario.costs, env.network
        self.first_store = net.num_dcs
        self.by_store = price_units(rates, net, rates.quantity_rates[-1])

    def compute(self, state: State) -> FloatArray:
        """Returns the value of each copy's stock, money, (B,)."""
        units = state.on_hand[:, self.first_store :].sum(axis=-1)
        units = units + state.in_transit[:, :, self.first_store :].sum(axis=(1, 3))
        value: FloatArray = units @ self.by_store
        return value
