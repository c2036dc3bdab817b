"""Settings of fulfilment: who serves demand, and how a short DC shares its stock."""

from __future__ import annotations

from importlib import resources
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticKnownError

from envs.validation import CountOrZero, Share, StrictModel

Unmet = Literal["lost", "backorder", "patience", "partial"]
Issue = Literal["fifo", "lifo"]


def list_rationing_rules() -> list[str]:
    """Names of the rules by which a short DC shares its stock: those of the files that hold them.

    The files are listed and not imported, because settings know nothing of the world.
    """
    folder = resources.files("envs.omnichannel") / "world" / "allocation" / "rules"
    files = (file.name for file in folder.iterdir())
    return sorted(f.removesuffix(".py") for f in files if f.endswith(".py") and f[0] != "_")


def _check_rule(name: object) -> object:
    rules = list_rationing_rules()
    if name not in rules:
        *others, last = map(repr, rules)
        expected = f"{', '.join(others)} or {last}"
        raise PydanticKnownError("literal_error", {"expected": expected})
    return name


Rationing = Annotated[str, BeforeValidator(_check_rule)]


class Fulfillment(StrictModel):
    """How demand is served, and what happens to what is not served on the day.

    Unmet demand is `lost`, waits without limit (`backorder`), waits `patience` periods and is
    then lost, or (`partial`, at the store's counter) is offered unit by unit to the DC with
    probability `dc_offer`, served from there at once while the DC has stock, else lost.
    """

    patience: Annotated[int, Field(ge=0, le=60)] = 3  # periods an order waits, then is lost
    store_unmet: Unmet = "lost"
    online_unmet: Literal["lost", "backorder", "patience"] = "patience"
    pickup_unmet: Unmet = "lost"
    dc_offer: Share = 0.8  # beta of `partial`
    spill_over: bool = True  # try the other source on the same day when one runs out
    reserve: CountOrZero = 0  # units a store keeps back from online orders
    # Of perishables: whether the oldest or the freshest unit goes first, to walk-ins ...
    store_issue: Issue = "fifo"
    picking_issue: Issue = "fifo"  # ... and to online orders and pickups
    rationing: Rationing = "proportional"  # of shipments to stores when a DC is short

    def get_unmet(self, channel: str) -> Unmet:
        """What happens to the channel's unmet demand; without patience a waiting order is lost."""
        rule: Unmet = getattr(self, f"{channel}_unmet")
        return "lost" if rule == "patience" and not self.patience else rule

    def count_slots(self, channel: str) -> int:
        """Age slots that the channel's backorders need: one where age does not matter."""
        return {"patience": self.patience, "backorder": 1}.get(self.get_unmet(channel), 0)
