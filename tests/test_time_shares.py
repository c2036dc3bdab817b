"""Time that searches share: what one leaves is the others', and nobody's ends before it begins."""

import time

import pytest

from envs.omnichannel.scenario import load_scenario
from marl.evaluation.choice import TimeShares, choose_rule


def test_time_shares__are_even_and_what_is_left_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    shares = TimeShares(minutes=1, shares=6)

    first = shares.make_stop()
    now[0] = 109.9
    assert not first()
    now[0] = 110
    assert first()
    second = shares.make_stop(2)  # of five shares of the 50 s that are left
    now[0] = 129.9
    assert not second()
    now[0] = 130
    assert second()
    now[0] = 145  # it was late
    last = shares.make_stop(3)
    now[0] = 159.9
    assert not last()
    now[0] = 160
    assert last()


def test_time_shares__of_no_minutes_never_end() -> None:
    assert not TimeShares(None, 1).make_stop()()


def test_choose__keeps_to_its_minutes(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMNICHANNEL_CACHE", str(tmp_path_factory.mktemp("cache")))
    told: list[str] = []
    rule = choose_rule(load_scenario("tiny"), lambda line: told.append(str(line)), 0.01)

    assert rule.parameters
    assert any("is cut after" in line for line in told)
