"""The state of the forecasts as a file: what is wrong with one is one line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.errors import InputError
from envs.omnichannel.scenario import Scenario, load_scenario
from marl.planning.daily.state import ForecastState
from tests.daily_chain import RECORD, write_scenario


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    return load_scenario(write_scenario(tmp_path, RECORD))


def damage(content: dict[str, Any], how: str) -> None:
    arrays = content["arrays"]
    match how:
        case "missing":
            del arrays["weight"]
        case "shape":
            arrays["weight"]["shape"] = [9, 9]
        case "data":
            arrays["weight"]["data"] = "AAAA"
        case "other":
            content["skus"][0] = "coat"
        case "version":
            content["version"] = 1
        case "first":
            content["first_day"] = "2020-01-01"
        case "nan":
            arrays["weight"] = arrays["weight"] | encode(np.full((2, 6), np.nan))


def encode(array: np.ndarray) -> dict[str, str]:
    import base64
    import zlib

    return {"data": base64.b64encode(zlib.compress(array.tobytes())).decode()}


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("missing", "arrays.weight is missing; the file is not whole"),
        ("shape", "arrays.weight: float64 of shape [9, 9] found; float64 of shape [2, 6]"),
        ("data", "arrays.weight: the data are damaged"),
        ("other", "skus: not that of scenario mine"),
        ("version", "version: 1 is not allowed"),
        ("first", "first_day: '2020-01-01' is not allowed; the scenario's record begins on 2023"),
        ("nan", "arrays.weight: numbers from 0 to 1e+15 are needed"),
    ],
)
def test_read_state__what_is_wrong_is_one_line(
    scenario: Scenario, tmp_path: Path, how: str, message: str
) -> None:
    path = tmp_path / "state.json"
    ForecastState.from_record(scenario).write(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    damage(content, how)
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(InputError) as error:
        ForecastState.read(path, scenario)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_forecast_state__drawn_demand_has_no_record(tiny: Scenario) -> None:
    with pytest.raises(InputError, match=r"^--scenario: tiny is not allowed; its demand is drawn"):
        ForecastState.from_record(tiny)
