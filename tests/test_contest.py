"""A contest of weekly orders as a scenario: ragged pairs, a given start, costs worked by hand.

The protocol is that of `scripts/reproduction/vn2_protocol.py`: what is ordered when a week has
closed arrives before the sales of the third week from there. An episode's first period is the first
week after that close, whose arrivals are on hand already, so a store's way takes two weeks.
"""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.flows import Targets
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.types import FloatArray, IntArray
from envs.omnichannel.world.demand.recorded import RecordedDemand
from envs.omnichannel.world.demand.trace_file import encode_trace
from envs.omnichannel.world.draws import make_seeds
from scripts.reproduction.vn2_files import Contest
from scripts.reproduction.vn2_protocol import LEAD, ORDERS, WEEKS, Known, replay

FIRST, KNOWN = date(2021, 4, 12), 14  # a Monday; weeks before the contest
PLENTY = 1_000_000  # at the DC: the contest's supplier is never short


def make_scenario(
    folder: Path, units: IntArray, carried: Any, start: Mapping[str, Any], weeks: int
) -> Scenario:
    """The contest as a scenario.

    Args:
        folder: for its files.
        units: sold in all weeks, (weeks, S, K).
        carried: whether a store has a SKU, (S, K).
        start: of the stores.
        weeks: of the contest.
    """
    stores, skus = (
        [f"{kind}{i}" for i in range(n)] for kind, n in zip("SK", carried.shape, strict=True)
    )
    records = RecordedDemand(FIRST, stores, skus, ["store"], units[..., None], step=7)
    (folder / "sales.csv.gz").write_bytes(encode_trace(records))
    lane = LEAD - 1
    data = {
        "name": "contest",
        "period": "week",
        "horizon": weeks,
        "network": {
            "dcs": [{"name": "supplier"}],
            "stores": [{"name": s, "parent": "supplier", "lead_time": lane} for s in stores],
        },
        "skus": [{"name": k, "category": "all"} for k in skus],
        "categories": {"all": {"return_rate": 0.0}},
        "assortment": {
            "only": {
                store: [skus[k] for k in np.flatnonzero(own)]
                for store, own in zip(stores, carried, strict=True)
            }
        },
        "start": {
            "on_hand": {"supplier": dict.fromkeys(skus, PLENTY)} | start["on_hand"],
            "in_transit": start["in_transit"],
        },
        "demand": {
            "process": "trace",
            "file": "sales.csv.gz",
            "train_days": len(units) - weeks,
        },
        "returns": {"store_spread": 0.0},
        "costs": {
            "holding_store": 0.2, "holding_dc": 0.0, "lost_sale": 1.0, "transport": 0.0,
        },
    }  # fmt: skip
    path = folder / "contest.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return load_scenario(path)


def simulate(scenario: Scenario, orders: IntArray) -> tuple[FloatArray, IntArray]:
    """Costs of each week, (T,), and what is left in the stores at its end, (T, S, K).

    Args:
        scenario: the contest.
        orders: of each week, (T, S, K), made before its sales.
    """
    env = BatchedEnv(scenario, 1, "evaluate")
    env.reset(make_seeds("contest", 0, 1))
    shape = (1, *orders.shape[1:])
    costs, left = [], []
    for order in orders:
        targets = Targets(
            supplier_gap=np.zeros((1, 1, shape[2])),
            shipment_gap=order[None].astype(np.float64),
            online_share=np.zeros(shape),
            disposition=np.full((*shape, 3), 1 / 3),
        )
        step = env.apply(targets)
        costs.append(float(step.costs.by_term.sum()))
        left.append(step.flows.on_hand[0, 1:])
    return np.array(costs), np.stack(left)


