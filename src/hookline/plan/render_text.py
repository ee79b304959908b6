"""A plan as rows of text, with the riskiest changes first. Each row has a tone; the command line maps it to a colour.

Many creations have one row each: a new webhook cannot harm existing ones, and the plan of a first apply of thousands
of webhooks must remain readable.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, assert_never

from hookline.escaping import by_code_point, printable
from hookline.plan.look_alikes import look_alike
from hookline.plan.pending_effect import pending_effect, pending_summary
from hookline.plan.plan import Action, Change, FieldChange, Plan
from hookline.policy.violation import Violation


class Tone(StrEnum):
    DELETE = "delete"
    BLOCKED = "blocked"
    MOVE = "move"
    UPDATE = "update"
    CREATE = "create"
    NOTE = "note"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One line of output. `render_text` escapes control characters in it."""

    text: str
    tone: Tone = Tone.PLAIN


MAX_DETAILED_CREATIONS = 3
"""If a plan has more creations than this, each has one row."""
_RANKS = {Action.DELETE: 0, Action.MOVE: 2, Action.UPDATE: 3, Action.CREATE: 4}  # 1: a blocked change
_SYMBOLS = {Action.CREATE: "+", Action.UPDATE: "~", Action.DELETE: "-", Action.MOVE: ">"}
_ADDRESS_FIELDS = ("/organization", "/sandbox", "/sandbox/name")
# Fields that have a default value. Other fields have no value when they are not set.
_WITH_DEFAULT = ("/delivery", "/authentication", "/events", "/messageTypes", "/payload", "/enabled", "/protected")


def render_text(plan: Plan, *, verbose: bool = False) -> tuple[PlanRow, ...]:
    """The changes, the riskiest first, renames and a summary.

    A value that comes from a defaults file has its place there. With `verbose`, every creation shows its fields, and
    every value has its place.
    """
    folded = not verbose and plan.count(Action.CREATE) > MAX_DETAILED_CREATIONS
    rows = [row for change in sorted_changes(plan) for row in change_rows(change, folded=folded, verbose=verbose)]
    rows += rename_rows(plan)
    rows += violation_rows(plan)
    if rows:
        rows.append(PlanRow(""))
    rows.append(PlanRow(plan_summary(plan)))
    if cost := pending_summary(plan):
        rows.append(PlanRow(cost, Tone.NOTE))
    return tuple(PlanRow(printable(row.text), row.tone) for row in rows)


def sorted_changes(plan: Plan) -> list[Change]:
    """The changes in the order of the output: by risk, then by address."""
    return sorted(plan.changes, key=lambda one: (_RANKS[one.action] if one.blocked is None else 1, one.address))


def rename_rows(plan: Plan) -> list[PlanRow]:
    text = "Possible rename: {} -> {} (equal but for the address; `movedFrom: {}` in its file makes it a move)"
    return [PlanRow(text.format(one.before, one.after, one.before), Tone.NOTE) for one in plan.renames]


def violation_rows(plan: Plan) -> list[PlanRow]:
    """The violations of the policy, those that deny first: where each comes from, its rule and its message."""
    return [row for violation in plan.violations for row in rows_of_violation(violation)]


def rows_of_violation(violation: Violation) -> Iterator[PlanRow]:
    tone = Tone.BLOCKED if violation.denies else Tone.NOTE
    level = "lifted" if violation.overridden is not None else str(violation.level)
    place = "" if violation.place is None else f"{violation.place}: "
    concerned = f"{violation.subject}: " if violation.subject else ""
    yield PlanRow(f"! {place}{level}[{violation.kind}] {violation.rule}: {concerned}{violation.message}", tone)
    details = {"": violation.detail, "lifted: ": violation.overridden, "not lifted: ": violation.refused}
    yield from (PlanRow(f"    {name}{text}", tone) for name, text in details.items() if text is not None)


def plan_summary(plan: Plan) -> str:
    if not plan.changes:
        return f"No changes: the files match the applied state ({plan.unchanged} unchanged)."
    return f"Plan: {change_counts(plan)}, {plan.unchanged} unchanged."


def change_counts(plan: Plan) -> str:
    """``1 to create, 2 to update, 1 to delete (1 blocked)``; the moves only if there are any."""
    blocked = f" ({len(plan.blocked)} blocked)" if plan.blocked else ""
    shown = (action for action in Action if action is not Action.MOVE or plan.count(action))
    counts = ", ".join(f"{plan.count(action)} to {action}" for action in shown)
    denied = ", denied by the policy" if plan.is_denied else ""
    return f"{counts}{blocked}{denied}"


