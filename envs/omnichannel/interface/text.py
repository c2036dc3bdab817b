"""The render mode "ansi": a day of one copy as a table for people."""

from __future__ import annotations

from envs.omnichannel.batched_env import BatchedEnv, Step

_HEADS = ("on hand", "in transit", "demand", "on time", "served", "lost", "waiting")


def write_day(env: BatchedEnv, step: Step | None, copy: int = 0) -> str:
    """Returns the stock of every location and SKU, and what the last period brought them.

    Args:
        env: after the period.
        step: that period; None: none has passed yet.
        copy: which one.
    """
    network, skus = env.scenario.network, env.scenario.sku_names
    places = [dc.name for dc in network.dcs] + [store.name for store in network.stores]
    width = max(map(len, (*places, "location")))
    sku_width = max(map(len, (*skus, "SKU")))
    name = env.scenario.period
    review = ", the high level decides today" if env.is_review else ""
    lines = [f"{name.capitalize()} {env.period + 1} of {env.scenario.horizon}{review}"]
    if step is not None:
        lines[0] = f"{lines[0]}; reward of the {name} before {step.team_reward[copy]:.3f}"
    lines.append(f"{'location':{width}}  {'SKU':{sku_width}}" + "".join(f"{h:>12}" for h in _HEADS))
    for row, place in enumerate(places):
        for k, sku in enumerate(skus):
            numbers = _list_numbers(env, step, copy, row, k)
            cells = "".join(f"{'-' if n is None else n:>12}" for n in numbers)
            lines.append(f"{place:{width}}  {sku:{sku_width}}{cells}")
    return "\n".join(lines)


def _list_numbers(
    env: BatchedEnv, step: Step | None, copy: int, row: int, k: int
) -> list[int | None]:
    """One for each head; None where there is no such number."""
    state, store = env.state, row - env.layout.num_dcs
    stock = [state.on_hand[copy, row, k], state.in_transit[copy, :, row, k].sum()]
    numbers: list[int | None] = [int(n) for n in stock]
    if step is None or store < 0:
        return numbers + [None] * (len(_HEADS) - len(stock))
    flows = step.flows
    sums = (flows.demand, flows.on_time, flows.served, flows.lost)
    numbers += [int(array[copy, store, k].sum()) for array in sums]
    return [*numbers, int(flows.waiting[copy, store, k])]
