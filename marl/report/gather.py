"""The report of a run folder: gathers what the page shows, renders it, writes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from envs.errors import InputError
from envs.omnichannel.forecast.learner import Rates
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.demand import Trace
from envs.omnichannel.world.draws import make_seeds
from envs.untrusted import MOST_TABLE, parse_object, read_text
from marl.evaluation.evaluate import MOST_MEASURED, Evaluation, evaluate_policies
from marl.evaluation.forecast_costs import ForecastChoice, compare_methods
from marl.evaluation.sources import load_learned
from marl.policies import make_policy
from marl.policies.base import Policy
from marl.report.figures.training import TRAINED, Records
from marl.report.page import BEFORE, COLUMNS, ReportData, render_report
from marl.report.recording import Selection, record_episodes
from marl.runs.files import write_file
from marl.runs.folder import RunFolder

REPORT_FILE = "report.html"
EVALUATION_FILE, METRICS_FILE, ABLATION_FILE = "evaluation.json", "metrics.jsonl", "ablation.json"

DOCUMENTS = {
    "Configuration": "config.yaml",
    "Scenario": "scenario.yaml",
    "Versions": "versions.json",
}

MOST_EPISODES = 16
# Store-SKU-days of all episodes of a policy: a few seconds, whatever the network's size.
MOST_CELL_DAYS = 200_000


def write_report(
    run: RunFolder,
    out: Path | None = None,
    *,
    forecast_cost: bool = False,
) -> Path:
    """Writes a run's report and returns its path.

    A run without its final comparison, because it was interrupted, is compared with `before` on
    the report's own episodes.

    Args:
        run: with at least one checkpoint.
        out: the file to write; default: report.html in the run folder.
        forecast_cost: whether to measure what the errors of the scenario's forecast cost.

    Raises:
        InputError: if the run has no checkpoint, one of its files is broken, `out` cannot be
            written, or the cost is asked for and demand is not recorded.
    """
    costs = _compare_forecasts(run.scenario) if forecast_cost else None
    policies: dict[str, Policy] = {
        BEFORE: make_policy(BEFORE, run.scenario),
        TRAINED: load_learned(run.find_checkpoint("best"), TRAINED, run.scenario),
    }
    episodes = count_episodes(run.scenario)
    evaluation = _read_evaluation(run.path / EVALUATION_FILE) or evaluate_policies(
        policies, run.scenario, episodes, run.config.seed, purpose="report"
    )
    selection = Selection.from_scenario(run.scenario)
    seeds = make_seeds("report", run.config.seed, episodes)
    data = ReportData(
        name=run.path.resolve().name,
        scenario=run.scenario,
        evaluation=evaluation,
        records=_read_records(run.path / METRICS_FILE),
        recordings={
            name: record_episodes(policy, run.scenario, seeds, selection)
            for name, policy in policies.items()
        },
        ablation=_read_evaluation(run.path / ABLATION_FILE),
        forecast_costs=costs,
        documents={
            title: read_text(run.path / name, "report", inside=run.path)
            for title, name in DOCUMENTS.items()
        },
    )
    path = out or run.path / REPORT_FILE
    write_file(path, render_report(data), "--out", own=out is None)
    return path


def _compare_forecasts(scenario: Scenario) -> ForecastChoice:
    """The scenario's own method against an oracle."""
    if not isinstance(scenario.demand, Trace):
        raise InputError(
            f"--forecast-cost: the demand of {scenario.name} is drawn; recorded demand is needed, "
            "which scenarios made by from-data have"
        )
    return compare_methods(scenario, [Rates.from_settings(scenario.forecast).method], print)


def count_episodes(scenario: Scenario) -> int:
    """Returns how many episodes of a policy the report may run."""
    cell_days = len(scenario.network.stores) * len(scenario.skus) * scenario.horizon
    return min(max(MOST_CELL_DAYS // cell_days, 1), MOST_EPISODES)


def _read_evaluation(path: Path) -> Evaluation | None:
    """What `evaluate --json` wrote, or None where there is no such file."""
    if not path.is_file():
        return None
    try:
        text = read_text(path, "report", inside=path.parent)
        found = Evaluation.from_json(parse_object(text, f"report: '{path}'", finite=False))
    except ValueError:
        raise InputError(
            f"report: '{path}' is not a comparison; write it anew with evaluate --json"
        ) from None
    for name, metrics in (found.policies | found.paired).items():
        for metric in (column.metric for column in COLUMNS):
            if metric not in metrics:
                raise InputError(
                    f"report: '{path}' has no {metric} of {name}; "
                    "write it anew with evaluate --json"
                )
    return found


def _read_records(path: Path) -> Records:
    """The lines of metrics.jsonl; a last line that a killed run left half written is dropped."""
    if not path.is_file():
        return []
    lines = read_text(path, "report", MOST_TABLE, path.parent).splitlines()
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            source = f"report: '{path}', line {number}"
            record = parse_object(line, source, finite=False)
        except InputError:
            if number < len(lines):
                raise InputError(f"report: '{path}', line {number} is not JSON") from None
            continue
        if not _is_record(record):
            raise InputError(
                f"report: '{path}', line {number} is not a record of training: numbers by name, "
                "episodes among them"
            )
        records.append(record)
    return records


def _is_record(record: Mapping[str, Any]) -> bool:
    return "episodes" in record and all(
        type(value) in {int, float} and not abs(value) > MOST_MEASURED for value in record.values()
    )
