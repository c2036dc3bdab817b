"""Overrides of demand: the process that each gives its pairs, and the checks of its names."""

from __future__ import annotations

from typing import get_args

from envs.omnichannel.scenario.demand import Drawn, Override, Parametric
from envs.omnichannel.scenario.goods import Sku

# The settings of each drawn process that are its own, with their defaults.
PARAMETERS: dict[str, dict[str, float]] = {
    get_args(kind.model_fields["process"].annotation)[0]: {
        name: field.default
        for name, field in kind.model_fields.items()
        if name not in {*Parametric.model_fields, "process"}
    }
    for kind in get_args(Drawn)
}


def find_process(demand: Drawn, override: Override | None = None) -> tuple[str, dict[str, float]]:
    """Returns the process of an override's pairs, with its own settings.

    Args:
        demand: which is overridden.
        override: which names a process or a setting of one; None for the demand itself.
    """
    own = {name: getattr(demand, name) for name in PARAMETERS[demand.process]}
    if override is None:
        return demand.process, own
    process = override.process or demand.process
    start = own if process == demand.process else PARAMETERS[process]
    return process, start | override.settings


def check_overrides(demand: Drawn, stores: list[str], skus: list[Sku]) -> None:
    """Refuses overrides that the network or their processes do not allow.

    Raises:
        ValueError: names the field, the value and what is allowed.
    """
    by_name = {sku.name: sku for sku in skus}
    known = {"stores": dict.fromkeys(stores), "skus": dict.fromkeys(by_name)}
    for i, override in enumerate(demand.overrides or ()):
        field = f"demand.overrides.{i}"
        for axis, names in known.items():
            for name in getattr(override, axis) or ():
                if name not in names:
                    raise ValueError(
                        f"{field}.{axis}: {name!r} is not known; allowed: {', '.join(names)}"
                    )
        if override.demand is None and not override.has_process:
            raise ValueError(f"{field}: nothing is overridden; a process or a demand is needed")
        _check_settings(field, override, demand.process)
        for name in (override.skus or by_name) if override.demand else ():
            sku = by_name[name]
            if not sku.store_demand + sku.online_demand + sku.pickup_demand:
                raise ValueError(
                    f"{field}.demand: {override.demand:g} is not allowed for {name}, whose "
                    "demands are 0 in all channels; one above 0 is needed"
                )


def _check_settings(field: str, override: Override, otherwise: str) -> None:
    process = override.process or otherwise
    for name in override.settings:
        if name not in PARAMETERS[process]:
            allowed = ", ".join(PARAMETERS[process]) or "none"
            raise ValueError(f"{field}.{name}: no setting of {process}; allowed: {allowed}")
