"""`evaluate` and `tune`, and how a comparison is printed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marl.commands.console import make_console, write_json
from marl.commands.options import JsonOption, ScenarioOption

if TYPE_CHECKING:
    from rich.console import Console

    from envs.omnichannel.scenario import Scenario
    from marl.evaluation.evaluate import Evaluation
    from marl.runs.folder import RunFolder


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    app.command()(evaluate)
    app.command()(tune)


def evaluate(
    policies: Annotated[
        list[str],
        typer.Argument(
            help="Run folders, checkpoints, .npz files, policy names, baselines, MODULE:NAME."
        ),
    ],
    scenario: ScenarioOption = None,
    episodes: Annotated[int, typer.Option(min=2, help="Of each policy.")] = 256,
    seed: Annotated[int, typer.Option(min=0, help="Of the episodes.")] = 0,
    bound: Annotated[
        int, typer.Option(min=0, help="Episodes to solve for a bound on every policy.")
    ] = 0,
    json_file: JsonOption = None,
) -> None:
    """Compare policies on the same episodes, with 95% intervals."""
    from envs.omnichannel.scenario import load_scenario
    from marl.evaluation.evaluate import evaluate_policies
    from marl.evaluation.sources import find_scenario, resolve_policies

    console = make_console(json_file)
    chosen = load_scenario(scenario) if scenario else find_scenario(policies)
    found = resolve_policies(policies, chosen, console.print)
    evaluation = evaluate_policies(
        found, chosen, episodes, seed, bound_episodes=min(bound, episodes)
    )
    print_evaluation(console, evaluation, chosen)
    write_json(json_file, evaluation.to_json())


def tune(
    scenario: ScenarioOption = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Parameter vectors to try.")] = None,
    json_file: JsonOption = None,
) -> None:
    """Tune the classical policies on the simulator; the result is cached."""
    from envs.omnichannel.scenario import load_scenario
    from marl.evaluation.tuning import get_cache_dir, load_or_tune
    from marl.policies import list_families

    loaded = load_scenario(scenario or "paper")
    console = make_console(json_file)
    result: dict[str, Any] = {"scenario": loaded.name, "families": {}}
    families = list_families(loaded)
    for i, family in enumerate(families, 1):
        place = f"{i} of {len(families)}"
        tuned = load_or_tune(family, loaded, trials=trials, say=console.print, place=place)
        result["families"][family] = {"reward": tuned.reward, "parameters": tuned.parameters}
        values = "  ".join(f"{name} {value:.3f}" for name, value in tuned.parameters.items())
        console.print(f"{family}: reward {tuned.reward:.4f}  {values}", soft_wrap=True)
    console.print(f"cached in {get_cache_dir()}", soft_wrap=True)
    write_json(json_file, result)


def compare_best(run: RunFolder, say: Callable[[str], object]) -> Evaluation:
    """Compares the best checkpoint with the baselines on episodes that nothing else has seen."""
    from marl.evaluation.evaluate import evaluate_policies
    from marl.evaluation.sources import load_learned, load_untrained, make_baselines

    settings = run.config.evaluation
    # A limit in minutes is over by now, and what it left room for is tuned.
    is_over = run.config.stop.minutes is not None
    policies = make_baselines(list(settings.baselines), run.scenario, say, lambda: is_over)
    policies |= load_untrained(run)
    policies["trained"] = load_learned(run.find_checkpoint("best"), "trained", run.scenario)
    return evaluate_policies(policies, run.scenario, settings.test_episodes, run.config.seed)


def print_evaluation(console: Console, evaluation: Evaluation, scenario: Scenario) -> None:
    """Prints the tables, and what the scenario says about them."""
    from marl.evaluation.tables import make_paired_table, make_tables

    for table in make_tables(evaluation):
        console.print(table)
    if evaluation.paired:
        console.print(make_paired_table(evaluation))
    if scenario.caveat:
        console.print(scenario.caveat, highlight=False, soft_wrap=True)
