from envs.omnichannel.agents.roster import MODULES, PROPOSERS, boss_of


def test_proposers__are_modules() -> None:
    assert {module for proposers in PROPOSERS.values() for module in proposers} == set(MODULES)


def test_boss_of__is_the_high_level_of_the_same_role() -> None:
    assert [boss_of(m) for m in MODULES] == [
        None, "ordering_high", None, "shipping_high", None, "return_high",
    ]  # fmt: skip
