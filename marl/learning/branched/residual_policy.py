"""The residual policy whose options are valued by networks in torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch

from envs.omnichannel.layout import Layout
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import Float32Array
from marl.config import Residual
from marl.learning.branched.choice_network import ChoiceNetwork
from marl.policies.choices import CHOICES
from marl.policies.families import ComposedRule
from marl.policies.residual import ResidualRule

_AGENTS_AT_ONCE = 1000  # so that hidden layers stay in the caches; all at once take twice as long


class ResidualPolicy(ResidualRule):
    """Takes the option to which a network gives the highest value.

    Args as of `ResidualRule`, with the networks by choice; a choice without one stays the rule's.
    """

    def __init__(
        self,
        scenario: Scenario,
        rule: ComposedRule,
        networks: Mapping[str, ChoiceNetwork],
        margin: float = 0.0,
        name: str = "learned",
    ) -> None:
        valuers = {choice: partial(_value, network) for choice, network in networks.items()}
        super().__init__(scenario, rule, valuers, margin, name)
        self.networks = networks


def _value(network: ChoiceNetwork, features: Float32Array) -> Float32Array:
    copies = max(_AGENTS_AT_ONCE // features.shape[1], 1)
    with torch.inference_mode():
        parts = torch.split(torch.from_numpy(features), copies)
        values: Float32Array = torch.cat([network(part) for part in parts]).numpy()
        return values


def make_network_arguments(
    scenario: Scenario, settings: Residual, hidden: Sequence[int]
) -> dict[str, dict[str, Any]]:
    """Keyword arguments of each choice's `ChoiceNetwork`."""
    observed = Layout.from_scenario(scenario).num_features
    return {
        name: {
            "num_features": observed + len(CHOICES[name].features),
            "num_options": CHOICES[name].num_options,
            "hidden": list(hidden),
            "is_joint": CHOICES[name].is_joint,
        }
        for name in settings.choices
    }
