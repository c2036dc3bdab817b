"""The grids that agents choose from, and the reward of eq. 8."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from envs.validation import LARGEST, CountOrZero, NonNegative, Share, StrictModel

Shares = tuple[Share, Share, Share]  # of DISPOSITIONS
# Days beyond the lead time, or sigmas; below 0 not even what is expected is covered.
Cover = Annotated[float, Field(ge=-1000, le=1000)]


# The field of `Actions` with a role's initial option.
_INITIAL = {
    "ordering": "initial_cover",
    "shipping": "initial_push",
    "return": "initial_disposition",
}


# The grids of covers in sigmas where a scenario does not say which.
_IN_SIGMAS: dict[str, Any] = {
    "store_cover": [-1, -0.5, 0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4.5],
    "dc_cover": [-2, -1, 0, 0.5, 1, 1.5, 2, 3, 4, 5, 6.5],
    "push_cover": [1, 1.5, 2.5, 3.5],
    "initial_cover": 4,
}


class Options(NamedTuple):
    """How many options an agent has, and which one it takes while it is untrained."""

    number: int
    initial: int


class Actions(StrictModel):
    """The grids that discrete actions index; `initial_*` are the options of an untrained agent.

    Covers are days of the forecast, or sigmas: standard deviations of the demand over lead time and
    review, above its mean, which fit a fast and a slow seller alike.
    """

    unit: Literal["days", "sigmas"] = "days"  # of the covers
    store_cover: Annotated[list[Cover], Field(min_length=2, max_length=100)] = [
        0, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 6.5, 8,
    ]  # days of cover beyond the lead time  # fmt: skip
    dc_cover: Annotated[list[Cover], Field(min_length=2, max_length=100)] = [
        6, 7, 8, 9, 10, 12, 14, 16, 18, 21, 24,
    ]  # days of echelon cover, lead time included  # fmt: skip
    push_cover: Annotated[list[Cover], Field(min_length=1, max_length=100)] = [0.5, 1.5, 3, 5]
    online_share: Annotated[list[Share], Field(min_length=1, max_length=100)] = [0.0, 0.5, 1.0]
    disposition: Annotated[list[Shares], Field(min_length=1, max_length=100)] = [
        (1, 0, 0), (0, 1, 0), (0, 0, 1), (0.5, 0.5, 0),
    ]  # fmt: skip
    initial_cover: CountOrZero = 1
    initial_push: CountOrZero = 0
    initial_disposition: CountOrZero = 1

    @model_validator(mode="before")
    @classmethod
    def fill_in(cls, values: object) -> object:
        """Covers that are left out have grids of their unit."""
        if isinstance(values, dict) and values.get("unit") == "sigmas":
            return _IN_SIGMAS | values
        return values

    @model_validator(mode="after")
    def check_grids(self) -> Self:
        """The high level's ordering action indexes both cover grids, so they are equally long."""
        if len(self.store_cover) != len(self.dc_cover):
            raise ValueError(
                f"dc_cover has {len(self.dc_cover)} options; "
                f"{len(self.store_cover)} are allowed (as many as store_cover)"
            )
        for shares in self.disposition:
            if abs(sum(shares) - 1) > 1e-9:
                raise ValueError(f"disposition {shares} must sum to 1")
        for role, field in _INITIAL.items():
            options = self.options[role]
            if options.initial >= options.number:
                raise ValueError(f"{field} {options.initial} must be below {options.number}")
        return self

    @property
    def options(self) -> dict[str, Options]:
        """By role, on both levels."""
        numbers = {
            "ordering": len(self.store_cover),
            "shipping": len(self.push_cover) * len(self.online_share),
            "return": len(self.disposition),
        }
        return {role: Options(n, getattr(self, _INITIAL[role])) for role, n in numbers.items()}


class Credit(StrictModel):
    """Weights of an agent's own, its location's and the team's share of the reward."""

    local: NonNegative = 0.4
    store: NonNegative = 0.4
    team: NonNegative = 0.2


class Reward(StrictModel):
    """Eq. 8: alpha service - beta inventory - gamma returns - delta (transport, ordering)."""

    alpha: NonNegative = 1.0
    beta: NonNegative = 1.0
    gamma: NonNegative = 1.0
    delta: NonNegative = 1.0
    cost_scale: Annotated[float, Field(ge=1e-6, le=LARGEST)] = (
        1.0  # money per unit of expected demand that weighs as much as service
    )
    credit: Credit = Credit()


class Observation(StrictModel):
    """What agents observe beside stock, orders and the level of demand."""

    spread: bool = False  # how demand scatters: `agents.observation_spread.SPREAD_FEATURES`


class Before(StrictModel):
    """The policy before optimisation: constant covers, online from the DC, returns to the DC."""

    store_cover: Cover = 0.5
    dc_cover: Cover = 7.0
