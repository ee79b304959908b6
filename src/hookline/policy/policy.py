"""The policy of a state, as a value, and its canonical document.

`config.policy_file` reads a policy file and reports its errors. `parse_policy` reads a document that has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from hookline.model import Address
from hookline.policy.freeze_window import FreezeWindow, parse_window

POLICY_VERSION = 1
FOLDERS_RULE, DELETIONS_RULE = "folders", "deletions"
"""The ids of the rules that `folders` and `deletions` make."""
RESERVED_IDS = frozenset([FOLDERS_RULE, DELETIONS_RULE])
ACTIONS = ("create", "update", "delete", "move")


class RuleLevel(StrEnum):
    DENY = "deny"
    WARN = "warn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The changes that a rule is about: globs, of which one of each kind must match. Empty matches everything."""

    organization: tuple[str, ...] = ()
    sandbox: tuple[str, ...] = ()
    action: tuple[str, ...] = ()

    def covers(self, address: Address, action: str) -> bool:
        return self.covers_address(address) and _matches(action, self.action)

    def covers_address(self, address: Address) -> bool:
        return _matches(address.organization, self.organization) and _matches(address.sandbox, self.sandbox)


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideTerms:
    """Who may lift a rule: nobody, anybody (no owners), or `approvals` different owners."""

    allowed: bool = False
    owners: tuple[str, ...] = ()
    approvals: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRule:
    """A rule about single webhooks. `require` is a JSON Schema; False refuses every change that `when` covers."""

    id: str
    message: str
    level: RuleLevel
    when: Scope = Scope()
    require: Mapping[str, Any] | bool = False
    override: OverrideTerms = OverrideTerms()


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """A time without changes."""

    id: str
    reason: str
    window: FreezeWindow
    when: Scope = Scope()
    override: OverrideTerms = OverrideTerms()


@dataclass(frozen=True, slots=True)
class FolderRule:
    """The webhook files below `folder` of the configuration directory may name these organizations (globs)."""

    folder: str
    organizations: tuple[str, ...]

    def allows(self, organization: str) -> bool:
        return _matches(organization, self.organizations)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionRule:
    """The deletions that one plan may have. None is no limit besides that of the deletion guard."""

    max_percent: int | None = None
    max_count: int | None = None
    override: OverrideTerms = OverrideTerms()


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    rules: tuple[PolicyRule, ...] = ()
    freezes: tuple[Freeze, ...] = ()
    folders: tuple[FolderRule, ...] = ()
    deletions: DeletionRule = field(default_factory=DeletionRule)
    definitions: Mapping[str, Any] = field(default_factory=dict)

    def overrides(self) -> dict[str, OverrideTerms]:
        """Who may lift each rule, by its id."""
        found = {rule.id: rule.override for rule in self.rules} | {one.id: one.override for one in self.freezes}
        if self.folders:
            found[FOLDERS_RULE] = OverrideTerms()
        if self.deletions != DeletionRule():
            found[DELETIONS_RULE] = self.deletions.override
        return found


def _matches(text: str, globs: Iterable[str]) -> bool:
    """Whether one of the globs matches, with `*`, `?` and `[…]`; no glob matches everything.

    The patterns of fnmatch give no text up that a `*` has taken, so a glob costs linear time.
    """
    found = False
    for glob in globs:
        if fnmatchcase(text, glob):
            return True
        found = True
    return not found


def parse_policy(document: Mapping[str, Any]) -> Policy:
    """The policy of a document without errors. Raises KeyError, TypeError or ValueError for another one."""
    if document["version"] != POLICY_VERSION:
        raise ValueError(f"version {document['version']!r}")
    deletions = document.get("deletions", {})
    return Policy(
        rules=tuple(map(_rule, document.get("rules", ()))),
        freezes=tuple(map(_freeze, document.get("freeze", ()))),
        folders=tuple(FolderRule(one["folder"], _texts(one["organizations"])) for one in document.get("folders", ())),
        deletions=DeletionRule(
            max_percent=deletions.get("maxPercent"),
            max_count=deletions.get("maxCount"),
            override=_override_terms(deletions),
        ),
        definitions=document.get("$defs", {}),
    )


def _rule(document: Mapping[str, Any]) -> PolicyRule:
    return PolicyRule(
        id=document["id"],
        message=document["message"],
        level=RuleLevel(document.get("level", RuleLevel.DENY)),
        when=_scope(document),
        require=document["require"],
        override=_override_terms(document),
    )


def _freeze(document: Mapping[str, Any]) -> Freeze:
    return Freeze(
        id=document["id"],
        reason=document["reason"],
        window=parse_window(document),
        when=_scope(document),
        override=_override_terms(document),
    )


def _scope(document: Mapping[str, Any]) -> Scope:
    when = document.get("when", {})
    return Scope(**{key: _texts(when.get(key, ())) for key in ("organization", "sandbox", "action")})


def _override_terms(document: Mapping[str, Any]) -> OverrideTerms:
    owners = tuple(document.get("owners", ()))
    approvals = document.get("approvals", 1)
    return OverrideTerms(allowed=document.get("overridable", False), owners=owners, approvals=approvals)


def _texts(value: str | Iterable[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(sorted(set(value)))


def policy_document(document: Mapping[str, Any]) -> dict[str, Any]:
    """The canonical form of a policy document without errors: without defaults, and with one spelling per value.

    Two policies that decide alike in the same words have the same canonical text. Raises like `parse_policy`.
    """
    parse_policy(document)
    found = {key: value for key, value in document.items() if key not in ("rules", "freeze", "folders", "deletions")}
    found |= {key: [_canonical(one) for one in document[key]] for key in ("rules", "freeze") if document.get(key)}
    if document.get("folders"):
        folders = sorted(document["folders"], key=lambda one: str(one["folder"]))
        found["folders"] = [{**one, "organizations": list(_texts(one["organizations"]))} for one in folders]
    if deletions := _without_defaults(document.get("deletions", {})):
        found["deletions"] = deletions
    return {key: value for key, value in found.items() if value != {}}


def _canonical(document: Mapping[str, Any]) -> dict[str, Any]:
    found = _without_defaults(document)
    when = {key: list(_texts(value)) for key, value in document.get("when", {}).items()}
    if when:
        found["when"] = when
    else:
        found.pop("when", None)
    return found


_DEFAULTS: Mapping[str, Any] = {"level": RuleLevel.DENY, "overridable": False, "owners": [], "approvals": 1}


def _without_defaults(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in _DEFAULTS or value != _DEFAULTS[key]}


def rule_scopes(policy: Policy) -> Iterator[tuple[str, Scope]]:
    """The id and the scope of each rule and each freeze window."""
    yield from ((rule.id, rule.when) for rule in policy.rules)
    yield from ((freeze.id, freeze.when) for freeze in policy.freezes)
