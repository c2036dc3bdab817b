"""`forecast`: how well recorded demand is foreseen, and what that is worth."""

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
    methods: Annotated[
        list[str] | None,
        typer.Option(help="To compare by cost; may be repeated, all: each. Default: its own."),
    ] = None,
) -> None:
    """Judge forecasts: errors and bands on the held-back days, their cost on training days."""
    from envs.omnichannel.forecast.learner import Rates
    from envs.omnichannel.scenario import load_scenario
    from marl.evaluation.forecast_costs import check_methods, compare_methods
    from marl.evaluation.tables import make_forecast_table
    from marl.forecasting.backtest import back_test_scenario
    from marl.forecasting.tables import make_table

    console = make_console(json_file)
    loaded = load_scenario(scenario)
    asked = check_methods(methods or [Rates.from_settings(loaded.forecast).method])
    found = back_test_scenario(loaded)
    console.print(make_table(loaded.name, found))
    costs = compare_methods(loaded, asked, console.print)
    console.print(make_forecast_table(loaded.name, costs))
    write_json(json_file, {"scenario": loaded.name} | found.to_json() | {"costs": costs.to_json()})
