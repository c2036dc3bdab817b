"""Weights that go from plain arrays into networks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from marl.learning.policy_arrays import Weights


def fill_networks(networks: Mapping[str, torch.nn.Module], weights: Weights) -> None:
    """Loads each network's weights."""
    for name, network in networks.items():
        values = {k: torch.from_numpy(np.array(v)) for k, v in weights[name].items()}
        network.load_state_dict(values)
