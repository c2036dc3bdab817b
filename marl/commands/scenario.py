"""`scenario list`, `show` and `validate`."""

from __future__ import annotations

from typing import Annotated

import typer


def register(scenario_app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    scenario_app.command("list")(list_scenarios)
    scenario_app.command()(show)
    scenario_app.command()(validate)


def list_scenarios() -> None:
    """Name the built-in scenarios."""
    from envs.omnichannel.scenario import list_scenarios as list_names
    from envs.omnichannel.scenario import load_scenario

    names = list_names()
    for name in names:
        print(f"{name:{max(map(len, names))}} {load_scenario(name).description}")


def show(scenario: Annotated[str, typer.Argument(help="Name or YAML file.")]) -> None:
    """Print a scenario with all its defaults filled in."""
    import yaml

    from envs.omnichannel.scenario import load_scenario

    data = load_scenario(scenario).model_dump(mode="json")
    print(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), end="")


def validate(scenario: Annotated[str, typer.Argument(help="Name or YAML file.")]) -> None:
    """Check a scenario; exit code 2 and one line if it is not valid."""
    from envs.omnichannel.scenario import load_scenario
    from envs.omnichannel.world.simulator import Simulator

    loaded = load_scenario(scenario)
    Simulator(loaded)  # checks what only the demand data can tell
    network = loaded.network
    print(
        f"{loaded.name}: valid; {len(network.dcs)} DCs, {len(network.stores)} stores, "
        f"{len(loaded.skus)} SKUs, {loaded.horizon} periods"
    )
