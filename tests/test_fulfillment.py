import numpy as np
import pytest

from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.fulfillment import Fulfillment
from envs.omnichannel.types import IntArray, Network
from envs.omnichannel.world.demand.quantiles import thin
from envs.omnichannel.world.events.fulfillment import Fulfilled, fulfill_demand


def fulfill(
    tiny: Scenario,
    on_hand: tuple[int, int, int],
    demand: tuple[tuple[int, int], tuple[int, int]],
    share: tuple[float, float] = (0.0, 0.0),
    backorders: list[tuple[int, int]] | None = None,
    **rules: object,
) -> Fulfilled:
    """One SKU of `tiny`; on hand by DC, A, B; demand by store as (walk-in, online)."""
    waiting = np.array(backorders or np.zeros((0, 2)), np.int64).reshape(1, -1, 2, 1)
    return fulfill_demand(
        np.array(on_hand).reshape(1, 3, 1),
        waiting,
        np.array(demand).reshape(1, 2, 1, 2),
        np.array(share, np.float64).reshape(1, 2, 1),
        Network.from_scenario(tiny),
        Fulfillment.model_validate({"patience": waiting.shape[1], "spill_over": False} | rules),
    )


def flat(units: IntArray) -> list[int]:
    return [int(unit) for unit in units.ravel()]


def test_fulfill_demand__walk_ins_come_before_online_orders(tiny: Scenario) -> None:
    served = fulfill(tiny, (0, 5, 0), ((4, 3), (0, 0)), share=(1, 1))
    assert flat(served.sold_store) == [4, 0]
    assert flat(served.online_from_store) == [1, 0]
    assert flat(served.lost) == [0, 2, 0, 0]


@pytest.mark.parametrize(("share", "from_store"), [(0.0, 0), (0.3, 2), (0.5, 3), (0.7, 4), (1, 5)])
def test_fulfill_demand__rounds_the_online_share_half_up(
    tiny: Scenario, share: float, from_store: int
) -> None:
    served = fulfill(tiny, (9, 9, 0), ((0, 5), (0, 0)), share=(share, 0))
    assert flat(served.online_from_store) == [from_store, 0]
    assert flat(served.online_from_dc) == [5 - from_store, 0]


def test_fulfill_demand__a_short_dc_rations_among_the_regions(tiny: Scenario) -> None:
    # 5 x (6, 2) / 8 = 3.75 and 1.25: 4 and 1.
    served = fulfill(tiny, (5, 0, 0), ((0, 6), (0, 2)))
    assert flat(served.online_from_dc) == [4, 1]
    assert flat(served.on_hand) == [0, 0, 0]


@pytest.mark.parametrize(("spill_over", "from_store"), [(False, [2, 1]), (True, [2, 3])])
def test_fulfill_demand__spill_over_to_the_store_serves_what_the_dc_could_not(
    tiny: Scenario, spill_over: bool, from_store: list[int]
) -> None:
    """A: 6 orders, 4 for a store with 2, 2 for the DC. B: 4 orders, 1 for the store, 3 for the DC.

    The DC holds 2 for 2 + 3 requests: quotas 0.8 and 1.2, so 1 and 1. Then it has nothing left for
    A's store, but B's store takes the 2 that the DC could not serve.
    """
    served = fulfill(tiny, (2, 2, 9), ((0, 6), (0, 4)), share=(0.67, 0.25), spill_over=spill_over)
    assert flat(served.online_from_store) == from_store
    assert flat(served.online_from_dc) == [1, 1]


def test_fulfill_demand__spill_over_to_the_dc_uses_what_it_has_left(tiny: Scenario) -> None:
    # A's store misses 4 of its 5 orders, the DC has 3.
    served = fulfill(tiny, (3, 1, 0), ((0, 5), (0, 0)), share=(1, 0), spill_over=True)
    assert flat(served.online_from_store) == [1, 0]
    assert flat(served.online_from_dc) == [3, 0]
    assert flat(served.lost) == [0, 1, 0, 0]


