"""Trace files: written, read, found beside their scenario, refused where they are broken."""

import os
import re
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from envs.errors import InputError
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.scenario.demand import Trace
from envs.omnichannel.scenario.load import outside_allowed
from envs.omnichannel.types import State
from envs.omnichannel.world.demand import make_demand
from envs.omnichannel.world.demand.recorded import RecordedDemand
from envs.omnichannel.world.demand.trace_file import encode_trace, load_trace
from envs.omnichannel.world.demand.traces import TraceDemand
from marl.config import load_config
from marl.evaluation.evaluate import evaluate_policies
from marl.evaluation.tables import make_tables
from marl.policies import make_policy
from marl.runs.folder import RunFolder

DAYS = 28
HEADER = "date,store,channel,hat,coat"


def make_records(channels: list[str] | None = None) -> RecordedDemand:
    channels = channels or ["store", "online"]
    units = np.arange(DAYS * 2 * 2 * len(channels)).reshape(DAYS, 2, 2, len(channels)) % 7
    return RecordedDemand(date(2024, 1, 1), ["S1", "S2"], ["hat", "coat"], channels, units)


def write_scenario(folder: Path, records: RecordedDemand | None = None, **trace: Any) -> Path:
    (folder / "sales.csv.gz").write_bytes(encode_trace(records or make_records()))
    demand = {"process": "trace", "file": "sales.csv.gz", "train_days": 21} | trace
    data = {
        "name": "mine",
        "horizon": 7,
        "network": {
            "dcs": [{"name": "dc"}],
            "stores": [{"name": "S1", "parent": "dc"}, {"name": "S2", "parent": "dc"}],
        },
        "skus": [{"name": "hat", "category": "all"}, {"name": "coat", "category": "all"}],
        "categories": {"all": {"return_rate": 0.0}},
        "demand": demand,
    }
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return path


def test_trace_file__holds_what_was_written(tmp_path: Path) -> None:
    records = make_records()
    path = tmp_path / "sales.csv.gz"
    path.write_bytes(encode_trace(records))
    found = load_trace(path, None)
    assert (found.first_day, found.stores, found.skus) == (
        date(2024, 1, 1),
        ["S1", "S2"],
        records.skus,
    )
    assert found.channels == ["store", "online"]
    np.testing.assert_array_equal(found.units, records.units)
    first = path.read_bytes()
    path.write_bytes(encode_trace(records))
    assert path.read_bytes() == first


