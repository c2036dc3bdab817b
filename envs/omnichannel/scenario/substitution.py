"""Settings of substitution: customers who take another SKU when theirs is sold out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from envs.omnichannel.scenario.goods import Name
from envs.omnichannel.scenario.order_rules import Names, find_places
from envs.validation import StrictModel


class Substitution(StrictModel):
    """A part of the walk-ins who find a SKU sold out takes another one in its place."""

    of: Name
    by: Name
    share: Annotated[float, Field(gt=0, le=1)]  # of those who are still empty-handed
    stores: Names | None = None  # None: all

    @model_validator(mode="after")
    def check_skus(self) -> Self:
        """Nothing takes its own place."""
        if self.of == self.by:
            raise ValueError(f"by: {self.by!r} is not allowed; a SKU other than of is needed")
        return self


class Substitute(NamedTuple):
    """A rule with the places of what it names."""

    of: int  # SKU
    by: int
    share: float
    at: NDArray[np.bool_]  # (S,) whether it holds in a store


def tabulate_substitution(
    rules: Sequence[Substitution], stores: Sequence[str], skus: Sequence[str]
) -> list[Substitute]:
    """Returns the rules by place.

    Args:
        rules: of the scenario, in their order.
        stores: all.
        skus: all.

    Raises:
        ValueError: if a rule names what there is not.
    """
    found = []
    for i, rule in enumerate(rules):
        field = f"substitution.{i}"
        at = np.zeros(len(stores), np.bool_)
        at[find_places(f"{field}.stores", rule.stores, stores)] = True
        of, by = (find_places(f"{field}.{n}", [getattr(rule, n)], skus)[0] for n in ("of", "by"))
        found.append(Substitute(of, by, rule.share, at))
    return found