@pytest.mark.parametrize("spill_over", [False, True])
def test_fulfill_demand__the_reserve_is_for_walk_ins_only(tiny: Scenario, spill_over: bool) -> None:
    served = fulfill(
        tiny, (0, 6, 3), ((2, 9), (3, 9)), share=(1, 1), reserve=3, spill_over=spill_over
    )
    assert flat(served.sold_store) == [2, 3]
    assert flat(served.online_from_store) == [1, 0]
    assert flat(served.on_hand) == [0, 3, 0]


def test_fulfill_demand__serves_the_oldest_orders_first(tiny: Scenario) -> None:
    """A has 2, 1 and 3 orders that have waited 1, 2 and 3 days, and 4 new ones; the DC holds 5."""
    ages = [(2, 0), (1, 0), (3, 0)]
    served = fulfill(tiny, (5, 0, 0), ((0, 4), (0, 0)), backorders=ages)
    # 3 + 1 + 1 served; of the 2 one is left; the 4 new ones begin to wait.
    assert flat(served.backorders[0, :, 0]) == [4, 1, 0]
    assert flat(served.on_time) == [0, 0, 0, 0]
    assert flat(served.lost) == [0, 0, 0, 0]


def test_fulfill_demand__orders_out_of_patience_are_lost(tiny: Scenario) -> None:
    served = fulfill(tiny, (1, 0, 0), ((0, 2), (0, 0)), backorders=[(0, 0), (3, 0)])
    assert flat(served.backorders[0, :, 0]) == [2, 0]
    assert flat(served.lost) == [0, 2, 0, 0]


def test_fulfill_demand__without_patience_unserved_orders_are_lost_at_once(tiny: Scenario) -> None:
    served = fulfill(tiny, (3, 0, 0), ((0, 5), (0, 0)))
    assert flat(served.on_time) == [0, 3, 0, 0]
    assert flat(served.lost) == [0, 2, 0, 0]
    assert served.backorders.shape == (1, 0, 2, 1)


def serve_channels(
    tiny: Scenario,
    on_hand: tuple[int, int, int],
    demand: tuple[tuple[int, ...], tuple[int, ...]],
    backorders: list[int] | None = None,
    draw: float = 0.5,
    **rules: object,
) -> Fulfilled:
    """One SKU of `tiny`, no online share at the stores; `backorders` of store A, slot by slot."""
    channels = len(demand[0])
    rule = Fulfillment.model_validate({"spill_over": False} | rules)
    slots = sum(rule.count_slots(c) for c in ("store", "online", "pickup")[:channels])
    waiting = np.zeros((1, slots, 2, 1), np.int64)
    waiting[0, :, 0, 0] = backorders or [0] * slots
    return fulfill_demand(
        np.array(on_hand).reshape(1, 3, 1),
        waiting,
        np.array(demand).reshape(1, 2, 1, channels),
        np.zeros((1, 2, 1)),
        Network.from_scenario(tiny),
        rule,
        np.full((1, 2, 1, 2), draw),
    )


def test_fulfill_demand__walk_ins_may_wait_without_limit(tiny: Scenario) -> None:
    """A owes 4 walk-ins and meets 3 new ones with 5 units: the 4 first, then 1 of the 3."""
    served = serve_channels(
        tiny, (0, 5, 0), ((3, 0), (0, 0)), [0, 4], online_unmet="backorder", store_unmet="backorder"
    )
    assert flat(served.sold_store) == [5, 0]
    assert flat(served.on_time) == [1, 0, 0, 0]
    assert flat(served.lost) == [0, 0, 0, 0]
    assert flat(served.backorders) == [0, 0, 2, 0]  # online, then walk-ins


def test_fulfill_demand__walk_ins_may_wait_as_long_as_their_patience(tiny: Scenario) -> None:
    """Patience 2: of 1 + 3 waiting walk-ins the 3 older get the 2 units; the one left is lost."""
    served = serve_channels(
        tiny, (0, 2, 0), ((2, 0), (0, 0)), [0, 0, 1, 3], patience=2, store_unmet="patience"
    )
    assert flat(served.on_time) == [0, 0, 0, 0]
    assert flat(served.lost) == [1, 0, 0, 0]
    assert flat(served.backorders[0, :, 0]) == [0, 0, 2, 1]


