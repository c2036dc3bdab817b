"""Safety stocks by what each SKU is worth: dear ones are safer, cheap ones less."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from envs.omnichannel.types import FloatArray
from marl.policies.base import Setting
from marl.policies.safety_stock import SafetyStock


class NewsvendorStock(SafetyStock):
    """`SafetyStock` whose z is moved by each SKU's own newsvendor ratio.

    The normal quantiles of the ratios say by how much one SKU is to be safer than another, exactly
    and without a parameter. How safe all are in the mean is the z that is tuned, because the ratio
    leaves out what orders, trucks and lead times cost.
    """

    def __init__(self, setting: Setting, values: Mapping[str, float | FloatArray]) -> None:
        super().__init__(setting, values)
        units = setting.mean_demand.sum(axis=(0, 2))
        self.store_z = self.store_z + compute_moves(setting.store_ratio, units)
        self.dc_z = self.dc_z + compute_moves(setting.dc_ratio, units)


def compute_moves(ratio: FloatArray, units: FloatArray) -> FloatArray:
    """Returns normal quantiles less their mean by units, (K,).

    Args:
        ratio: of each SKU, in (0, 1), (K,).
        units: of each SKU a period, (K,).
    """
    from scipy.special import ndtri

    quantile = ndtri(ratio)
    weight = units / units.sum() if units.sum() > 0 else np.full(len(units), 1 / len(units))
    moves: FloatArray = quantile - weight @ quantile
    return moves
