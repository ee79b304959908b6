"""Tries a policy on webhooks that do not change: a pure function."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from hookline.canonical import Document
from hookline.model import Address, Declared
from hookline.plan.plan import Action, Change, Plan, fingerprint
from hookline.plan.policy_check import PolicyContext, check_policy
from hookline.policy.policy import DeletionRule, Policy, rule_scopes
from hookline.policy.violation import Violation
from hookline.state.store import Stored


@dataclass(frozen=True, slots=True)
class PolicyTrial:
    """The violations of the webhooks in the files and in the state. `unused` are rules that no webhook is about.

    `frozen` are the freeze windows that include the time of the trial.
    """

    files: tuple[Violation, ...]
    state: tuple[Violation, ...]
    unused: tuple[str, ...]
    frozen: tuple[str, ...]

    @property
    def denies(self) -> bool:
        return any(violation.denies for violation in (*self.files, *self.state))


def try_policy(
    policy: Policy, files: Mapping[Address, Declared], stored: Mapping[Address, Stored], context: PolicyContext
) -> PolicyTrial:
    """Try the rules and folders as if every webhook was created or updated now. Raises like `check_policy`."""
    lasting = replace(policy, freezes=(), deletions=DeletionRule())
    declared = [_change(address, one, address in stored) for address, one in files.items()]
    applied = [
        Change(address=address, action=Action.UPDATE, source=None, before=None, after=one.document, before_hash=None)
        for address, one in stored.items()
    ]
    addresses = {*files, *stored}
    return PolicyTrial(
        files=check_policy(_plan(declared), lasting, context),
        state=check_policy(_plan(applied), lasting, replace(context, place_of=None)),
        unused=tuple(rule for rule, scope in rule_scopes(policy) if not any(map(scope.covers_address, addresses))),
        frozen=tuple(one.id for one in policy.freezes if one.window.includes(context.at, context.zone_of)),
    )


def _change(address: Address, declared: Declared, is_applied: bool) -> Change:
    document: Document = json.loads(declared.canonical)
    return Change(
        address=address,
        action=Action.UPDATE if is_applied else Action.CREATE,
        source=declared.source,
        before=None,
        after=document,
        before_hash=None,
    )


def _plan(changes: Iterable[Change]) -> Plan:
    found = tuple(changes)
    return Plan(lineage=None, serial=0, changes=found, unchanged=0, fingerprint=fingerprint(found))