def test_fulfill_demand__online_orders_may_wait_without_limit(tiny: Scenario) -> None:
    served = serve_channels(
        tiny, (3, 9, 9), ((0, 4), (0, 0)), [2], online_unmet="backorder", patience=0
    )
    assert flat(served.on_time) == [0, 1, 0, 0]
    assert flat(served.backorders) == [3, 0]


@pytest.mark.parametrize(("offer", "from_dc"), [(0, [0, 0]), (1, [3, 0])])
def test_fulfill_demand__partial_offers_what_the_store_lacks_to_the_dc(
    tiny: Scenario, offer: float, from_dc: list[int]
) -> None:
    """A lacks 4 of 6. The DC has 5, of which online orders take 2: 3 of the 4, if asked."""
    served = serve_channels(
        tiny,
        (5, 2, 0),
        ((6, 2), (0, 0)),
        patience=0,
        store_unmet="partial",
        dc_offer=offer,
    )
    assert flat(served.sold_store) == [2, 0]
    assert flat(served.store_from_dc) == from_dc
    assert flat(served.on_time) == [2 + from_dc[0], 2, 0, 0]
    assert flat(served.lost) == [4 - from_dc[0], 0, 0, 0]
    assert flat(served.on_hand) == [3 - from_dc[0], 0, 0]


def test_thin__is_the_binomial_quantile() -> None:
    """Binomial(3, 0.8): 0.008, 0.104, 0.488, 1 are the values of its distribution function."""
    uniform = np.array([0.007, 0.009, 0.1039, 0.1041, 0.487, 0.489, 0.999])
    assert thin(np.full(7, 3), 0.8, uniform).tolist() == [0, 1, 1, 2, 2, 3, 3]
    assert thin(np.array([0, 4]), 0.5, np.array([0.9, 0.001])).tolist() == [0, 0]


def test_thin__keeps_each_unit_with_the_probability() -> None:
    uniform = np.random.default_rng(0).random((20000, 3))
    kept = thin(np.tile([1, 4, 30], (20000, 1)), 0.8, uniform)
    # Standard errors of the means at n = 1, 4, 30: 0.003, 0.006, 0.016.
    np.testing.assert_allclose(kept.mean(axis=0), [0.8, 3.2, 24], atol=0.06)
    np.testing.assert_allclose(kept.var(axis=0), [0.16, 0.64, 4.8], rtol=0.05)


def test_fulfill_demand__pickups_come_after_walk_ins_and_before_online_orders(
    tiny: Scenario,
) -> None:
    """A: 4 walk-ins, 1 online order for the DC, 5 pickups; 6 on the shelf, reserve 2."""
    served = serve_channels(tiny, (0, 6, 0), ((4, 1, 5), (0, 0, 0)), patience=0, reserve=2)
    assert flat(served.sold_store) == [4, 0]
    assert flat(served.sold_pickup) == [2, 0]
    assert flat(served.on_time) == [4, 0, 2, 0, 0, 0]
    assert flat(served.lost) == [0, 1, 3, 0, 0, 0]
    assert flat(served.handed_over) == flat(served.on_time)
    assert flat(served.on_hand) == [0, 0, 0]


def test_fulfill_demand__each_channel_has_its_own_rule(tiny: Scenario) -> None:
    """All three channels of A lack 3 units; the DC has 1 for the online order that came first."""
    served = serve_channels(
        tiny,
        (1, 0, 0),
        ((3, 4, 3), (0, 0, 0)),
        [0, 0, 2],
        patience=1,
        online_unmet="patience",
        store_unmet="patience",
        pickup_unmet="backorder",
    )
    assert flat(served.backorders[0, :, 0]) == [3, 3, 5]
    assert flat(served.lost) == [0] * 6
