"""Names in CSV files of ours are never formulas, and are read again as they were."""

import csv
import io
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from envs.omnichannel.scenario import Scenario
from envs.omnichannel.world.demand.recorded import RecordedDemand
from envs.omnichannel.world.demand.trace_file import encode_trace, load_trace
from envs.omnichannel.world.simulator import Simulator
from envs.spreadsheet import read_name, write_name
from envs.untrusted import unpack
from marl.planning.stock_count import StockCountSchema
from marl.planning.stock_count_file import read_stock_count

NAMES = ["=1+1", "+x", "-x", "@x", "\tx", "'=x", "''-x", "=HYPERLINK(1)"]
PLAIN = ["shirt", "'s Gravenhage", "a=b", "1-2", "ä"]


@pytest.mark.parametrize("name", NAMES + PLAIN)
def test_name__comes_back(name: str) -> None:
    cell = write_name(name)

    assert read_name(cell) == name
    assert cell[0] not in "=+-@\t\r\n"
    assert (cell == name) == (name in PLAIN)


@pytest.mark.parametrize("name", ["shirt", "'s", "'"])
def test_read_name__leaves_what_is_no_formula(name: str) -> None:
    assert read_name(name) == name


def rename(scenario: Scenario, names: list[str]) -> Scenario:
    data = scenario.model_dump(mode="json")
    nodes = [*data["network"]["dcs"], *data["network"]["stores"]]
    for item, name in zip([*nodes, *data["skus"]], names, strict=False):
        item["name"] = name
    for store in data["network"]["stores"]:
        store["parent"] = nodes[0]["name"]
    return Scenario.model_validate(data)


def test_state_template__holds_no_formula_and_can_be_read(tiny: Scenario, tmp_path: Path) -> None:
    schema = StockCountSchema(Simulator(rename(tiny, ["=dc", "@s", "+s", "-hat", "coat"])))

    text = schema.make_template()

    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    assert not [cell for cell in cells if cell[:1] in {*"=+-@\t"}]
    (tmp_path / "state.csv").write_text(text, encoding="utf-8")
    count = read_stock_count(tmp_path / "state.csv", schema)
    assert count.units["on_hand"].shape == (1, 3, 2)


def test_trace__holds_no_formula_and_can_be_read(tmp_path: Path) -> None:
    units = np.arange(8).reshape(2, 2, 2, 1)
    records = RecordedDemand(date(2024, 1, 1), ["=S", "'@S"], ["-hat", "coat"], ["store"], units)

    content = encode_trace(records)

    cells = unpack(content, "trace").decode().replace("\n", ",").split(",")
    assert not [cell for cell in cells if cell[:1] in {*"=+-@\t"}]
    (tmp_path / "trace.csv.gz").write_bytes(content)
    found = load_trace(tmp_path / "trace.csv.gz", None)
    assert (found.stores, found.skus) == (records.stores, records.skus)
    np.testing.assert_array_equal(found.units, units)