def test_contest__three_stores_two_skus_and_four_weeks_by_hand(tmp_path: Path) -> None:
    """Four pairs exist. Demand, orders, what is left and what is lost, week by week:

    | pair | start, coming | demand | orders | there for sale | left | lost |
    |---|---|---|---|---|---|---|
    | S0 K0 | 5, 2 | 3 4 2 5 | 4 3 9 9 | 5 4 4 5 | 2 0 2 0 | 0 0 0 0 |
    | S0 K1 | 1, 0 | 1 0 2 1 | 1 1 0 0 | 1 0 1 1 | 0 0 0 0 | 0 0 1 0 |
    | S1 K0 | 4, 3 | 6 2 3 4 | 2 5 0 0 | 4 3 3 5 | 0 1 0 1 | 2 0 0 0 |
    | S2 K1 | 2, 0 | 0 1 0 3 | 0 1 0 0 | 2 2 1 2 | 2 1 1 0 | 0 0 0 1 |

    0.2 for each of 4, 2, 3 and 1 units that are left, 1 for each of 2, 0, 1 and 1 that are lost.
    What is ordered in the last two weeks comes too late, and orders for pairs that do not exist
    are none.
    """
    carried = np.array([[True, True], [True, False], [False, True]])
    demand = np.zeros((4, 3, 2), np.int64)
    demand[:, 0, 0], demand[:, 0, 1] = [3, 4, 2, 5], [1, 0, 2, 1]
    demand[:, 1, 0], demand[:, 2, 1] = [6, 2, 3, 4], [0, 1, 0, 3]
    orders = np.full((4, 3, 2), 7)  # of pairs that do not exist
    orders[:, 0, 0], orders[:, 0, 1] = [4, 3, 9, 9], [1, 1, 0, 0]
    orders[:, 1, 0], orders[:, 2, 1] = [2, 5, 0, 0], [0, 1, 0, 0]
    start = {
        "on_hand": {"S0": {"K0": 5, "K1": 1}, "S1": {"K0": 4}, "S2": {"K1": 2}},
        "in_transit": {"S0": {"K0": {1: 2}}, "S1": {"K0": {1: 3}}},
    }
    before = np.ones((KNOWN, 3, 2), np.int64) * carried
    units = np.concatenate([before, demand])
    costs, left = simulate(make_scenario(tmp_path, units, carried, start, weeks=4), orders)
    assert left[:, 0].tolist() == [[2, 0], [0, 0], [2, 0], [0, 0]]
    assert left[:, 1].tolist() == [[0, 0], [1, 0], [0, 0], [1, 0]]
    assert left[:, 2].tolist() == [[0, 2], [0, 1], [0, 1], [0, 0]]
    assert costs == pytest.approx([2.8, 0.4, 1.6, 1.2])


@pytest.mark.parametrize("seed", [0, 1])
def test_contest__costs_what_the_replay_of_its_protocol_says(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    carried = rng.random((6, 5)) < 0.4
    carried[rng.integers(6, size=5), np.arange(5)] = True
    carried[np.arange(6), rng.integers(5, size=6)] = True
    pairs = np.argwhere(carried)
    units = rng.poisson(3, (KNOWN + WEEKS, 6, 5)) * carried
    orders = rng.integers(0, 6, (WEEKS, 6, 5)) * carried
    orders[ORDERS:] = 0
    on_hand, coming = rng.integers(0, 9, len(pairs)), rng.integers(0, 5, (len(pairs), 2))
    contest = Contest(
        pairs=pairs,
        first_week=FIRST,
        sold=units[:, *pairs.T].T.astype(float),
        in_stock=np.ones((len(pairs), KNOWN), bool),
        on_hand=on_hand.astype(float),
        coming=coming.astype(float),
        classes={},
    )

    def order(known: Known) -> FloatArray:
        return orders[known.sold.shape[1] - KNOWN][tuple(pairs.T)].astype(float)

    start: dict[str, dict[str, Any]] = {"on_hand": {}, "in_transit": {}}
    for (s, k), held, (first, second) in zip(pairs, on_hand, coming, strict=True):
        start["on_hand"].setdefault(f"S{s}", {})[f"K{k}"] = int(held + first)
        start["in_transit"].setdefault(f"S{s}", {})[f"K{k}"] = {1: int(second)}
    scenario = make_scenario(tmp_path, units, carried, start, WEEKS)
    found, _ = simulate(scenario, orders)
    assert found == pytest.approx(replay(contest, KNOWN, order), abs=1e-9)
