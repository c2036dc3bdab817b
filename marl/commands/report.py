"""`report` and `benchmark`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from marl.commands.console import make_console, write_json
from marl.commands.options import JsonOption


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    app.command()(report)
    app.command()(benchmark)


def report(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    out: Annotated[Path | None, typer.Option(help="Default: report.html in the run.")] = None,
    forecast_cost: Annotated[
        bool,
        typer.Option("--forecast-cost", help="Show what forecast errors cost: about a minute."),
    ] = False,
    open_it: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
) -> None:
    """Write a run's report: one HTML file that works offline."""
    from marl.report.gather import write_report
    from marl.runs.folder import RunFolder

    path = write_report(RunFolder.open(run), out, forecast_cost=forecast_cost)
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
    if open_it:
        typer.launch(path.resolve().as_uri())


def benchmark(
    quick: Annotated[bool, typer.Option(help="A tenth of the time, for a first look.")] = False,
    json_file: JsonOption = None,
) -> None:
    """Measure simulator, sampling, pool and learner; ratios of one run."""
    from marl.benchmark import make_table, run_benchmark

    console = make_console(json_file)
    rows = run_benchmark(quick=quick)
    console.print(make_table(rows))
    write_json(json_file, {"rows": [row.to_json() for row in rows]})
