"""Checks a plan against the policy of its state: a pure function. Time, time zones and places are arguments."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import PurePosixPath

from hookline.canonical import Document
from hookline.diagnostics import did_you_mean, nearest
from hookline.errors import Blocked, WrongUse
from hookline.escaping import printable
from hookline.model import Address, SourcePlace
from hookline.plan.lifting_options import approval_options, lifting_options, missing_approvals
from hookline.plan.plan import Action, Change, Plan
from hookline.policy.effective_document import effective_document
from hookline.policy.freeze_window import ZoneOf
from hookline.policy.policy import DELETIONS_RULE, FOLDERS_RULE, FolderRule, Policy, PolicyRule, RuleLevel, Scope
from hookline.policy.schema_matcher import SchemaMatcher
from hookline.policy.violation import Violation, ViolationKind

PlaceOf = Callable[[Address, str], SourcePlace | None]
"""The place of a value of a webhook's effective document, by its JSON pointer; None if the webhook is in no file."""


PathsInConfig = Callable[[str], tuple[PurePosixPath, ...]]
"""The paths of a file from the configuration directory: as a change names it, and where links lead to.

Empty for a file outside of it.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideRequest:
    """The rules that the command line lifts, the reason, the user who does it, and the owners who approve it."""

    rules: tuple[str, ...] = ()
    reason: str = ""
    who: str = ""
    approved_by: tuple[str, ...] = ()

    @property
    def people(self) -> tuple[str, ...]:
        """Everybody who agrees, once."""
        return tuple(dict.fromkeys((self.who, *self.approved_by)))


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyContext:
    """The circumstances of a check.

    `paths_in_config` finds a file below the configuration directory; None if the changes come from no file, as in a
    rollback. `applied` is the number of applied webhooks.
    """

    at: datetime
    zone_of: ZoneOf
    applied: int
    paths_in_config: PathsInConfig | None = None
    place_of: PlaceOf | None = None
    request: OverrideRequest = field(default_factory=OverrideRequest)


def check_policy(plan: Plan, policy: Policy, context: PolicyContext) -> tuple[Violation, ...]:
    """The violations of a plan, those that deny first. A rule that the request lifts has its reason.

    Raises:
        StateUnusable: The package that checks rules is missing.
        WrongUse: The request names a rule that the policy does not have.
        ValueError: A schema or a time zone of the policy cannot be used.
    """
    lifted, refused = _lifted(policy, context.request)
    found = [
        *_freeze_violations(plan, policy, context),
        *_deletion_violations(plan, policy, context),
        *(one for change in plan.changes for one in _folder_violations(change, policy, context)),
        *_rule_violations(plan, policy, context),
    ]
    terms = policy.overrides()
    marked = (
        replace(
            one,
            overridable=terms[one.rule].allowed,
            overridden=lifted.get(one.rule),
            refused=refused.get(one.rule),
            approvals=missing_approvals(terms[one.rule], context.request.people),
        )
        for one in found
    )
    return tuple(sorted(marked, key=_order))


def _order(violation: Violation) -> tuple[bool, bool, str, str, str]:
    address = "" if violation.address is None else str(violation.address)
    return (not violation.denies, violation.level is RuleLevel.WARN, address, violation.rule, violation.path)


def raise_if_denied(violations: Collection[Violation]) -> None:
    """Raise Blocked, with the next step, if a violation denies the plan."""
    denying = [one for one in violations if one.denies]
    if not denying:
        return
    first = denying[0]
    concerned = f"{first.address}: " if first.address is not None else ""
    more = f" (and {len(denying) - 1} more)" if len(denying) > 1 else ""
    text = printable(
        f"nothing was applied: the policy denies the plan: {concerned}{first.rule}: {first.message}{more}"
    )
    correct = _correction(denying)
    hint = f"{correct}ask the people who set the policy; `hookline policy show` prints it"
    if first.refused is not None:
        hint = f"--override {first.rule}: {first.refused}"
    elif all(one.overridable for one in denying):
        more_options = "also " if any(one.overridden is not None for one in violations) else ""
        hint = f"{correct}{more_options}lift the rule, which the history records: {lifting_options(violations)}"
    raise Blocked(printable(text), hint=printable(hint))


def _correction(denying: Collection[Violation]) -> str:
    """What to do without a change of the policy, as the beginning of a hint; empty if there is nothing."""
    if all(one.kind is ViolationKind.FREEZE for one in denying):
        return "wait until the freeze window ends; or "
    return "" if all(one.place is None for one in denying) else "correct the webhook file; or "


def lifted_rules(violations: Collection[Violation]) -> tuple[tuple[str, str], ...]:
    """The rules that were lifted for this plan, each with its reason, for the history."""
    found = {one.rule: one.overridden for one in violations if one.overridden is not None}
    return tuple(sorted((rule, reason) for rule, reason in found.items() if reason is not None))


def _lifted(policy: Policy, request: OverrideRequest) -> tuple[dict[str, str], dict[str, str]]:
    """The reason for each rule that the request lifts, and why it cannot lift the others."""
    terms = policy.overrides()
    lifted, refused = {}, {}
    for rule in request.rules:
        if rule not in terms:
            others = f"its rules are {', '.join(terms)}" if terms else "it has no rules"
            hint = did_you_mean(nearest(rule, terms), others)
            raise WrongUse(f"--override {rule}: the policy has no such rule", hint=hint)
        if not terms[rule].allowed:
            refused[rule] = "nobody may lift this rule; it has no overridable: true"
            continue
        missing = missing_approvals(terms[rule], request.people)
        if missing is None:
            owners = [one for one in request.people if not terms[rule].owners or one in terms[rule].owners]
            approved = [one for one in owners if one != request.who]
            lifted[rule] = request.reason + (f" (approved by {', '.join(approved)})" if approved else "")
        else:
            needed = f"it needs {terms[rule].approvals} of its owners {', '.join(terms[rule].owners)}"
            refused[rule] = f"{needed}; you are {request.who}; add{approval_options([missing])}"
    return lifted, refused


def _rule_violations(plan: Plan, policy: Policy, context: PolicyContext) -> Iterator[Violation]:
    matchers = {rule.id: SchemaMatcher(rule.require, policy.definitions) for rule in policy.rules}
    for change in plan.changes:
        seen = [(rule, found) for rule in policy.rules if (found := _seen_document(rule.when, change)) is not None]
        complete = {id(found): effective_document(found) for _, found in seen}
        for rule, found in seen:
            document = complete[id(found)]
            yield from document_violations(rule, matchers[rule.id], document, change.address, context.place_of)


def document_violations(
    rule: PolicyRule,
    matcher: SchemaMatcher,
    document: Document,
    address: Address,
    place_of: PlaceOf | None,
) -> Iterator[Violation]:
    """The violations of one rule in an effective document."""
    for mismatch in matcher.mismatches(document):
        place = None if place_of is None else place_of(address, mismatch.path)
        yield Violation(
            kind=ViolationKind.RULE,
            rule=rule.id,
            level=rule.level,
            message=rule.message,
            address=address,
            path=mismatch.path,
            place=place,
            detail=mismatch.message,
        )


# A move makes a webhook at its new address, and removes it from its earlier one.
_ACTIONS_OF_MOVE = (Action.MOVE, Action.CREATE, Action.UPDATE)


def _seen_document(when: Scope, change: Change) -> Document | None:
    """The document of a change that a rule sees: the new one, for a deletion the applied one; None if it sees none.

    A rule about creations, updates or moves sees a move to an address that it covers, a rule about moves also one
    from there. A rule about deletions sees a move away. Otherwise `movedFrom` would be a way around a rule.
    """
    if change.moved_from is None:
        document = change.before if change.after is None else change.after
        return document if when.covers(change.address, str(change.action)) else None
    arrives = any(when.covers(change.address, str(action)) for action in _ACTIONS_OF_MOVE)
    if arrives or when.covers(change.moved_from, str(Action.MOVE)):
        return change.after
    return change.before if when.covers(change.moved_from, str(Action.DELETE)) else None


def _freeze_violations(plan: Plan, policy: Policy, context: PolicyContext) -> Iterator[Violation]:
    for freeze in policy.freezes:
        covered = [change for change in plan.changes if _seen_document(freeze.when, change) is not None]
        if covered and freeze.window.includes(context.at, context.zone_of):
            first, more = covered[0], len(covered) - 1
            concerned = f"{first.address}{f' and {more} more' if more else ''}"
            yield Violation(
                kind=ViolationKind.FREEZE,
                rule=freeze.id,
                level=RuleLevel.DENY,
                message=f"no changes at this time: {freeze.reason}",
                place=_place(first, "", context),
                detail=f"{freeze.window}; it concerns {concerned}",
            )


def _deletion_violations(plan: Plan, policy: Policy, context: PolicyContext) -> Iterator[Violation]:
    """A move counts as a deletion of the earlier address, as for the deletion guard."""
    limits, deleted, moved = policy.deletions, plan.count(Action.DELETE), plan.count(Action.MOVE)
    count = deleted + moved
    problems = []
    if limits.max_count is not None and count > limits.max_count:
        problems.append(f"at most {limits.max_count} in one plan")
    if limits.max_percent is not None and 100 * count > limits.max_percent * context.applied:
        problems.append(f"at most {limits.max_percent} % of the {context.applied} applied webhooks")
    if count and problems:
        yield Violation(
            kind=ViolationKind.DELETIONS,
            rule=DELETIONS_RULE,
            level=RuleLevel.DENY,
            message=f"the plan {_verb(deleted, moved)} {count} webhook{'' if count == 1 else 's'}",
            detail=f"the policy allows {' and '.join(problems)}",
        )


def _verb(deleted: int, moved: int) -> str:
    return "deletes or moves" if deleted and moved else "moves" if moved else "deletes"


def _folder_violations(change: Change, policy: Policy, context: PolicyContext) -> Iterator[Violation]:
    if not policy.folders or context.paths_in_config is None or change.source is None:
        return
    paths = context.paths_in_config(change.source.file)
    folders = [_innermost(path, policy.folders) for path in paths] or [None]
    for organization in dict.fromkeys(address.organization for address in reversed(change.addresses)):
        refusing = [folder for folder in folders if folder is None or not folder.allows(organization)]
        if not refusing:
            continue
        if (folder := refusing[0]) is None:
            detail = "the file is in no folder that the policy lists"
        else:
            detail = f"the folder {folder.folder} may configure {', '.join(folder.organizations)}"
        yield Violation(
            kind=ViolationKind.FOLDER,
            rule=FOLDERS_RULE,
            level=RuleLevel.DENY,
            message=f"{change.source.file} may not configure the organization {organization}",
            address=change.address,
            path="/organization",
            place=_place(change, "/organization", context),
            detail=detail,
        )


def _innermost(file: PurePosixPath, folders: Collection[FolderRule]) -> FolderRule | None:
    inside = [one for one in folders if file.parent.is_relative_to(one.folder)]
    return max(inside, key=lambda one: len(PurePosixPath(one.folder).parts), default=None)


def _place(change: Change, path: str, context: PolicyContext) -> SourcePlace | None:
    return None if context.place_of is None else context.place_of(change.address, path)
