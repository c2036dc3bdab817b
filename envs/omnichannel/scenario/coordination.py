"""Settings of the coordinator: how proposals become one decision."""

from __future__ import annotations

from typing import Literal

from envs.validation import NonNegative, StrictModel

Strategy = Literal["average", "weighted", "low_only", "high_only", "valued", "learned"]


class ProposerWeights(StrictModel):
    """Of the proposers of each decision, in this order; a sum of zero counts as equal weights."""

    supplier_gap: tuple[NonNegative, NonNegative] = (1, 1)  # ordering_high, ordering_low
    # ordering_high, ordering_low, shipping_high, shipping_low
    shipment_gap: tuple[NonNegative, NonNegative, NonNegative, NonNegative] = (1, 1, 1, 1)
    online_share: tuple[NonNegative, NonNegative] = (1, 1)  # shipping_high, shipping_low
    disposition: tuple[NonNegative, NonNegative] = (1, 1)  # return_high, return_low


class Coordination(StrictModel):
    """How the agents' proposals become one decision.

    The weights by role and level serve `weighted` alone, those by proposer `learned`, in which
    training moves them towards what earns more.
    `valued` combines values in place of actions: the high level's goal is what is done, unless a
    low-level agent values another option by more than the margin above it.
    """

    strategy: Strategy = "average"
    role_weights: dict[Literal["ordering", "shipping", "return"], NonNegative] = {
        "ordering": 1.0, "shipping": 1.0, "return": 1.0,
    }  # fmt: skip
    level_weights: dict[Literal["high", "low"], NonNegative] = {"high": 1.0, "low": 1.0}
    margin: NonNegative = 0.03  # of action values, whose unit is that of rewards; for `valued`
    proposer_weights: ProposerWeights = ProposerWeights()  # before training
    # What a store has beyond its share of its echelon's target; None: counted, for rules too.
    surplus: Literal["left_out"] | None = None
