"""Learnt weights of the coordinator, by decision and proposer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from envs.omnichannel.agents.roster import PROPOSERS
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import FloatArray
from marl.config import WeightSearchRules
from marl.learning.policy_arrays import COORDINATION

ProposerWeights = dict[str, FloatArray]  # decision of `PROPOSERS` -> (P,) or (B, P), sum 1

_SIZES = {decision: len(proposers) for decision, proposers in PROPOSERS.items()}
_ENDS = np.cumsum(list(_SIZES.values()))[:-1]
_LOWEST = 1e-3  # of a weight that training begins with: a softmax knows no zero


class WeightSearch:
    """Moves the weights of all proposers towards those whose episodes earn more.

    Source: Salimans et al. 2017 (evolution strategies), algorithm 1 with mirrored sampling. Every
    copy of a round coordinates with weights of its own, a softmax of the logits and normal noise.
    Two neighbouring copies, which explore about equally, have opposite noise; the difference of
    their rewards, in units of its usual size, moves the logits along that noise.

    The noise is a function of the run's seed, the worker and the round, as the exploration is, so
    runners are told the logits alone.

    Args:
        rules: of the search.
        seed: of the run.
        start: weights that training begins with, by decision, (P,).
    """

    def __init__(
        self, rules: WeightSearchRules, seed: int, start: Mapping[str, FloatArray]
    ) -> None:
        self.rules, self.seed = rules, seed
        logits = [np.log(np.maximum(start[decision], _LOWEST)) for decision in PROPOSERS]
        self.logits: FloatArray = np.concatenate(logits)
        self._square = 0.0  # slow mean of the squared differences of rewards
        self._rounds = 0

    @property
    def weights(self) -> ProposerWeights:
        """What is evaluated and shipped, (P,) by decision."""
        return compute_weights(self.logits)

    def make_request(self) -> dict[str, Any]:
        """Returns what runners need to know of it."""
        return {"logits": self.logits.copy(), "sigma": self.rules.sigma}

    def learn(self, rewards: Sequence[FloatArray], iteration: int) -> None:
        """Moves the logits after a round.

        Args:
            rewards: of the copies' episodes, (B,), by the workers' shares of the round in order.
            iteration: of the round.
        """
        noise, differences = [], []
        for share, by_copy in enumerate(rewards):
            pairs = len(by_copy) // 2
            drawn = draw_noise_of_weights(self.seed, share, iteration, len(by_copy))
            noise.append(drawn[: 2 * pairs : 2])
            differences.append(by_copy[: 2 * pairs : 2] - by_copy[1 : 2 * pairs : 2])
        difference = np.concatenate(differences)
        if not difference.any():
            return
        self._rounds += 1
        rate = max(1 / self._rounds, 0.1)
        self._square += rate * (float(np.square(difference).mean()) - self._square)
        scaled = difference / self._square**0.5
        self.logits += self.rules.step * scaled @ np.concatenate(noise) / len(scaled)

    def describe(self) -> dict[str, float]:
        """Returns the weights by decision and module, as scalars of TensorBoard."""
        return {
            f"{COORDINATION}/{decision}/{module_id}": float(weight)
            for decision, proposers in PROPOSERS.items()
            for module_id, weight in zip(proposers, self.weights[decision], strict=True)
        }

    def get_state(self) -> dict[str, Any]:
        """What a checkpoint needs."""
        return {"logits": self.logits, "square": self._square, "rounds": self._rounds}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Restores `get_state`.

        Raises:
            ValueError: if it is of other weights, or a number in it is not finite.
        """
        logits = np.array(state["logits"], float)
        square, rounds = float(state["square"]), state["rounds"]
        if logits.shape != self.logits.shape or not np.isfinite([*logits, square]).all():
            raise ValueError("its weights are not those of the proposers")
        if type(rounds) is not int or rounds < 0 or square < 0:
            raise ValueError("its counters are not those of a search of weights")
        self.logits, self._square, self._rounds = logits, square, rounds


def make_weight_search(
    scenario: Scenario, rules: WeightSearchRules, seed: int
) -> WeightSearch | None:
    """Returns the search where the scenario's coordination is `learned`, None elsewhere."""
    if scenario.coordination.strategy != "learned":
        return None
    return WeightSearch(rules, seed, BatchedEnv(scenario, num_copies=1).coordinator.weights)


def draw_noise_of_weights(seed: int, share: int, iteration: int, copies: int) -> FloatArray:
    """Returns the noise of a worker's copies, (B, P); the second of two neighbours mirrors."""
    rng = np.random.default_rng([seed, share, iteration, 2])
    half = rng.standard_normal(((copies + 1) // 2, sum(_SIZES.values())))
    mirrored: FloatArray = np.stack([half, -half], axis=1).reshape(-1, half.shape[1])
    return mirrored[:copies]


def compute_weights(logits: FloatArray) -> ProposerWeights:
    """Returns the softmax by decision of logits, (..., P)."""
    weights = {}
    for decision, part in zip(PROPOSERS, np.split(logits, _ENDS, axis=-1), strict=True):
        raised = np.exp(part - part.max(axis=-1, keepdims=True))
        weights[decision] = raised / raised.sum(axis=-1, keepdims=True)
    return weights
