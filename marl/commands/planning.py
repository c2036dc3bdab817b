"""The planner's commands. Heavy imports live inside them, so that `--help` comes at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from envs.errors import InputError
from marl.commands.console import make_console, name_command, write_json

ScenarioOption = Annotated[
    str, typer.Option("--scenario", "-s", help="Built-in name or a YAML file.")
]


def register(app: typer.Typer, scenario_app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    app.command()(export)
    app.command()(choose)
    app.command("learn-sales")(learn)
    scenario_app.command("from-data")(make_from_data)
    scenario_app.command("state-template")(write_template)


def export(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    out: Annotated[Path, typer.Option(help="The ONNX file to write.")] = Path("policy.onnx"),
) -> None:
    """Write a run's best policy as one file that needs neither Ray nor torch."""
    from marl.planning.export import export_policy

    metadata = export_policy(run, out)
    tuned = (
        ", ".join(rule.family for rule in metadata.classical)
        or "none: run `omnichannel tune` first to have them"
    )
    print(f"{out}: policy {metadata.name}, trained on {metadata.scenario}")
    print(f"tuned classical policies inside: {tuned}")


def choose(
    scenario: ScenarioOption,
    out: Annotated[Path, typer.Option(help="The rule file to write, .json.")] = Path("rule.json"),
    minutes: Annotated[
        float | None, typer.Option(min=0.1, help="That tuning takes at most. Default: no limit.")
    ] = None,
) -> None:
    """Choose the best classical rule on the training days, and write it for `recommend`."""
    from envs.omnichannel.scenario import load_scenario
    from marl.evaluation.choice import TimeShares, choose_rule
    from marl.evaluation.tuning import load_or_tune
    from marl.planning.rule_file import write_rule
    from marl.policies.families import Textbook

    if out.suffix != ".json":
        raise InputError(f"--out: '{out}' is not allowed; a name that ends in .json is needed")
    loaded = load_scenario(scenario)
    share = None if minutes is None else 0.9 * minutes
    rule = choose_rule(loaded, print, share)
    stop = TimeShares(None if minutes is None else 0.1 * minutes, 1).make_stop()
    beside = load_or_tune(Textbook.name, loaded, say=print, should_stop=stop)
    write_rule(out, loaded, rule, beside)
    print(f"{out}: {rule.family}, reward {rule.reward:.4f} on the training days")


def learn(
    scenario: ScenarioOption,
    sales: Annotated[
        str,
        typer.Option(help="CSV or any other file of from-data: date, store, sku, units (channel)."),
    ],
    state: Annotated[
        Path, typer.Option(help="The forecasts' state; begins with the scenario's record.")
    ],
    items: Annotated[
        Path | None,
        typer.Option(help="CSV: sku (store, listed_from, listed_until, sister); state keeps it."),
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="Which columns they are: 'date=Posting Date, sku=Material'.")
    ] = None,
    query: Annotated[str | None, typer.Option(help="The SELECT that a database is to run.")] = None,
    zone: Annotated[
        str | None, typer.Option(help="Whose days count where times name a zone: Europe/Berlin.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Learn known days anew, from a corrected file.")
    ] = False,
    fix: Annotated[
        bool, typer.Option("--fix", help="Days without any row are unknown and teach nothing.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the result as JSON; -: stdout.")
    ] = None,
) -> None:
    """Learn what was sold since the last time; `recommend --forecast` orders by it."""
    from envs.omnichannel.scenario import load_scenario
    from marl.planning.daily.learn_sales import learn_sales

    learnt = learn_sales(
        load_scenario(scenario), sales, state, fix=fix, items_file=items, replace=replace,
        columns=columns, query=query, zone=zone,
    )  # fmt: skip
    console = make_console(json_file)
    for line in learnt.describe():
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    write_json(json_file, learnt.to_json())