def test_load_scenario__finds_the_trace_beside_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_scenario(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    scenario = load_scenario(path)
    assert isinstance(scenario.demand, Trace)
    assert scenario.demand.file == str(tmp_path / "sales.csv.gz")
    trace = make_demand(scenario)
    assert isinstance(trace, TraceDemand)
    np.testing.assert_array_equal(trace.units, make_records().units)


def test_scenario_hash__depends_on_the_content_of_the_trace_and_not_on_its_place(
    tmp_path: Path,
) -> None:
    path = write_scenario(tmp_path)
    before = load_scenario(path).hash()
    moved = tmp_path / "moved"
    moved.mkdir()
    assert load_scenario(write_scenario(moved)).hash() == before
    write_scenario(tmp_path, RecordedDemand(**{**vars(make_records()), "skus": ["coat", "hat"]}))
    assert load_scenario(path).hash() != before


def test_trace__channels_are_replayed_as_recorded(tmp_path: Path) -> None:
    process = make_demand(load_scenario(write_scenario(tmp_path, make_records(["online"]))))
    assert isinstance(process, TraceDemand)
    state = State(
        **{name: np.zeros(2) for name in State.__dataclass_fields__} | {"day": np.array([3, 9])}
    )
    units = process.sample_units(state)
    np.testing.assert_array_equal(units[..., 1], make_records(["online"]).units[[3, 9]][..., 0])
    assert not units[..., 0].any()


def test_trace__a_share_online_is_refused_where_it_is_recorded(tmp_path: Path) -> None:
    scenario = load_scenario(write_scenario(tmp_path, online_share=0.2))
    with pytest.raises(
        InputError, match=r"^demand\.online_share: 0\.2 is not allowed; 0 is needed"
    ):
        make_demand(scenario)


def test_trace__training_days_beyond_the_records_are_refused(tmp_path: Path) -> None:
    scenario = load_scenario(write_scenario(tmp_path, train_days=29))
    with pytest.raises(InputError, match=r"^demand\.train_days: 29 is not allowed; at most 28"):
        make_demand(scenario)


@pytest.mark.parametrize(
    ("demand", "message"),
    [
        ({"file": "no.csv"}, "demand.file: 'no.csv' does not exist; give a path relative to"),
        ({"file": "."}, "demand.file: '.' cannot be read (Is a directory)"),
        ({"digest": "0"}, "demand.digest: '0' is not allowed; 'sales.csv.gz' has "),
        ({"source": "grocery_demand"}, "demand: source, file: one of the two is needed, and not"),
        ({"file": None}, "demand: source, file: one of the two is needed, and not both"),
    ],
)
def test_load_scenario__names_what_is_wrong_with_a_trace(
    demand: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = write_scenario(tmp_path, **demand)
    with pytest.raises(InputError) as error:
        load_scenario(path)
    assert str(error.value).startswith(f"{path}: {message}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: not the columns of a trace; date, store, channel and then one column per"),
        ("date,store,hat\n", "line 1: not the columns of a trace; "),
        (f"{HEADER},hat\n", "line 1: not the columns of a trace; "),
        (
            f"{HEADER}\n1.1.24,S1,store,1,2\n",
            "line 2, column date: not a date; YYYY-MM-DD is needed",
        ),
        (f"{HEADER}\n2024-01-01,S1,store,1,-2\n", "line 2, column 5: this number is not allowed; "),
        (
            f"{HEADER}\n2024-01-01,S1,store,1,2\n2024-01-03,S1,store,1,2\n",
            "line 3, column date: this row is out of order or the last day is not complete; ",
        ),
        (
            f"{HEADER}\n2024-01-01,S1,store,1,2\n2024-01-02,S2,store,1,2\n",
            "line 3, column store: this row is out of order",
        ),
        (
            f"{HEADER}\n2024-01-01,S1,store,1,2\n2024-01-01,S2,store,1,2\n2024-01-02,S1,store,1,2\n",
            "line 4, column date: this row is out of order or the last day is not complete; ",
        ),
    ],
)
def test_load_trace__names_file_line_and_column(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "sales.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as error:
        load_trace(path, text)
    assert str(error.value).startswith(f"{path}, {message}")


@pytest.mark.parametrize(
    "content", [b"\x1f\x8bnot gzip", b"\xff", b"date,store,channel,a\nx,y,z,w\n"]
)
def test_load_trace__refuses_what_cannot_be_read(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "sales.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"^demand\.file: '.*' cannot be read \("):
        load_trace(path, None)


@pytest.mark.parametrize("file", ["../sales.csv.gz", "/etc/passwd", "link.csv"])
def test_load_scenario__a_trace_elsewhere_is_read_only_when_that_is_allowed(
    file: str, tmp_path: Path
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "sales.csv.gz").write_bytes(encode_trace(make_records()))
    (tmp_path / "own" / "link.csv").symlink_to("../sales.csv.gz")
    path = write_scenario(tmp_path / "own", file=file)

    message = re.escape(f"demand.file: '{file}' is not allowed; only files in '{path.parent}'")
    with pytest.raises(InputError, match=message):
        load_scenario(path)

    token = outside_allowed.set(True)
    try:
        scenario = load_scenario(path)
        if file != "/etc/passwd":
            make_demand(scenario)
            return
        first = Path(file).read_text(encoding="utf-8").split(":")[0]
        with pytest.raises(InputError, match="not the columns of a trace") as error:
            make_demand(scenario)
        assert first not in str(error.value).removeprefix(file)
    finally:
        outside_allowed.reset(token)


@pytest.mark.parametrize(
    "text",
    [
        "secret",
        f"{HEADER}\nsecret,S1,store,1,2\n",
        f"{HEADER}\n2024-01-01,S1,store,1,secret\n",
        f"{HEADER}\n2024-01-01,secret,store,1,2\n2024-01-02,S,store,1,2\n",
        f"{HEADER},secret\n2024-01-01,S,store,1,2,-1\n",
    ],
)
def test_load_trace__repeats_nothing_of_what_is_in_the_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "sales.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as error:
        load_trace(path, text)
    assert "secret" not in str(error.value)


def test_load_scenario__a_trace_that_never_ends_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(InputError, match=r"demand\.file: 'pipe.csv' is a pipe or a device"):
        load_scenario(write_scenario(tmp_path, file="pipe.csv"))


def test_run_folder__takes_the_trace_along(tmp_path: Path) -> None:
    path = write_scenario(tmp_path)
    RunFolder.create(tmp_path / "run", load_scenario(path), load_config())
    (tmp_path / "run").rename(tmp_path / "moved")
    (tmp_path / "sales.csv.gz").unlink()
    scenario = RunFolder.open(tmp_path / "moved").scenario
    assert isinstance(scenario.demand, Trace)
    assert scenario.demand.file == str(tmp_path / "moved" / "sales.csv.gz")


def test_evaluation__says_that_the_period_was_held_back(tmp_path: Path, tiny: Scenario) -> None:
    scenario = load_scenario(write_scenario(tmp_path))
    found = evaluate_policies({"naive": make_policy("naive", scenario)}, scenario, 2, 0)
    assert make_tables(found)[0].title == "mine: 2 episodes of the held-back period, mean ± 95%"
    drawn = evaluate_policies({"before": make_policy("before", tiny)}, tiny, 2, 0)
    assert make_tables(drawn)[0].title == "tiny: 2 episodes, mean ± 95%"
