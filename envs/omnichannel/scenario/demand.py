"""Settings of demand: one model per process, told apart by `process`.

Times are days. The expected units of a SKU in a store of size 1 stand beside the SKU
(`store_demand`, `online_demand`); these settings shape and scatter them.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from envs.omnichannel.scenario.goods import Demand, Name
from envs.validation import Share, StrictModel, check_ordered

Factor = Annotated[float, Field(ge=0, le=100)]
Spread = Annotated[float, Field(ge=0, le=10)]
Probability = Annotated[float, Field(gt=0, le=1)]
Names = Annotated[list[Name], Field(min_length=1)]
_BUNDLED_FROM = date(2017, 1, 1)  # first day of `grocery_demand`


class Drift(StrictModel):
    """A slowly moving factor of each store and SKU, which multiplies the mean demand.

    Its log is an AR(1) process and its own mean is 1. Agents see the demand but not the drift.
    """

    phi: Annotated[float, Field(ge=0, lt=1)] = 0.95  # share of today's deviation left tomorrow
    sd: Annotated[float, Field(ge=0, le=2)] = 0.25  # of the log drift, over the long run


class Promotions(StrictModel):
    """One promotion of a SKU, in all stores and channels, in every `interval` days."""

    interval: Annotated[int, Field(ge=1, le=3650)] = 30
    length: Annotated[int, Field(ge=1, le=365)] = 7
    uplift: Factor = 2.0  # multiplies the mean on its days
    notice: Annotated[int, Field(ge=0, le=365)] = 7  # days ahead from which agents know of it

    @model_validator(mode="after")
    def check_length(self) -> Self:
        """A promotion fits into its interval."""
        check_ordered(self, "length", "interval")
        return self


class Calendar(StrictModel):
    """The week: day 0 of the calendar is weekday 0. Open days carry the week's whole demand."""

    weekdays: Annotated[list[Factor], Field(min_length=7, max_length=7)] = [1.0] * 7  # weights
    closed: list[Annotated[int, Field(ge=0, le=6)]] = []  # weekdays without any demand

    @model_validator(mode="after")
    def check_demand(self) -> Self:
        """Some weekday has demand."""
        if not any(w for day, w in enumerate(self.weekdays) if day not in self.closed):
            raise ValueError(
                f"weekdays {self.weekdays} without closed {self.closed} leave no demand; "
                "at least one open weekday above 0 is needed"
            )
        return self


class Override(StrictModel):
    """What is different for some pairs of store and SKU; of two overrides the later one wins.

    Fields that are left out change nothing. `process` and its settings go together: those left out
    are the demand's where its process is the same, otherwise the defaults of the process.
    """

    stores: Names | None = None  # None: all
    skus: Names | None = None  # None: all
    demand: Demand | None = None  # units a period in place of the SKU's demand times the size
    process: (
        Literal[
            "seasonal_normal",
            "poisson",
            "negative_binomial",
            "intermittent",
            "rounded_gamma",
            "clipped_normal",
            "uniform",
        ]
        | None
    ) = None
    noise: Spread | None = None
    centre: Factor | None = None
    cv: Spread | None = None
    probability: Probability | None = None
    size_cv: Spread | None = None
    width: Share | None = None

    @property
    def settings(self) -> dict[str, float]:
        """What it says of its process's own settings."""
        return self.model_dump(exclude_none=True, exclude={"stores", "skus", "demand", "process"})

    @property
    def has_process(self) -> bool:
        """Whether it changes more than the demand."""
        return self.process is not None or bool(self.settings)


class Parametric(StrictModel):
    """What every drawn process can take; drift, promotions and calendar are off by default."""

    season_period: Annotated[int, Field(ge=1, le=3650)] = 90
    season_amplitude: Share = 0.2  # of the sine, as a share of the mean
    drift: Drift | None = None
    promotions: Promotions | None = None
    calendar: Calendar | None = None
    correlation: Share = 0.0  # between the normal scores of two stores, per SKU and day
    overrides: Annotated[list[Override], Field(min_length=1)] | None = None


class SeasonalNormal(Parametric):
    """Eq. 1: base + seasonal sine + normal noise, rounded and clipped at zero."""

    process: Literal["seasonal_normal"] = "seasonal_normal"
    noise: Spread = 0.1  # standard deviation as a share of base demand


