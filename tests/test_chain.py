"""Files of a chain: made by the script, read with their totals, in blocks as in one piece."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from envs.omnichannel.scenario import load_scenario
from envs.omnichannel.world.demand import make_demand
from envs.omnichannel.world.demand.traces import TraceDemand
from marl.planning.from_data import cells, series, texts, writing
from marl.planning.from_data.make import FromData, Sources, make_scenario
from scripts.make_chain import make_chain, write_demand, write_others

STORES, SKUS, DAYS = 4, 30, 60


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chain")
    made = make_chain(STORES, SKUS, DAYS, 0.165, 0)
    write_demand(made, DAYS, folder / "demand", 0)
    write_others(made, DAYS, folder, 0)
    return folder


def read_demand(folder: Path) -> pd.DataFrame:
    return pd.concat([pd.read_parquet(path) for path in sorted((folder / "demand").iterdir())])


def test_make_chain__sells_in_as_many_cells_as_asked_for() -> None:
    made = make_chain(10, 100, 84, 0.165, 0)
    days = [made.expect(day) for day in range(84)]
    sold = 1 - (1 + np.array(days) / 1.2) ** -1.2
    assert sold.mean() == pytest.approx(0.165, rel=0.15)


def make(chain: Path, out: Path) -> FromData:
    return make_scenario(Sources(chain / "demand", skus=chain / "skus.parquet"), out)


def test_chain__has_the_totals_of_its_files(chain: Path, tmp_path: Path) -> None:
    made, table = make(chain, tmp_path / "my.yaml"), read_demand(chain)
    assert made.reading.rows == len(table)
    assert made.reading.units == table["units"].sum()
    assert made.reading.skus == table["sku"].nunique()
    demand = make_demand(load_scenario(tmp_path / "my.yaml"))
    assert isinstance(demand, TraceDemand)
    expected = table.groupby("date")["units"].sum().to_numpy()
    np.testing.assert_array_equal(demand.units.sum(axis=(1, 2, 3)), expected)


def test_chain__is_the_same_in_blocks_and_in_a_compact_file(
    chain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = make(chain, tmp_path / "my.yaml")
    demand = make_demand(load_scenario(tmp_path / "my.yaml"))
    (tmp_path / "my.yaml").unlink()
    (tmp_path / "my.demand.csv.gz").unlink()
    for module in (cells, series, texts):
        monkeypatch.setattr(module, "_BLOCK", 100)
    monkeypatch.setattr(writing, "MOST_TEXT_CELLS", 100)
    blocks = make(chain, tmp_path / "my.yaml")
    other = make_demand(load_scenario(tmp_path / "my.yaml"))
    assert blocks.trace == tmp_path / "my.demand.npz"
    assert blocks.summary == plain.summary
    assert [s.value for s in blocks.sections if s.name != "demand"] == [
        s.value for s in plain.sections if s.name != "demand"
    ]
    assert isinstance(demand, TraceDemand)
    assert isinstance(other, TraceDemand)
    np.testing.assert_array_equal(demand.units, other.units)


@pytest.mark.slow
def test_chain__of_three_million_rows_is_read_in_less_than_a_gigabyte(tmp_path: Path) -> None:
    made = make_chain(32, 1560, 365, 0.165, 0)
    rows = write_demand(made, 365, tmp_path / "demand", 0)
    assert rows > 2_900_000
    source, out = str(tmp_path / "demand"), str(tmp_path / "my.yaml")
    read = (
        "from pathlib import Path\n"
        "from marl.planning.from_data.make import Sources, make_scenario\n"
        f"make_scenario(Sources({source!r}), Path({out!r}))\n"
        "print(Path('/proc/self/status').read_text())"
    )
    # The highest memory of the process itself: getrusage counts that of the one that started it.
    status = subprocess.run(
        [sys.executable, "-c", read], check=True, capture_output=True, text=True
    )
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", status.stdout)
    assert int(peak) < 1_000_000


@pytest.mark.parametrize(
    ("shape", "is_text"),
    [
        ((365, 100, 821, 1), True),
        ((365, 100, 823, 1), False),
        ((3650, 300, 1, 1), False),
        ((3650, 270, 1, 1), True),
    ],
)
def test_name_trace__is_that_of_text_while_it_is_small(
    shape: tuple[int, int, int, int], is_text: bool
) -> None:
    units = np.broadcast_to(np.zeros(1, np.int16), shape)
    assert writing.name_trace("my", units) == f"my.demand{'.csv.gz' if is_text else '.npz'}"
