"""A retailer's rules beside the record: packs of the SKU file, and a file of rules in YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from envs.errors import InputError
from envs.untrusted import read_text
from envs.validation import parse_yaml
from marl.planning.from_data.dataset import Dataset
from marl.planning.from_data.section import Section

RULES = (
    "order_rules", "order_calendars", "suppliers", "shelf_rules", "back_room", "substitution",
    "supply_cuts", "transshipment", "fulfillment", "costs",
)  # fmt: skip
_FIELD = "--rules"


def read_rules(path: Path) -> dict[str, Any]:
    """Returns the fields of a file of rules.

    Raises:
        InputError: names the file, the field and what is allowed.
    """
    rules = parse_yaml(read_text(path, _FIELD), str(path))
    for field, value in rules.items():
        if value is None:
            raise InputError(f"{path}: {field}: nothing is stated; leave it out")
        if field not in RULES:
            raise InputError(f"{path}: {field}: not allowed; allowed: {', '.join(RULES)}")
    return rules


def fit_packs(data: Dataset) -> list[dict[str, Any]]:
    """Returns an order rule for every size of pack in the SKU file."""
    by_size: dict[int, list[str]] = {}
    for sku in data.demand.skus:
        record = (data.skus or {}).get(sku)
        if record is not None and record.pack is not None and record.pack > 1:
            by_size.setdefault(int(record.pack), []).append(sku)
    return [{"multiple": size, "skus": skus} for size, skus in sorted(by_size.items())]


def add_rules(
    sections: list[Section], data: Dataset, rules: dict[str, Any], source: str
) -> list[Section]:
    """Returns the scenario's fields with the rules: lists go on, mappings replace field by field.

    Args:
        sections: what the files show, and what is assumed.
        data: the checked files.
        rules: by field.
        source: of the rules, for the remark above each.
    """
    found = {section.name: section for section in sections}
    packs = fit_packs(data)
    if packs:
        remark = f"{sum(len(rule['skus']) for rule in packs)} SKUs come in packs"
        found["order_rules"] = Section("order_rules", packs, [remark])
    for field, value in rules.items():
        own, remark = found.get(field), f"as {source} says"
        if own is None:
            found[field] = Section(field, value, [remark])
        elif isinstance(own.value, dict) and isinstance(value, dict):
            own.value = own.value | value
            own.measured.append(f"{', '.join(value)}: {remark}")
        else:
            own.value = [*own.value, *value] if isinstance(value, list) else value
            own.measured.append(remark)
    if {"order_calendars", "suppliers"} & rules.keys():
        found["demand"].value["first_day"] = data.demand.first_day.isoformat()
    return list(found.values())