class Poisson(Parametric):
    """Counts of independent customers: variance = mean."""

    process: Literal["poisson"]


class NegativeBinomial(Parametric):
    """Counts that scatter more than Poisson's."""

    process: Literal["negative_binomial"]
    cv: Spread = 0.7  # standard deviation / mean of a day; never below Poisson's


class Intermittent(Parametric):
    """Many days without demand: a demand day has a probability, and a size of at least one."""

    process: Literal["intermittent"]
    probability: Probability = 0.3  # of a demand day
    size_cv: Spread = 0.5  # standard deviation / mean of the size; never below Poisson's


class RoundedGamma(Parametric):
    """A gamma variable, rounded to units; the SKU's demand is its mean before that."""

    process: Literal["rounded_gamma"]
    cv: Spread = 0.5  # standard deviation / mean, before rounding


class ClippedNormal(Parametric):
    """A normal variable, rounded to units and clipped at zero: both its moments have the season.

    What is expected of it is more than the SKU's demand, because nothing below zero is left.
    """

    process: Literal["clipped_normal"]
    centre: Factor = 1.0  # mean before clipping, as a share of the SKU's demand
    noise: Spread = 0.5  # standard deviation before clipping, as a share of the SKU's demand


class Uniform(Parametric):
    """Whole units, equally likely from (1 - width) to (1 + width) times the SKU's demand."""

    process: Literal["uniform"]
    width: Share = 1.0


class Trace(StrictModel):
    """Replays recorded daily sales; the first `train_days` train, the rest evaluate.

    The records are the bundled ones that `source` names, or those of `file`: see
    `envs.omnichannel.world.demand.trace_file` for its form.
    """

    process: Literal["trace"]
    source: Literal["grocery_demand"] | None = None
    file: Annotated[str, Field(min_length=1)] | None = None  # relative to the scenario's file
    digest: str | None = None  # of the file's bytes; filled in on loading, so that caches see it
    first_day: date | None = None  # of the file's record; calendars and dates need it
    train_days: Annotated[int, Field(ge=14, le=3650)] = 273
    last_day: Annotated[int, Field(ge=15, le=36500)] | None = None  # days after it are not read
    online_share: Share = 0.0  # part of the recorded demand that is ordered online (an assumption)
    # Training days bring each store what some day of so many weeks around brought it, of the same
    # weekday; None: what they themselves brought.
    resample_weeks: Annotated[int, Field(ge=1, le=26)] | None = None

    @property
    def date_of_first_day(self) -> date | None:
        """The date of day 0; None: not stated."""
        return _BUNDLED_FROM if self.first_day is None and self.source else self.first_day

    @model_validator(mode="after")
    def check_origin(self) -> Self:
        """The records come from one place."""
        if (self.source is None) == (self.file is None):
            raise ValueError("source, file: one of the two is needed, and not both")
        return self


Drawn = (
    SeasonalNormal
    | Poisson
    | NegativeBinomial
    | Intermittent
    | RoundedGamma
    | ClippedNormal
    | Uniform
)
DemandSettings = Annotated[Drawn | Trace, Field(discriminator="process")]


# Methods that learn from a record.
Recorded = Literal["running", "moving_average", "intermittent", "empirical", "boosted"]


class ForecastSettings(StrictModel):
    """How agents and policies foresee demand; every method also tracks smoothed demand.

    `smoothing`: smoothed demand times the known season. `mean`: the known mean, whatever is
    sold. `oracle`: the true expected demand, as an upper bound; no retailer has it. `running`, of
    recorded demand: means and variances of the days before, whatever the episode begins on;
    `moving_average`: the mean of the last `window` days in stock; `intermittent`: probability and
    size of sales, for what seldom sells; `empirical`: the level of `running`, its spread that of
    past sums of `span` days; `boosted`: the level of `running`, corrected by one model of all
    stores and SKUs (extra `forecast`).
    """

    method: Literal[Recorded, "smoothing", "mean", "oracle"] = "smoothing"
    # Weights of the latest day; `running` gives each of the first days as much as all before it.
    smoothing: Annotated[float, Field(gt=0, le=1)] = 0.15
    variance_smoothing: Annotated[float, Field(gt=0, le=1)] = 0.02
    window: Annotated[int, Field(ge=1, le=366)] = 56  # periods of the moving average
    span: Annotated[int, Field(ge=1, le=56)] = 7  # periods of `empirical`: lead time and review
