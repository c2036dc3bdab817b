"""From checked files to a scenario: measured values, assumed ones, and which is which."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from envs.errors import InputError
from envs.omnichannel.scenario.costs import Costs
from envs.omnichannel.world.demand.recorded import Counts
from marl.planning.from_data.check_others import SUPPLIER
from marl.planning.from_data.dataset import Dataset, ReturnRecords
from marl.planning.from_data.fit_covers import fit_covers
from marl.planning.from_data.fit_network import fit_network, scale_distances
from marl.planning.from_data.fit_smoothing import fit_smoothing
from marl.planning.from_data.held_back import choose_horizon
from marl.planning.from_data.section import Section
from marl.planning.from_data.summary import Summary, compute_delay_table

LONGEST_DELAY = 180  # periods that the simulator can follow a return
LONGEST_SHELF_LIFE = 180  # periods that the simulator can follow a unit on the shelf
COVERS = {"day": (3, 5), "week": (1, 2)}  # of stores and DCs at the start of an episode
RETURN_DELAYS = {"day": (2, 7), "week": (0, 2)}
REVIEW_WEEKS = 4
YEARLY_HOLDING = 0.25  # of the unit cost, where costs are given
_VARIANCE_SMOOTHING = 0.005


def fit_scenario(
    data: Dataset, summary: Summary, train_days: int, name: str, trace_file: str
) -> list[Section]:
    """Returns the fields of the scenario, in the order of the file.

    Args:
        data: the checked files.
        summary: what the training days show.
        train_days: first days of the records, to train on.
        name: of the scenario.
        trace_file: where the records will be, relative to the scenario's file.
    """
    demand = data.demand
    train, unit = demand.units[:train_days], demand.period
    dcs, stores, network_remarks = fit_network(data, train)
    weekly = [
        Section("period", "week", ["the record's dates are seven days apart"]),
        Section("review_period", REVIEW_WEEKS, assumed=["weeks between two reviews"]),
    ]
    covers = COVERS[unit]
    return [
        Section("name", name),
        Section(
            "description",
            f"{len(stores)} stores, {len(demand.skus)} SKUs, recorded {demand.get_date(0)} to "
            f"{demand.get_date(demand.num_days - 1)}",
        ),
        *(weekly if unit == "week" else []),
        Section("caveat", _make_caveat(data, train_days)),
        Section(
            "horizon",
            choose_horizon(demand, train_days),
            [f"{unit}s an episode: four fifths of the held-back {unit}s, in whole weeks"],
        ),
        Section(
            "initial_store_cover",
            covers[0],
            assumed=[f"{unit}s of stock at the start of an episode"],
        ),
        Section("initial_dc_cover", covers[1], assumed=["the same at the DCs"]),
        network_remarks.place({"dcs": dcs, "stores": stores}),
        _make_skus(data, train),
        _make_categories(data, summary),
        _make_demand(data, train_days, trace_file),
        _make_returns(data, train_days),
        Section(
            "forecast",
            {
                "method": "running",
                "smoothing": fit_smoothing(train, demand.cycle),
                "variance_smoothing": _VARIANCE_SMOOTHING,
            },
            [f"weight of the latest {unit} that foresaw the coming ones best"],
            [f"spreads move slowly: the weight of the latest {unit} is 0.005"],
        ),
        _make_costs(data, train),
        *_make_reward(data, train),
        *fit_covers(train, dcs, stores),
    ]


def get_categories(data: Dataset) -> list[str]:
    """Returns the category of each SKU of the demand."""
    records = data.skus or {}
    return [(r.category if (r := records.get(sku)) else None) or "all" for sku in data.demand.skus]


def _make_caveat(data: Dataset, train_days: int) -> str:
    demand = data.demand
    if train_days == demand.num_days:
        return (
            "Nothing is held back: results are of the days that were trained and tuned on, and say "
            "nothing of others. Sales are taken for demand: what was out of stock is not in the "
            "records."
        )
    first, last = demand.get_date(train_days), demand.get_date(demand.num_days - 1)
    return (
        f"Evaluated on the held-back period, {first} to {last} ({demand.num_days - train_days} "
        f"{demand.period}s), which neither training nor tuning has seen. All episodes replay this "
        "one period, so the intervals speak of starting days and random splits, not of other "
        "seasons. Sales are taken for demand: what was out of stock is not in the records."
    )


def _make_skus(data: Dataset, train: Counts) -> Section:
    demand = data.demand
    mean = train.mean(axis=(0, 1))  # (K, C) a day in a store of size 1
    values = []
    for sku, category, by_channel in zip(demand.skus, get_categories(data), mean, strict=True):
        rates = {
            f"{channel}_demand": max(float(f"{rate:.4g}"), _smallest(channel))
            for channel, rate in zip(demand.channels, by_channel, strict=True)
        }
        own = _get_shelf_life(data, sku) | _get_money(data, sku) | _get_weight(data, sku)
        values.append({"name": sku, "category": category, **rates, **own})
    section = Section(
        "skus", values, [f"units a {demand.period} in the mean store, over the training days"]
    )
    unpriced = sum("price" not in value for value in values)
    if 0 < unpriced < len(values):
        section.assumed.append(
            f"{unpriced} of {len(values)} SKUs have no price above their unit cost; costs are the "
            "mean of the others"
        )
    if data.skus is None:
        section.assumed.append("one category, all (no SKU file)")
    elif not any("shelf_life" in value for value in values):
        section.assumed.append(f"nothing perishes within {LONGEST_SHELF_LIFE} {demand.period}s")
    return section


def _get_shelf_life(data: Dataset, sku: str) -> dict[str, int]:
    record = (data.skus or {}).get(sku)
    days = record.shelf_life if record else None
    if days is None or days > LONGEST_SHELF_LIFE * data.demand.step:
        return {}
    return {"shelf_life": max(int(days) // data.demand.step, 1)}


def _get_weight(data: Dataset, sku: str) -> dict[str, float]:
    record = (data.skus or {}).get(sku)
    return {} if record is None or record.weight is None else {"weight": record.weight}


def _get_money(data: Dataset, sku: str) -> dict[str, float]:
    """Price and unit cost, where both are known and the price brings a margin."""
    record = (data.skus or {}).get(sku)
    price = record.price if record else None
    if price is None:
        price = (data.demand.price or {}).get(sku)
    if record is None or record.unit_cost is None or price is None or price <= record.unit_cost:
        return {}
    return {"price": price, "unit_cost": record.unit_cost}


def _smallest(channel: str) -> float:
    """Pickup exists where a SKU has demand for it, however little was seen in training."""
    return 0.0001 if channel == "pickup" else 0.0


def _make_categories(data: Dataset, summary: Summary) -> Section:
    categories = dict.fromkeys(get_categories(data))
    if data.returns is None:
        value: dict[str, Any] = {name: {"return_rate": 0.0} for name in categories}
        return Section("categories", value, assumed=["nothing comes back (no file of returns)"])
    for name in categories:
        if summary.return_rates[name].value > 1:
            _refuse_rate(data, data.returns, name)
    value = {
        name: {"return_rate": round(summary.return_rates[name].value, 5)} for name in categories
    }
    return Section("categories", value, ["units returned / units sold, over the training days"])


def _refuse_rate(data: Dataset, returns: ReturnRecords, category: str) -> NoReturn:
    """Points at the first return of a category of which more comes back than was sold."""
    members = [i for i, name in enumerate(get_categories(data)) if name == category]
    row = np.flatnonzero(np.isin(returns.sku, members))[:1]
    message = f"{{}} and the rows after it return more of category {category!r} than was sold"
    raise InputError(str(returns.table.find_problem(row, "units", message)))


def _make_demand(data: Dataset, train_days: int, trace_file: str) -> Section:
    demand, last = data.demand, data.demand.get_date(data.demand.num_days - 1)
    section = Section(
        "demand",
        {"process": "trace", "file": trace_file, "train_days": train_days},
        [
            f"trains on {demand.get_date(0)} to {demand.get_date(train_days - 1)}, "
            + (
                f"evaluates on {demand.get_date(train_days)} to {last}"
                if train_days < demand.num_days
                else "holds nothing back"
            ),
        ],
    )
    if demand.filled:
        text = f"{demand.filled} {demand.period}s of series without a row sold 0 units"
        section.assumed.append(text)
    if demand.in_stock is not None:
        empty = int((~demand.in_stock).sum())
        section.measured.append(
            f"{empty} {demand.period}s of a store and SKU had nothing to sell: they teach nothing"
        )
    if demand.channels == ["store"]:
        section.value["online_share"] = 0.0
        section.assumed.append("nothing is ordered online (no such rows); try online_share: 0.2")
    return section


def _make_returns(data: Dataset, train_days: int) -> Section:
    table, unit = compute_delay_table(data, train_days, LONGEST_DELAY), data.demand.period
    if not table:
        why = "no file of returns" if data.returns is None else "no sale dates"
        low, high = RETURN_DELAYS[unit]
        delay: dict[str, Any] = {"kind": "uniform", "low": low, "high": high}
        spread = "the rate is the same in all stores"
        return Section(
            "returns",
            {"delay": delay, "store_spread": 0.0},
            assumed=[f"returns take {low} to {high} {unit}s ({why})", spread],
        )
    return Section(
        "returns",
        {"delay": {"kind": "table", "probabilities": table}, "store_spread": 0.0},
        [f"{unit}s from sale to return, by units; {LONGEST_DELAY} stands for all later ones"],
        ["the rate is the same in all stores; all returns can be sold again"],
    )


def compute_margin(data: Dataset, train: Counts) -> tuple[float, float] | None:
    """Returns mean margin and unit cost of a unit sold, of the SKUs that have both; else None."""
    weights, margins, costs = [], [], []
    sold = train.sum(axis=(0, 1, 3))
    for sku, units in zip(data.demand.skus, sold.tolist(), strict=True):
        if money := _get_money(data, sku):
            weights.append(units)
            margins.append(money["price"] - money["unit_cost"])
            costs.append(money["unit_cost"])
    if not sum(weights):
        return None
    margin, cost = (float(np.average(values, weights=weights)) for values in (margins, costs))
    return margin, cost


def _make_costs(data: Dataset, train: Counts) -> Section:
    found = compute_margin(data, train)
    lanes = [lane for lane in (data.lanes or {}).values() if lane.cost is not None]
    scale = found[0] if found else 1.0
    money = {
        name: _round(scale * value)
        for name, value in Costs().model_dump().items()
        if isinstance(value, float) and value > 0
    }
    section = Section("costs", money)
    if found is None:
        section.assumed.append("all costs, in units of the margin lost with a lost sale")
    else:
        margin, cost = found
        share = YEARLY_HOLDING / 365 * data.demand.step
        daily = share * cost
        section.value |= {
            "holding_store": _round(daily),
            "holding_dc": _round(daily / 2),
            "holding_share_store": _round(share),
            "holding_share_dc": _round(share / 2),
        }
        section.measured.append(
            f"a lost sale costs each SKU's own margin; the mean is {margin:.4g}, the mean unit "
            f"cost {cost:.4g}"
        )
        section.assumed += [
            f"stock costs {YEARLY_HOLDING:.0%} of each SKU's unit cost a year, at the DC half of "
            "that; a spoilt unit costs all of it",
            "all other costs, as shares of the mean margin",
        ]
    if lanes:
        section.value["transport"] = _round(_fit_transport(data))
        section.measured.append("transport: per unit, least squares of cost on 1 + distance band")
        if found is None:
            section.assumed.append(
                "the lanes' costs are in the same unit; give price and unit_cost for money"
            )
    return section


def _fit_transport(data: Dataset) -> float:
    """The rate r for which r x (1 + distance band) meets the lanes' costs best."""
    lanes = {end: lane for (start, end), lane in (data.lanes or {}).items() if start != SUPPLIER}
    bands = scale_distances(dict(lanes))
    pairs = [
        (1 + bands.get(store, 1), lane.cost)
        for store, lane in lanes.items()
        if lane.cost is not None
    ]
    x, y = np.array(pairs, np.float64).reshape(-1, 2).T
    return float((x * y).sum() / max(float((x * x).sum()), 1e-9))


def _make_reward(data: Dataset, train: Counts) -> list[Section]:
    found = compute_margin(data, train)
    if found is None:
        return []
    return [
        Section(
            "reward",
            {"cost_scale": _round(found[0])},
            assumed=["a unit's margin weighs as much as serving it"],
        )
    ]


def _round(value: float) -> float:
    return float(f"{value:.4g}")