def change_rows(change: Change, *, folded: bool, verbose: bool = False) -> Iterator[PlanRow]:
    """The rows of one change, with control characters. A `folded` creation has one row.

    With `verbose`, a value has its place, even if it is in the file of the webhook.
    """
    tone = Tone.BLOCKED if change.blocked else Tone(change.action)
    place = f"  ({change.source.file}:{change.source.line})" if change.source else ""
    if folded and change.action is Action.CREATE:
        yield PlanRow(f"{_SYMBOLS[change.action]} {change.address}  {_short_form(change.after or {})}{place}", tone)
        yield from _notes(change)
        return
    moved = f"{change.moved_from} -> " if change.moved_from else ""
    yield PlanRow(f"{_SYMBOLS[change.action]} {moved}{change.address}{place}", tone)
    match change.action:
        case Action.DELETE:
            yield from _deletion(change)
        case Action.UPDATE:
            yield from _fields(change, tone, verbose=verbose)
        case Action.MOVE:
            yield from _fields(change, tone, verbose=verbose)
            yield from _limits(change)
        case Action.CREATE:
            for path, value in _leaves(change.after or {}):
                yield PlanRow(f"    {path}: {_value(value)}{_origin(change, path, verbose=verbose)}", tone)
        case _:
            assert_never(change.action)
    yield from _notes(change)


def _fields(change: Change, tone: Tone, *, verbose: bool) -> Iterator[PlanRow]:
    """The fields that differ, without the address of a move."""
    for field in change.fields:
        if change.moved_from is None or field.path not in _ADDRESS_FIELDS:
            origin = "" if field.after is None else _origin(change, field.path, verbose=verbose)
            yield PlanRow(f"    {field.path or '/'}: {_sides(field)}{origin}", tone)


def _origin(change: Change, path: str, *, verbose: bool) -> str:
    if change.declared is None:
        return ""
    place = change.declared.place_of(path) if verbose else change.declared.default_place(path)
    return "" if place is None else f"  ({place.file}:{place.line})"


def _notes(change: Change) -> Iterator[PlanRow]:
    if effect := pending_effect(change):
        yield PlanRow(f"    {effect}", Tone.NOTE)
    if change.drain:
        yield PlanRow(f"    drain: {change.drain}", Tone.NOTE)
    if change.note:
        yield PlanRow(f"    note: {change.note}", Tone.NOTE)


def _deletion(change: Change) -> Iterator[PlanRow]:
    before = change.before or {}
    yield PlanRow(f"    was {_value(before.get('name'))}, posting to {_value(before.get('url'))}", Tone.DELETE)
    yield from _limits(change)


def _limits(change: Change) -> Iterator[PlanRow]:
    if change.blocked:
        yield PlanRow(f"    blocked: {change.blocked}", Tone.BLOCKED)
    if change.allowed:
        yield PlanRow(f"    {change.allowed}", Tone.NOTE)


def _short_form(document: Mapping[str, Any]) -> str:
    """Name, channels and URL of a document. In a plan from a file it can have any form."""
    channels = document.get("channels")
    joined = "+".join(map(str, channels)) if isinstance(channels, list) else _value(channels)
    return f"{_value(document.get('name'))}, {joined}, {_value(document.get('url'))}"


def _leaves(document: Mapping[str, Any], above: str = "") -> Iterable[tuple[str, Any]]:
    """Every set value with its path, without the address. A reference to a secret is one value."""
    for key, value in document.items():
        path = f"{above}/{key}"
        if isinstance(value, Mapping) and set(value) not in ({"env"}, {"file"}, {"name", "id"}):
            yield from _leaves(value, path)
        elif path not in {"/version", "/organization"} and (path != "/sandbox" or isinstance(value, Mapping)):
            yield path, value


def _sides(field: FieldChange) -> str:
    """Both values; by code point where they look alike."""
    before, after = _side(field, field.before), _side(field, field.after)
    if look_alike(before, after):
        return f"{by_code_point(before)} -> {by_code_point(after)}  (they look alike)"
    return f"{before} -> {after}"


def _side(field: FieldChange, value: Any) -> str:
    if value is not None:
        return _value(value)
    return "(default)" if field.path.startswith(_WITH_DEFAULT) else "(none)"


def _value(value: Any) -> str:
    """The value as JSON; a reference as in a webhook file."""
    if isinstance(value, Mapping) and set(value) in ({"env"}, {"file"}):
        ((kind, name),) = value.items()
        return f"{{{kind}: {name}}}"
    return json.dumps(value, ensure_ascii=False)
