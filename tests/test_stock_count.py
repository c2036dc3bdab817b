"""Stock counts as CSV: what is read, and one line about everything that cannot be."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.errors import InputError
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.world.simulator import Simulator
from marl.planning.stock_count import StockCountSchema
from marl.planning.stock_count_file import read_stock_count

GOOD = """\
day,node,sku,on_hand,in_transit_1,online_backorders_2,returns_due_0,smoothed_store
3,dc_0,shirt,10,5,,,
3,dc_0,lamp,500,0,,,
3,store_0,shirt,4,3,1,,6.5
3,store_0,lamp,40,0,0,4,
3,store_1,shirt,2,0,0,,
3,store_1,lamp,40,0,0,,
"""
TINY = StockCountSchema(Simulator(load_scenario("tiny")))


def test_read_stock_count__puts_every_cell_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "state.csv").write_text(GOOD, encoding="utf-8")

    found = read_stock_count(tmp_path / "state.csv", TINY)

    assert found.day == 3
    assert found.units["on_hand"].tolist() == [[[10, 500], [4, 40], [2, 40]]]
    assert found.units["in_transit"][0].tolist() == [[5, 0], [3, 0], [0, 0]]
    assert found.units["in_transit"][1:].sum() == 0
    assert found.units["backorders"][1].tolist() == [[1, 0], [0, 0]]
    assert found.units["returns_due"][0].tolist() == [[0, 4], [0, 0]]
    assert found.smoothed[0, 0, 0] == 6.5
    assert np.isnan(found.smoothed).sum() == 7
    assert np.isnan(found.last_demand).all()


def test_read_stock_count__takes_what_spreadsheets_write(tmp_path: Path) -> None:
    path = tmp_path / "state.csv"
    path.write_text(GOOD, encoding="utf-8")
    expected = read_stock_count(path, TINY).units["on_hand"].tolist()
    rows = GOOD.splitlines()
    variants = [
        "\ufeff" + GOOD.replace(",", ";"),
        GOOD.replace(",", "\t").replace("\n", "\r\n"),
        "\n".join([rows[0], *reversed(rows[1:]), "", ",,,,,,,"]),
        GOOD.replace(",4,3,", ', "4.0",3,').replace("3,store_0", ' 3,"store_0"'),
    ]

    for text in variants:
        path.write_bytes(text.encode("utf-8"))
        assert read_stock_count(path, TINY).units["on_hand"].tolist() == expected


def test_make_template__is_the_first_day(tiny: Scenario, tmp_path: Path) -> None:
    path = tmp_path / "state.csv"
    path.write_text(TINY.make_template(), encoding="utf-8")

    found = read_stock_count(path, TINY)

    assert found.day == 0
    assert found.units["on_hand"].tolist() == [[[68, 38], [18, 10], [9, 5]]]
    assert found.smoothed[:, 0].tolist() == [[6, 3], [3, 2]]
    assert found.last_demand[:, 1].tolist() == [[3, 2], [2, 1]]
    assert sum(units.sum() for units in found.units.values()) == 68 + 38 + 18 + 10 + 9 + 5


ROWS = GOOD.splitlines()
BROKEN = [
    (b"", "line 1: empty; a line with the names"),
    (b"\n\n", "line 1: empty; "),
    (ROWS[0].encode(), ": the row of node 'dc_0' and sku 'shirt' is missing; 6 rows are needed"),
    ("\n".join(ROWS[:-1]).encode(), ": the row of node 'store_1' and sku 'lamp' is missing"),
    ((GOOD + ROWS[1]).encode(), "line 8: 'dc_0' and 'shirt' stand in "),
    (GOOD.replace("on_hand", "stock").encode(), "line 1, column 'stock': unknown; allowed: day, "),
    (GOOD.replace(",returns_due_0", "").encode(), "line 2, column 8: 8 cells found; 7 are needed"),
    (GOOD.replace("day,", "sku,").encode(), "line 1, column sku: it stands there twice"),
    (
        GOOD.replace("sku", "smoothed_online").encode(),
        "line 1, column sku: missing; this column is",
    ),
    (GOOD.replace("in_transit_1", "in_transit_9").encode(), "line 1, column 'in_transit_9'"),
    (
        GOOD.replace("store_1,lamp", "store_7,lamp").encode(),
        "line 7, column node: 'store_7' is",
    ),
    (GOOD.replace("store_1,lamp", "store_1,").encode(), "line 7, column sku: '' is not in the"),
    (
        GOOD.replace("3,store_1,s", "4,store_1,s").encode(),
        "line 6, column day: 4 is not allowed",
    ),
    (GOOD.replace("3,", "monday,").encode(), "line 2, column day: 'monday' is not allowed"),
    (GOOD.replace("3,dc", "-3,dc").encode(), "line 2, column day: '-3' is not allowed"),
    (GOOD.replace("3,dc", "9" * 5000 + ",dc").encode(), "line 2, column day: '999"),
    (
        GOOD.replace("500", "-500.5").encode(),
        "line 3, column on_hand: '-500.5' is not allowed; a",
    ),
    (
        GOOD.replace("10,5,", "10,-5,").encode(),
        "line 2, column in_transit_1: '-5' is not allowed; a",
    ),
    (GOOD.replace("500", "1,500").encode(), "line 3, column 9: 9 cells found; 8 are needed"),
    (GOOD.replace("500", '"1,500"').encode(), "line 3, column on_hand: '1,500' is not allowed"),
    (GOOD.replace("500", "many").encode(), "line 3, column on_hand: 'many' is not allowed"),
    (GOOD.replace("500", "nan").encode(), "line 3, column on_hand: 'nan' is not allowed"),
    (GOOD.replace("500", "inf").encode(), "line 3, column on_hand: 'inf' is not allowed"),
    (GOOD.replace("500", "1e12").encode(), "line 3, column on_hand: '1e12' is not allowed"),
    (GOOD.replace("500", "0.5").encode(), "line 3, column on_hand: '0.5' is not allowed; a whole"),
    (GOOD.replace("500", "1_000").encode(), "line 3, column on_hand: '1_000' is not allowed"),
    (GOOD.replace("500", "\u0665").encode(), "line 3, column on_hand: '\u0665' is not allowed"),
    (GOOD.replace("500", "").encode(), "line 3, column on_hand: empty; a whole number is needed"),
    (
        GOOD.replace("6.5", "-6.5").encode(),
        "line 4, column smoothed_store: '-6.5' is not allowed",
    ),
    (
        GOOD.replace("500,0,,", "500,0,1,").encode(),
        "line 3, column online_backorders_2: '1'",
    ),
    (GOOD.encode("utf-16"), "line 1, column 1: not UTF-8; save the file as CSV UTF-8"),
    (GOOD.replace("lamp", "l\xe4mp").encode("latin-1"), "line 3, column 9: not UTF-8"),
    (GOOD.replace("500", "5\x0000").encode(), "line 3"),
    (GOOD.replace("500", '"500').encode(), "line 3"),
    (GOOD.replace("500", "5" * 200_000).encode(), "line 3"),
]


@pytest.mark.parametrize(("content", "message"), BROKEN, ids=lambda v: str(v)[:30])
def test_read_stock_count__a_mistake_is_one_line_with_file_line_and_column(
    content: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "state.csv"
    path.write_bytes(content)

    with pytest.raises(InputError) as raised:
        read_stock_count(path, TINY)

    told = str(raised.value)
    assert told.startswith(str(path))
    assert message in told
    assert "\n" not in told
    assert len(told) < 600


@settings(max_examples=300)
@given(
    position=st.integers(0, len(GOOD) - 1),
    removed=st.integers(0, 40),
    inserted=st.binary(max_size=8) | st.sampled_from([b",", b"\n", b'"', b"-", b"e9", b"\x00"]),
)
def test_read_stock_count__any_mutation_is_read_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, position: int, removed: int, inserted: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "mutated.csv"
    content = GOOD.encode()
    path.write_bytes(content[:position] + inserted + content[position + removed :])

    told = None
    try:
        read_stock_count(path, TINY)
    except InputError as error:
        told = str(error)

    assert told is None or (told.startswith(str(path)) and "\n" not in told)


def test_read_stock_count__stops_at_the_first_repeated_row(tmp_path: Path) -> None:
    path = tmp_path / "state.csv"
    path.write_text(ROWS[0] + "\n" + (ROWS[1] + "\n") * 1_000_000, encoding="utf-8")

    with pytest.raises(InputError, match=r"line 3: 'dc_0' and 'shirt' stand in .*, line 2 already"):
        read_stock_count(path, TINY)
