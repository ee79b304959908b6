"""The policy as a value, and its canonical document."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hookline.canonical import canonical_text
from hookline.model import Address
from hookline.policy.policy import RuleLevel, Scope, parse_policy, policy_document

RULE: dict[str, Any] = {"id": "owner", "message": "name an owner", "require": {"required": ["owner"]}}


def policy(**fields: Any) -> dict[str, Any]:
    return {"version": 1, **fields}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (policy(), policy(rules=[], freeze=[], folders=[], deletions={}, **{"$defs": {}})),
        (policy(rules=[RULE]), policy(rules=[{**RULE, "level": "deny", "overridable": False, "when": {}}])),
        (
            policy(rules=[{**RULE, "when": {"sandbox": "prod"}}]),
            policy(rules=[{**RULE, "when": {"sandbox": ["prod", "prod"]}}]),
        ),
        (
            policy(folders=[{"folder": "b", "organizations": ["y", "x"]}, {"folder": "a", "organizations": "x"}]),
            policy(folders=[{"folder": "a", "organizations": ["x"]}, {"folder": "b", "organizations": ["x", "y"]}]),
        ),
    ],
)
def test_equal_policies_have_one_text(one: dict[str, Any], other: dict[str, Any]) -> None:
    """A default that is written out, or another spelling, is no other policy."""
    assert canonical_text(policy_document(one)) == canonical_text(policy_document(other))


def test_the_canonical_document_is_the_same_policy() -> None:
    """The text that a state stores reads as the policy of the file."""
    freeze = {"id": "w", "reason": "on call", "weekly": [{"from": "Fri 16:00", "to": "Mon 08:00"}], "timeZone": "UTC"}
    document = policy(
        rules=[{**RULE, "level": "warn", "when": {"sandbox": "prod*"}, "overridable": True, "owners": ["b", "a"]}],
        freeze=[{**freeze, "overridable": True, "owners": ["a", "b"], "approvals": 2}],
        folders=[{"folder": ".", "organizations": "*"}],
        deletions={"maxPercent": 10},
    )
    stored = json.loads(canonical_text(policy_document(document)))
    assert parse_policy(document) == parse_policy(stored)
    assert canonical_text(policy_document(stored)) == canonical_text(stored)
    assert RuleLevel.WARN is parse_policy(document).rules[0].level


@pytest.mark.parametrize(
    "document",
    [{}, policy(version=2), policy(rules=[{}]), policy(freeze=[{"id": "w", "reason": "r"}]), policy(rules=3)],
)
def test_another_document_is_refused(document: dict[str, Any]) -> None:
    """A text in a state that is no policy raises an error that the caller maps."""
    with pytest.raises((KeyError, TypeError, ValueError)):
        parse_policy(document)


@pytest.mark.parametrize(
    ("scope", "covered"),
    [
        (Scope(), True),
        (Scope(sandbox=("prod*",)), True),
        (Scope(sandbox=("stage", "prod-??")), True),
        (Scope(sandbox=("prod",)), False),
        (Scope(organization=("*@AcmeOrg",), sandbox=("prod-*",)), True),
        (Scope(organization=("*@acmeorg",)), False),
        (Scope(action=("create", "update")), True),
        (Scope(action=("delete",)), False),
    ],
)
def test_the_scope_of_a_rule(scope: Scope, covered: bool) -> None:
    """One glob of each kind must match the whole name, with its case."""
    assert covered == scope.covers(Address("1234@AcmeOrg", "prod-eu"), "update")


def test_a_hostile_glob_is_quick() -> None:
    """A glob costs linear time, unlike an expression that tries every division of the text."""
    assert not Scope(sandbox=("*a" * 100 + "b",)).covers_address(Address("acme", "a" * 256))
