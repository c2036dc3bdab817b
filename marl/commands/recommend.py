"""`recommend` and `serve`: stock counts in, today's orders out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from envs.errors import InputError
from marl.commands.console import write_json

if TYPE_CHECKING:
    from marl.planning.order_tables import Table
    from marl.planning.planner import Planner
    from marl.planning.recommendation import Recommendation
    from marl.planning.stock_count import StockCount

PolicyOption = Annotated[
    Path, typer.Option("--policy", help="A file that export wrote, or choose.")
]
ScenarioOption = Annotated[
    str, typer.Option("--scenario", "-s", help="Built-in name or a YAML file.")
]
ForecastOption = Annotated[
    Path | None, typer.Option(help="What learn-sales wrote. Default: the scenario's own record.")
]
LOCAL = "127.0.0.1"


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    app.command()(recommend)
    app.command()(serve)


def recommend(
    policy: PolicyOption,
    scenario: ScenarioOption,
    state: Annotated[Path, typer.Option(help="The stock count, CSV.")],
    out: Annotated[
        Path | None,
        typer.Option(help="The orders to write; shares go to files of their own beside them."),
    ] = None,
    on_order: Annotated[
        Path | None,
        typer.Option(help="On their way, CSV: arrival_date, to, sku, units (from, order_date)."),
    ] = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Missing rows of the stock count are empty.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Write also the lines that are zero.")
    ] = False,
    by_supplier: Annotated[
        bool, typer.Option("--by-supplier", help="A file for each supplier and DC beside --out.")
    ] = False,
    kind: Annotated[
        str | None,
        typer.Option("--format", help="csv, xlsx or parquet. Default: as --out ends, else csv."),
    ] = None,
    explain: Annotated[
        tuple[str, str] | None, typer.Option(help="Tell one decision in words: STORE SKU.")
    ] = None,
    forecast: ForecastOption = None,
    items: Annotated[
        Path | None,
        typer.Option(help="When items are listed, CSV. Default: as learn-sales was told."),
    ] = None,
    promotions: Annotated[
        Path | None,
        typer.Option(help="What is coming, CSV: sku, first_date, last_date, uplift (store)."),
    ] = None,
    goals: Annotated[
        Path | None,
        typer.Option(help="Keeps what the high-level agents hold between reviews, JSON."),
    ] = None,
    blocks: Annotated[
        int | None,
        typer.Option(
            min=1, help="Simulate the futures in so many parts: less memory, same orders."
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the orders as JSON; -: stdout.")
    ] = None,
) -> None:
    """Turn a stock count into today's orders, shipments and returns."""
    from marl.planning.goals_file import read_goals, write_goals
    from marl.planning.order_tables import list_unused, make_tables, split_by_source
    from marl.planning.table_files import choose_format, to_csv, write_tables

    if by_supplier and out is None:
        raise InputError("--by-supplier: not allowed without --out, beside which the files stand")
    chosen = choose_format(kind, out)
    planner = _make_planner(policy, scenario, forecast, items, blocks)
    _announce(promotions, planner)
    stock_count = _read_stock(state, on_order, planner, fix=fix)
    _check_goals(goals, planner)
    before = None if goals is None else read_goals(goals, stock_count.day)
    found = planner.recommend(stock_count, before)
    told = found.explain(*explain) if explain else None
    without = list_unused(planner.today.simulator)
    tables = make_tables(found, everything=everything, without=without)
    by_source = split_by_source(tables[0]) if by_supplier else []
    written = {} if out is None else write_tables(out, [*tables, *by_source], chosen, "--out")
    if json_file is not None:
        write_json(json_file, found.model_dump(mode="json"))
    if goals is not None and found.goals is not None:
        write_goals(goals, before, found.goals)
    if str(json_file) != "-":
        to_stdout = out is None and json_file is None and told is None
        for line in _describe(found, written, f"{state}: {stock_count.read}", told):
            print(line)
        if to_stdout:
            print(to_csv(tables[0]), end="")


def _read_stock(state: Path, on_order: Path | None, planner: Planner, *, fix: bool) -> StockCount:
    """The stock count, with the lines on order where they stand in a file of their own."""
    from marl.planning.stock_count_file import read_stock_count

    stock_count = read_stock_count(state, planner.schema, fix=fix)
    if on_order is None:
        return stock_count
    from marl.planning.on_order import add_on_order, read_on_order

    lines = read_on_order(on_order, planner.schema)
    return add_on_order(stock_count, lines, planner.schema)


def _announce(promotions: Path | None, planner: Planner) -> None:
    """Tells the planner of the promotions that are coming."""
    if promotions is not None:
        from marl.planning.promotions_file import read_promotions

        planner.announce(read_promotions(promotions, planner.schema))


def _check_goals(goals: Path | None, planner: Planner) -> None:
    if goals is not None and not planner.decision_maker.has_goals:
        raise InputError(
            f"--goals: policy {planner.policy.name!r} decides on every day anew and holds no "
            "goals; leave it out"
        )


def _describe(
    found: Recommendation, written: dict[Path, Table], read: str, told: str | None
) -> Iterator[str]:
    """The totals of what was read, what is to be known, and the files with their totals."""
    from marl.planning.recommendation import add_up_by_source

    if written:
        yield read
    for note in found.notes:
        yield f"note: {note}"
    if told is not None:
        yield told
    for number, (path, table) in enumerate(written.items()):
        day = found.order_date
        yield f"{path}: {len(table.rows)} lines of {f'day {day}' if day == found.day else day}"
        if number:
            continue
        for name, total in found.totals.items():
            yield f"  {name}s: {total.lines}, {total.units} units, cost {total.cost:.2f}"
        by_source = add_up_by_source(found.decisions)
        for source, totals in by_source.items() if len(by_source) > 1 else ():
            for name, own in totals.items():
                yield (
                    f"  {name}s from {source}: {own.lines}, {own.units} units, cost {own.cost:.2f}"
                )


def serve(
    policy: PolicyOption,
    scenario: ScenarioOption,
    forecast: ForecastOption = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; others than this machine's are open to all.")
    ] = LOCAL,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8000,
    workers: Annotated[
        int | None, typer.Option(min=1, max=64, help="Requests at a time. Default: one a core.")
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A further name by which clients call this machine.")
    ] = None,
) -> None:
    """Answer stock counts with orders over HTTP; /openapi.json says how."""
    from marl.planning.serve import run_server

    count = workers or min(os.cpu_count() or 1, 8)
    planners = [_make_planner(policy, scenario, forecast) for _ in range(count)]
    run_server(planners, host, port, allow_host or [])


def _make_planner(
    policy: Path,
    scenario: str,
    forecast: Path | None,
    items: Path | None = None,
    blocks: int | None = None,
) -> Planner:
    from envs.omnichannel.scenario import load_scenario
    from marl.planning.planner import Planner
    from marl.planning.policy_file import OnnxPolicy
    from marl.planning.rule_file import RulePolicy

    loaded = load_scenario(scenario)
    is_rule = policy.suffix == ".json"
    chosen = RulePolicy.load(policy) if is_rule else OnnxPolicy.load(policy)
    if forecast is None:
        if items is not None:
            raise InputError(
                f"--items: '{items}' is not allowed without --forecast, whose state knows the sales"
            )
        return Planner(chosen, loaded, blocks=blocks)
    from marl.planning.daily.state import ForecastState

    state = ForecastState.read(forecast, loaded, "--forecast")
    if items is not None:
        from marl.planning.daily.items import read_items

        state.take_lives(read_items(items, loaded, state.first_day).lives)
    return Planner(chosen, loaded, forecast=state, blocks=blocks)
