"""`forecast`: how well recorded demand is foreseen."""

from __future__ import annotations

from typing import Annotated

import typer

from marl.commands.console import make_console, write_json
from marl.commands.options import JsonOption


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command()(forecast)


def forecast(
    scenario: Annotated[
        str, typer.Option("--scenario", "-s", help="With recorded demand; a name or a YAML file.")
    ] = "retail",
    json_file: JsonOption = None,
) -> None:
    """Judge forecasts on the held-back days: bias, errors and what the bands hold."""
    from envs.omnichannel.scenario import load_scenario
    from marl.forecasting.backtest import back_test_scenario
    from marl.forecasting.tables import make_table

    console = make_console(json_file)
    loaded = load_scenario(scenario)
    found = back_test_scenario(loaded)
    console.print(make_table(loaded.name, found))
    write_json(json_file, {"scenario": loaded.name} | found.to_json())
