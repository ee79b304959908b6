"""A violation of a policy, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hookline.model import Address, SourcePlace
from hookline.policy.policy import RuleLevel


class ViolationKind(StrEnum):
    """The kinds of violations, each with its error code, which `hookline explain` explains."""

    RULE = "HL090"
    FREEZE = "HL091"
    FOLDER = "HL092"
    DELETIONS = "HL093"


@dataclass(frozen=True, slots=True)
class MissingApprovals:
    """`count` of these owners must approve an override, besides the people who agree already."""

    count: int
    owners: tuple[str, ...]

    @property
    def has_choice(self) -> bool:
        return self.count < len(self.owners)


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A change that a rule refuses, or warns of.

    `address` is None if the violation concerns the plan as a whole. `path` is the JSON pointer of the value in the
    effective document, "" for the whole webhook. `place` is where the value comes from, None for a webhook that is in
    no file. `detail` is the difference from the rule. `overridden` is the reason that lifted the rule, `refused` the
    reason why the command line could not lift it. `approvals` are those that an override needs and does not have.
    """

    kind: ViolationKind
    rule: str
    level: RuleLevel
    message: str
    address: Address | None = None
    path: str = ""
    place: SourcePlace | None = None
    overridable: bool = False
    detail: str | None = None
    overridden: str | None = None
    refused: str | None = None
    approvals: MissingApprovals | None = None

    @property
    def subject(self) -> str:
        """The address and the path, as messages name them; empty for the plan as a whole."""
        return " ".join(part for part in (str(self.address or ""), self.path) if part)

    @property
    def denies(self) -> bool:
        """Whether it blocks the plan."""
        return self.level is RuleLevel.DENY and self.overridden is None
