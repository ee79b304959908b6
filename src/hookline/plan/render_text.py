"""A plan for people: what could hurt comes first. Rows with a tone; the command line gives tones their colour.

Many creations are folded: what is new harms nothing that there is, and a first apply of thousands must stay readable.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, assert_never

from hookline.escaping import printable
from hookline.plan.plan import Action, Change, FieldChange, Plan


class Tone(StrEnum):
    DELETE = "delete"
    BLOCKED = "blocked"
    UPDATE = "update"
    CREATE = "create"
    NOTE = "note"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One line of output, free of control characters whatever the webhook files hold."""

    text: str
    tone: Tone = Tone.PLAIN


MANY_CREATED = 3
"""More creations than this have one line each."""
_SYMBOLS = {Action.CREATE: "+", Action.UPDATE: "~", Action.DELETE: "-"}
# Fields that have a value when they are not set; all others then have none.
_DEFAULTED = (
    "/delivery",
    "/authentication",
    "/events",
    "/messageTypes",
    "/payload",
    "/enabled",
    "/protected",
)


def render_text(plan: Plan, *, verbose: bool = False) -> tuple[PlanRow, ...]:
    """Deletions, then what is blocked, updates field by field, creations; renames; one line that sums it up.

    With `verbose` every creation is shown field by field, however many there are.
    """
    folded = not verbose and plan.count(Action.CREATE) > MANY_CREATED
    rows = [row for change in changes_in_order(plan) for row in change_rows(change, folded=folded)]
    rows += rename_rows(plan)
    if rows:
        rows.append(PlanRow(""))
    rows.append(PlanRow(summary(plan)))
    return tuple(PlanRow(printable(row.text), row.tone) for row in rows)


def changes_in_order(plan: Plan) -> list[Change]:
    """The changes as they are shown: by what they could harm, then by address."""
    return sorted(plan.changes, key=lambda change: (_rank(change), change.address))


def rename_rows(plan: Plan) -> list[PlanRow]:
    return [
        PlanRow(f"Possible rename: {rename.before} -> {rename.after} (equal but for the address)", Tone.NOTE)
        for rename in plan.renames
    ]


def summary(plan: Plan) -> str:
    if not plan.changes:
        return f"No changes: the files say what is applied ({plan.unchanged} unchanged)."
    blocked = f" ({len(plan.blocked)} blocked)" if plan.blocked else ""
    return (
        f"Plan: {plan.count(Action.CREATE)} to create, {plan.count(Action.UPDATE)} to update, "
        f"{plan.count(Action.DELETE)} to delete{blocked}, {plan.unchanged} unchanged."
    )


def _rank(change: Change) -> int:
    if change.blocked is not None:
        return 1
    return {Action.DELETE: 0, Action.UPDATE: 2, Action.CREATE: 3}[change.action]


def change_rows(change: Change, *, folded: bool) -> Iterator[PlanRow]:
    """The rows of one change, not made printable yet; a creation in one row where it is `folded`."""
    tone = Tone.BLOCKED if change.blocked else Tone(change.action)
    place = f"  ({change.source.file}:{change.source.line})" if change.source else ""
    if folded and change.action is Action.CREATE:
        yield PlanRow(f"{_SYMBOLS[change.action]} {change.address}  {_in_short(change.after or {})}{place}", tone)
        return
    yield PlanRow(f"{_SYMBOLS[change.action]} {change.address}{place}", tone)
    match change.action:
        case Action.DELETE:
            yield from _deletion(change)
        case Action.UPDATE:
            for field in change.fields:
                yield PlanRow(
                    f"    {field.path or '/'}: {_side(field, field.before)} -> {_side(field, field.after)}", tone
                )
        case Action.CREATE:
            for path, value in _leaves(change.after or {}):
                yield PlanRow(f"    {path}: {_value(value)}", tone)
        case _:
            assert_never(change.action)
    if change.pending:
        yield PlanRow(f"    {change.pending} undelivered event(s) are affected", Tone.NOTE)


def _deletion(change: Change) -> Iterator[PlanRow]:
    before = change.before or {}
    yield PlanRow(f"    was {_value(before.get('name'))}, posting to {_value(before.get('url'))}", Tone.DELETE)
    if change.blocked:
        yield PlanRow(f"    blocked: {change.blocked}", Tone.BLOCKED)
    if change.lifted:
        yield PlanRow(f"    {change.lifted}", Tone.NOTE)


def _in_short(document: Mapping[str, Any]) -> str:
    """Name, channels and URL of a document that may, in a plan from elsewhere, have any shape."""
    channels = document.get("channels")
    joined = "+".join(map(str, channels)) if isinstance(channels, list) else _value(channels)
    return f"{_value(document.get('name'))}, {joined}, {_value(document.get('url'))}"


def _leaves(document: Mapping[str, Any], above: str = "") -> Iterable[tuple[str, Any]]:
    """Every set value with its path; a reference to a secret is a value. The address stands above them already."""
    for key, value in document.items():
        path = f"{above}/{key}"
        if isinstance(value, Mapping) and set(value) not in ({"env"}, {"file"}, {"name", "id"}):
            yield from _leaves(value, path)
        elif path not in {"/version", "/organization"} and (path != "/sandbox" or isinstance(value, Mapping)):
            yield path, value


def _side(field: FieldChange, value: Any) -> str:
    if value is not None:
        return _value(value)
    return "(default)" if field.path.startswith(_DEFAULTED) else "(none)"


def _value(value: Any) -> str:
    """JSON, but for references, which read as they are written in a webhook file."""
    if isinstance(value, Mapping) and set(value) in ({"env"}, {"file"}):
        ((kind, name),) = value.items()
        return f"{{{kind}: {name}}}"
    return json.dumps(value, ensure_ascii=False)