def write_template(
    scenario: Annotated[str, typer.Argument(help="Built-in name or a YAML file.")],
    out: Annotated[Path | None, typer.Option(help="The CSV to write; default: stdout.")] = None,
    empty: Annotated[bool, typer.Option("--empty", help="Leave the column on_hand empty.")] = False,
    forecast: Annotated[
        Path | None,
        typer.Option(help="The state of `learn-sales`, whose next day is filled in."),
    ] = None,
) -> None:
    """Write a stock count with all columns that `recommend --state` reads."""
    from envs.omnichannel.scenario import load_scenario
    from envs.omnichannel.world.simulator import Simulator
    from marl.planning.stock_count import StockCountSchema

    loaded, day = load_scenario(scenario), None
    if forecast is not None:
        from marl.planning.daily.state import ForecastState

        day = ForecastState.read(forecast, loaded, "--forecast").next_day
    text = StockCountSchema(Simulator(loaded)).make_template(empty=empty, day=day)
    if out is None:
        print(text, end="")
    else:
        from marl.runs.files import write_file

        write_file(out, text, "--out")
        print(f"{out}: {text.count(chr(10)) - 1} rows")
        hint = "is empty" if empty else "is what the scenario assumes, not yours"
        print(f"on_hand {hint}: fill in what you counted")


def make_from_data(
    demand: Annotated[
        str,
        typer.Option(
            help="CSV, Excel or Parquet file, folder of such files, or database: date, store, sku, "
            "units (channel ...)."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="The scenario to write, a .yaml file. Default: check only, write none."),
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="Which columns they are: 'date=Posting Date, sku=Material'.")
    ] = None,
    query: Annotated[str | None, typer.Option(help="The SELECT that a database is to run.")] = None,
    zone: Annotated[
        str | None, typer.Option(help="Whose days count where times name a zone: Europe/Berlin.")
    ] = None,
    spread_months: Annotated[
        bool, typer.Option("--spread-months", help="Units of months, evenly over their days.")
    ] = False,
    returns: Annotated[
        Path | None, typer.Option(help="CSV: date, store, sku, units (sale_date).")
    ] = None,
    skus: Annotated[
        Path | None, typer.Option(help="CSV: sku (category, price, unit_cost ...).")
    ] = None,
    nodes: Annotated[
        Path | None, typer.Option(help="CSV: node, kind: dc or store (parent, capacity).")
    ] = None,
    lanes: Annotated[
        Path | None, typer.Option(help="CSV: from, to (distance, lead_time, cost).")
    ] = None,
    calendar: Annotated[
        Path | None, typer.Option(help="CSV: date (store, open): when stores are open.")
    ] = None,
    assortment: Annotated[
        Path | None, typer.Option(help="CSV: store, sku (from, until): what stores have on sale.")
    ] = None,
    in_stock: Annotated[
        Path | None, typer.Option(help="CSV: date, store, sku, in_stock: empty shelves.")
    ] = None,
    rules: Annotated[
        Path | None,
        typer.Option(help="YAML: order_rules, order_calendars, suppliers, shelf_rules ..."),
    ] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Cure what can be cured, and say so.")] = False,
    held_back: Annotated[
        str | None, typer.Option(help="'30 days' or the first held-back date. Default: a fifth.")
    ] = None,
    ragged: Annotated[
        bool, typer.Option("--ragged", help="A store does not carry what it never sold.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace --out where it exists.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the result as JSON; -: stdout.")
    ] = None,
) -> None:
    """Make a scenario of your own files: see docs/your-data.md."""
    from marl.planning.from_data.make import Sources, make_scenario
    from marl.planning.from_data.report import list_assumptions, list_fixes, make_summary_table

    console = make_console(json_file)
    sources = Sources(
        demand, returns, skus, nodes, lanes,
        columns=columns, query=query, zone=zone, spread_months=spread_months,
        calendar=calendar, assortment=assortment, in_stock=in_stock, rules=rules,
    )  # fmt: skip
    made = make_scenario(sources, out, fix=fix, held_back=held_back, force=force, is_ragged=ragged)
    for line in made.reading.describe():
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    console.print(make_summary_table(made.summary))
    for line in (*list_fixes(made.fixed), *list_assumptions(made.sections)):
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    written = (
        "nothing was written: --out names the scenario's file"
        if made.out is None
        else f"wrote {made.out} and {made.trace}\n"
        f"next: {name_command('omnichannel')} choose --scenario {made.out}"
    )
    console.print(f"{made.describe_split()}\n{written}", highlight=False, soft_wrap=True)
    write_json(json_file, made.to_json())
