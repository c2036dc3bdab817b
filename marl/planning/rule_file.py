"""Rule files: a classical rule, chosen and tuned for a scenario, as `recommend` takes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from envs.omnichannel.scenario import Scenario
from envs.untrusted import parse_object, read_text
from envs.validation import StrictModel, validate_model
from marl.policies.tuned import TunedRule
from marl.runs.files import write_file


class RuleMetadata(StrictModel):
    """What a rule file holds: which rule, and what it was chosen for."""

    format: Literal["omnichannel-rule"] = "omnichannel-rule"
    version: Literal[1] = 1
    scenario: str
    scenario_hash: str
    rule: TunedRule
    classical: list[TunedRule]  # its rival, shown beside it


@dataclass(frozen=True)
class RulePolicy:
    """A rule in the place of an exported policy."""

    metadata: RuleMetadata

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads a rule file.

        Raises:
            InputError: if it is not one.
        """
        data = parse_object(read_text(path, "--policy"), f"--policy: '{path}'")
        return cls(validate_model(RuleMetadata, data, str(path)))

    @property
    def name(self) -> str:
        """Of the rule's family."""
        return self.metadata.rule.family

    def adapt(self, scenario: Scenario) -> Scenario:
        """Returns the scenario as it is: a rule brings no grids."""
        return scenario


def write_rule(path: Path, scenario: Scenario, rule: TunedRule, rival: TunedRule) -> None:
    """Writes a rule file.

    Args:
        path: of the file.
        scenario: that the rule was chosen for.
        rule: to order by.
        rival: to be shown beside it.
    """
    metadata = RuleMetadata(
        scenario=scenario.name, scenario_hash=scenario.hash(), rule=rule, classical=[rival]
    )
    write_file(path, metadata.model_dump_json(indent=2) + "\n", "--out")
