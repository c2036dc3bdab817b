"""Settings of returns: which units come back, when, and where they go."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from envs.validation import Count, NonNegative, Positive, Share, StrictModel, check_ordered

# Units due are dense arrays over the delay, so a delay is bounded like a lead time.
Days = Annotated[int, Field(ge=0, le=180)]


class UniformDelay(StrictModel):
    """Every delay from `low` to `high` days is equally likely."""

    kind: Literal["uniform"] = "uniform"
    low: Days = 2
    high: Days = 7

    @model_validator(mode="after")
    def check_order(self) -> Self:
        """The range is not empty."""
        check_ordered(self, "low", "high")
        return self


class RecordedDelay(StrictModel):
    """The delays measured in a real data set."""

    kind: Literal["recorded"]
    source: Literal["online_gifts"]


class TableDelay(StrictModel):
    """A probability for each delay, such as {2: 0.5, 14: 0.5}."""

    kind: Literal["table"]
    probabilities: Annotated[dict[Days, Share], Field(min_length=1)]

    @model_validator(mode="after")
    def check_sum(self) -> Self:
        """The probabilities add up."""
        total = sum(self.probabilities.values())
        if abs(total - 1) > 1e-6:
            raise ValueError(f"probabilities sum to {total:.6g}; they must sum to 1")
        return self


class LognormalDelay(StrictModel):
    """Lognormal time to return, counted in started days, cut off after `longest` days."""

    kind: Literal["lognormal"]
    median: Positive  # days
    sigma: Positive  # standard deviation of the log
    longest: Annotated[int, Field(ge=1, le=180)] = 60

    @model_validator(mode="after")
    def check_order(self) -> Self:
        """At least half of the returns come back before the cut."""
        check_ordered(self, "median", "longest")
        return self


class GeometricDelay(StrictModel):
    """From day `first` on, a unit still out comes back with `probability` on each day."""

    kind: Literal["geometric"]
    probability: Annotated[float, Field(gt=0, le=1)]
    first: Days = 1
    longest: Days = 60

    @model_validator(mode="after")
    def check_order(self) -> Self:
        """The range is not empty."""
        check_ordered(self, "first", "longest")
        return self


Delay = Annotated[
    UniformDelay | RecordedDelay | TableDelay | LognormalDelay | GeometricDelay,
    Field(discriminator="kind"),
]


class Returns(StrictModel):
    """Eq. 2, applied to units sold (`sales`) or, as the paper writes it, to `demand`.

    The rate is the category's, times the store's `return_factor`, +- the store's random shift,
    times the channel's factor, at most 1.
    """

    basis: Literal["sales", "demand"] = "sales"
    delay: Delay = UniformDelay()
    store_spread: Share = 0.02  # half-width of the uniform shift of the rate by store
    store_factor: NonNegative = 1.0  # multiplies the rate of what was bought in the store ...
    online_factor: NonNegative = 1.0  # ... and online
    by_mail: Share = 0.0  # of the online returns: they go to the DC, the rest to the store
    resaleable: Share = 1.0  # the rest is scrapped on arrival; a category may say otherwise
    inspection_days: Days = 1
    # Units a location can begin to inspect in a period; what is above it queues.
    inspection_capacity: Count | None = None
