"""Compact trace files: what was written comes back, what is broken is refused in one line."""

import io
import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.errors import InputError
from envs.omnichannel.scenario import load_scenario
from envs.omnichannel.types import State
from envs.omnichannel.world.demand import compact_file, make_demand
from envs.omnichannel.world.demand.compact_file import encode_compact
from envs.omnichannel.world.demand.recorded import RecordedDemand, narrow
from envs.omnichannel.world.demand.trace_file import encode_trace, load_trace
from envs.omnichannel.world.demand.traces import TraceDemand
from tests.test_trace_file import make_records, write_scenario

SHAPE = (5, 3, 7, 1)  # no whole byte of cells
ABOUT = {
    "first_day": "2024-01-01",
    "days": 5,
    "step": 1,
    "stores": ["a", "b", "c"],
    "skus": [*"tuvwxyz"],
    "channels": ["store"],
}


def make_sparse(largest: int = 4, *, has_stock: bool = False) -> RecordedDemand:
    chance = np.random.default_rng(3)
    units = narrow(chance.integers(largest + 1, size=SHAPE) * (chance.random(SHAPE) < 0.3))
    in_stock = chance.random(SHAPE[:3]) < 0.8 if has_stock else None
    names = {name: ABOUT[name] for name in ("stores", "skus", "channels")}
    return RecordedDemand(date(2024, 1, 1), units=units, in_stock=in_stock, **names)  # type: ignore[arg-type]


@pytest.mark.parametrize("block", [8, 1 << 20])
@pytest.mark.parametrize("has_stock", [False, True])
@pytest.mark.parametrize("largest", [0, 4, 300, 100_000, 900_000_000])
def test_compact__holds_what_was_written(
    largest: int, has_stock: bool, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compact_file, "_BLOCK", block)
    records = make_sparse(largest, has_stock=has_stock)
    path = tmp_path / "sales.npz"
    path.write_bytes(encode_compact(records))
    found = load_trace(path, f"{largest} {has_stock} {block}")
    np.testing.assert_array_equal(found.units, records.units)
    np.testing.assert_array_equal(found.in_stock, records.in_stock)
    assert found.units.dtype == narrow(records.units).dtype
    assert replace(found, units=records.units, in_stock=None) == replace(records, in_stock=None)
    assert encode_compact(found) == path.read_bytes()


def test_compact__is_a_few_bits_a_cell() -> None:
    units = np.zeros((1000, 10, 100, 1), np.int64)
    units[::10] = 3
    records = RecordedDemand(
        date(2024, 1, 1), [*"abcdefghij"], [*map(str, range(100))], ["store"], units
    )
    assert len(encode_compact(records)) < units.size / 4


def test_compact__is_replayed_as_text_is(tmp_path: Path) -> None:
    records = make_records()
    path = write_scenario(tmp_path, records)
    text = load_scenario(path)
    (tmp_path / "sales.npz").write_bytes(encode_compact(records))
    path.write_text(path.read_text("utf-8").replace("sales.csv.gz", "sales.npz"), "utf-8")
    found = [make_demand(scenario) for scenario in (text, load_scenario(path))]
    for demand in found:
        assert isinstance(demand, TraceDemand)
    own, other = found
    day = np.arange(28)
    state = State.__new__(State)
    object.__setattr__(state, "day", day)
    for name in ("sample_units", "expect_units"):
        values = [getattr(demand, name)(state) for demand in (own, other)]
        assert values[0].dtype == values[1].dtype
        np.testing.assert_array_equal(*values)
    np.testing.assert_array_equal(own.mean_before(day), other.mean_before(day))


def pack(**changes: Any) -> bytes:
    about = json.dumps(ABOUT | changes.pop("about", {})).encode()
    arrays: dict[str, Any] = {
        "about": np.frombuffer(about, np.uint8),
        "sold": np.packbits(np.arange(105) < 3),
        "units": np.array([1, 2, 3]),
    }
    content = io.BytesIO()
    np.savez(content, **{k: v for k, v in (arrays | changes).items() if v is not None})
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"secret", "is damaged"),
        (encode_trace(make_records()), "is damaged"),
        (pack(units=None), "the arrays about, sold and units are needed"),
        (pack(units=np.array([1, 2])), "do not go together"),
        (pack(units=np.array([1.0, 2, 3])), "do not go together"),
        (pack(units=np.array([1, 0, 3])), "1 to 1000000000 units"),
        (pack(units=np.array([1, 2, 2_000_000_000])), "1 to 1000000000 units"),
        (pack(sold=np.packbits(np.arange(112) < 3)[:10]), "a bit for each cell"),
        (pack(sold=np.packbits(np.arange(112) > 108)), "do not go together"),
        (pack(in_stock=np.zeros(3, np.uint8)), "in_stock: a bit for each"),
        (pack(about={"days": 10**8}), "at most 1,000,000,000 cells"),
        (pack(about={"days": 0}), "first_day, days, step"),
        (pack(about={"first_day": "secret"}), "first_day, days, step"),
        (pack(about={"stores": ["secret"] * 3}), "a name is there twice"),
        (pack(about={"channels": ["secret"]}), "some of store, online, pickup"),
        (pack(about={"secret": 1}), "first_day, days, step"),
    ],
)
def test_compact__refuses_what_is_broken_and_repeats_nothing_of_it(
    content: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "sales.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"demand\.file: ") as error:
        load_trace(path, str(message))
    assert message in str(error.value)
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)


def test_demand__of_stores_and_skus_in_another_order_is_that_of_their_names(tmp_path: Path) -> None:
    records = make_records(["store"])
    units = np.ascontiguousarray(records.units[:, ::-1])
    other = replace(records, stores=["S2", "S1"], units=units)
    path = write_scenario(tmp_path, records)
    expected = make_demand(load_scenario(path))
    (tmp_path / "sales.csv.gz").write_bytes(encode_trace(other))
    found = make_demand(load_scenario(path))
    assert isinstance(expected, TraceDemand)
    assert isinstance(found, TraceDemand)
    np.testing.assert_array_equal(found.units, expected.units)
    np.testing.assert_array_equal(found.season, expected.season)
