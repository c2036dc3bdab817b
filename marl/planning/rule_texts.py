"""Texts of a recommendation: what shelves and dates say of each store and SKU."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from envs.omnichannel.agents.shelf_rules import ShelfRules, count_stock
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario.assortment import FOREVER
from envs.omnichannel.scenario.shelf_rules import UNLIMITED
from envs.omnichannel.types import IntArray

Texts = dict[str, dict[str, str]]  # by node and SKU; those with rules alone


def tell_rules(env: BatchedEnv, shipment: IntArray) -> Texts:
    """Returns what the rules of shelves and dates say, by store and SKU.

    Args:
        env: of one copy, restored.
        shipment: that the stores ask for, units, (S, K).
    """
    if env.shelf_rules is None and env.dates is None:
        return {}
    skus, texts = env.scenario.sku_names, {}
    for s, store in enumerate(env.scenario.store_names):
        parts: list[list[str]] = [[] for _ in skus]
        if env.shelf_rules is not None:
            _add(parts, _tell_shelves(env, env.shelf_rules, s, shipment))
        if env.dates is not None:
            _add(parts, _tell_dates(env, s))
        own = {sku: "; ".join(told) for sku, told in zip(skus, parts, strict=True) if told}
        if own:
            texts[store] = own
    return texts


def _add(parts: list[list[str]], told: Iterator[tuple[int, str]]) -> None:
    for k, text in told:
        parts[k].append(text)


def _tell_shelves(
    env: BatchedEnv, rules: ShelfRules, s: int, shipment: IntArray
) -> Iterator[tuple[int, str]]:
    """What store s shows and holds, SKU by SKU."""
    space = rules.space
    stock = count_stock(env.view, env.network)[:, s] + shipment[s]
    behind = np.maximum(stock - space.maximum[s], 0)[0]
    room = int(space.capacity[s])
    of = "" if room == UNLIMITED else f", {behind.sum()} of {room} with all SKUs"
    for k in np.flatnonzero(space.presentation[s]):
        yield int(k), f"shows at least {space.presentation[s, k]}"
    for k in np.flatnonzero(space.maximum[s] < UNLIMITED):
        yield (
            int(k),
            f"the shelf holds {space.maximum[s, k]}; {behind[k]} in the back room if nothing is "
            f"sold{of}",
        )


def _tell_dates(env: BatchedEnv, s: int) -> Iterator[tuple[int, str]]:
    """When store s sells what comes or goes, SKU by SKU."""
    starts, ends, dates = env.view.starts_in, env.view.ends_in, env.network.dates
    assert starts is not None, "there are dates"
    assert ends is not None, "there are dates"
    assert dates is not None, "there are dates"
    period, days = env.scenario.period, zip(starts[0, s].tolist(), ends[0, s].tolist(), strict=True)
    for k, (begin, end) in enumerate(days):
        has_end = end < FOREVER // 2
        if end < 0:
            yield k, "no longer on sale"
        elif begin > 0:
            launch = f", then with at least {dates.launch[s, k]}" if dates.launch[s, k] else ""
            last = f", the last time in {end}" if has_end else ""
            yield k, f"on sale in {begin} {period}s{launch}{last}"
        elif has_end:
            yield k, f"on sale for {end + 1} {period}s more, this one included"
