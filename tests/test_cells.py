"""Cells of a record: sums, gaps, repeated rows and prices, against the plain way to get them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from marl.planning.from_data import cells, texts
from marl.planning.from_data.dataset import DemandRecords
from marl.planning.from_data.make import Sources, load_dataset

DAYS = pd.date_range("2024-01-01", periods=40).strftime("%Y-%m-%d")


def make_rows(seed: int, *, repeat: bool = False, by_weight: bool = False) -> pd.DataFrame:
    chance = np.random.default_rng(seed)
    names = ["date", "store", "sku", "channel"]
    axes = [[*DAYS], ["a", "b"], ["x", "y", "z"], ["store", "online"]]
    grid = pd.MultiIndex.from_product(axes, names=names).to_frame(index=False)
    table = grid.sample(frac=0.4, random_state=seed, replace=repeat).reset_index(drop=True)
    table["units"] = chance.integers(0, 9, len(table)) + 0.0
    if by_weight:
        table["units"] += (table["sku"] == "y") * chance.integers(1, 1000, len(table)) / 1000
    table["price"] = np.where(
        chance.random(len(table)) < 0.2, np.nan, chance.integers(1, 900, len(table)) / 100
    )
    return table


def read(table: pd.DataFrame, folder: Path, **given: Mapping[str, object]) -> DemandRecords:
    path = folder / "demand.csv"
    table.to_csv(path, index=False)
    return load_dataset(Sources(path, **given), fix=True)[0].demand  # type: ignore[arg-type]


@pytest.mark.parametrize("block", [7, 1 << 22])
@pytest.mark.parametrize("by_weight", [False, True])
@pytest.mark.parametrize("repeat", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_cells__are_what_pandas_makes_of_the_rows(
    seed: int, repeat: bool, by_weight: bool, block: int, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for module in (cells, texts):
        monkeypatch.setattr(module, "_BLOCK", block)
    table = make_rows(seed, repeat=repeat, by_weight=by_weight)
    demand = read(table, tmp_path)
    index = pd.MultiIndex.from_product([DAYS, demand.stores, demand.skus, demand.channels])
    keys = ["date", "store", "sku", "channel"]
    sums = table.groupby(keys)["units"].sum().reindex(index)
    dense = sums.fillna(0).to_numpy().reshape(demand.units.shape)
    carried = np.diff(np.rint(np.round(np.cumsum(dense, axis=0), 9)), axis=0, prepend=0)
    np.testing.assert_array_equal(demand.units, carried)
    missing = sums.isna().to_numpy().reshape(demand.units.shape)
    assert demand.filled == (missing & ~missing.all(axis=0)).sum()
    median = table.groupby("sku")["price"].median()
    assert demand.price == {sku: median[sku] for sku in demand.skus}


def test_prices__of_a_column_without_any_are_none(tmp_path: Path) -> None:
    assert read(make_rows(0).assign(price=""), tmp_path).price == {}


@pytest.mark.parametrize(("largest", "kind"), [(9, np.int16), (40_000, np.int32)])
def test_units__are_as_narrow_as_they_can_be(
    largest: int, kind: type[np.integer], tmp_path: Path
) -> None:
    table = make_rows(0)
    table.loc[3, "units"] = largest
    found = read(table, tmp_path).units
    assert found.dtype == kind
    assert found.max() == largest


def test_units__that_only_together_are_large_are_added_up(tmp_path: Path) -> None:
    table = pd.concat([make_rows(0)] * 40).assign(units=900_000)
    found = read(table, tmp_path).units
    assert found.max() == 36_000_000
    assert found.sum() == 900_000 * len(table)
