"""Reads a plan from a file: JSON of format 1, as `plan_document` writes it.

A plan file is untrusted input: it may have been edited by mistake or on purpose. The structs below describe its form.
The reader then computes the fingerprint and the fields of each update again, and checks that each `before` has the
`beforeHash` of its change. The caller checks that each `after` is a webhook that a file could declare, because the
rules for webhooks live in config.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from hookline.canonical import digest
from hookline.errors import Stale, WrongUse
from hookline.escaping import printable
from hookline.model import Address, FileLocation, SourcePlace
from hookline.plan.diff import differences
from hookline.plan.plan import Action, Change, Plan, fingerprint
from hookline.plan.plan_document import FORMAT_VERSION
from hookline.plan.planner import possible_renames
from hookline.policy.policy import RuleLevel
from hookline.policy.violation import Violation, ViolationKind

# A webhook file may be nested 50 deep; a plan adds a few levels.
MAX_PLAN_DEPTH = 60
# A reader that stores numbers as doubles changes larger ones (RFC 8259 §6). Webhook files refuse them as well.
MAX_EXACT_INTEGER = 2**53 - 1

_PLAN_AGAIN = "make the plan again: hookline plan --out FILE"
_MAX_MESSAGE_CHARACTERS = 200

_Count = Annotated[int, Meta(ge=0)]
_Hash = Annotated[str, Meta(pattern=r"^sha256:[0-9a-f]{64}\Z")]
_Pointer = Annotated[str, Meta(pattern=r"^(?:/(?:[^~/]|~[01])*)*\Z")]  # RFC 6901


# The keys of a change that its action requires. The others of these keys are null.
_OPTIONAL_KEYS = {"moved_from": "movedFrom", "source": "source", "before": "before", "after": "after"}
_REQUIRED_KEYS = {
    Action.CREATE: {"source", "after"},
    Action.UPDATE: {"source", "before", "after"},
    Action.DELETE: {"before"},
    Action.MOVE: {"moved_from", "source", "before", "after"},
}


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Every field is required, and no other is accepted."""


class _Source(_Strict, frozen=True):
    file: str
    line: Annotated[int, Meta(ge=1)]


class _Field(_Strict, frozen=True):
    path: _Pointer
    before: Any
    after: Any


class _Change(_Strict, frozen=True):
    address: str
    action: Action
    moved_from: str | None
    source: _Source | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    before_hash: _Hash | None
    fields: list[_Field]
    blocked: str | None
    pending: _Count | None


class _Place(_Strict, frozen=True):
    file: str
    line: Annotated[int, Meta(ge=1)]
    column: Annotated[int, Meta(ge=1)]


class _Violation(_Strict, frozen=True):
    """A violation at the time of the plan. An apply checks the policy of the state again."""

    code: ViolationKind
    rule: str
    level: RuleLevel
    message: str
    detail: str | None
    address: str | None
    path: _Pointer
    place: _Place | None
    overridable: bool
    overridden: str | None


class _Summary(_Strict, frozen=True):
    create: _Count
    update: _Count
    delete: _Count
    move: _Count
    unchanged: _Count
    blocked: _Count


class _PlanFile(_Strict, frozen=True):
    format_version: Literal[1]
    lineage: Annotated[str, Meta(min_length=1)] | None
    serial: _Count
    fingerprint: _Hash
    changes: list[_Change]
    summary: _Summary
    violations: list[_Violation]  # an apply checks the policy again


def read_plan(data: bytes, name: str) -> Plan:
    """The plan in `data`, the file `name`. Raises WrongUse if it is no plan of format 1, Stale if it was edited."""
    try:
        _refuse_other_format(_check_json(data), name)
        plan = _plan(msgspec.json.decode(data, type=_PlanFile))
    except (_InvalidPlan, msgspec.MsgspecError) as invalid:
        malformed = isinstance(invalid, msgspec.DecodeError) and not isinstance(invalid, msgspec.ValidationError)
        reason = printable(f"{'not strict JSON: ' if malformed else ''}{invalid}")[:_MAX_MESSAGE_CHARACTERS]
        raise WrongUse(f"the plan {name} cannot be read: {reason}", hint=_PLAN_AGAIN) from invalid
    found = fingerprint(plan.changes)
    if found != plan.fingerprint:
        raise _edited_plan_error(name, f"its fingerprint is {plan.fingerprint}, but its changes give {found}")
    for change in plan.changes:
        if change.before is not None and digest(change.before) != change.before_hash:
            raise _edited_plan_error(name, f"before of {printable(str(change.address))} does not match beforeHash")
    return plan


def _edited_plan_error(name: str, detail: str) -> Stale:
    return Stale(f"nothing was applied: {name} was edited after it was made: {detail}", hint=_PLAN_AGAIN)


class _InvalidPlan(ValueError):
    """The text is the reason, without the name of the file."""


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise _InvalidPlan(otherwise)


def _refuse_other_format(document: Any, name: str) -> None:
    found = document.get("formatVersion") if isinstance(document, dict) else None
    if type(found) is int and found > FORMAT_VERSION:
        newer = f"plan format {found}; this one reads {FORMAT_VERSION}"
        hint = "upgrade hookline here, or make the plan again with this one"
        raise WrongUse(f"the plan {name} was made by a newer hookline ({newer})", hint=hint)
    _require(type(found) is int and found == FORMAT_VERSION, "it has no formatVersion 1")


def _plan(file: _PlanFile) -> Plan:
    _require((file.serial == 0) == (file.lineage is None), "serial and lineage do not match")
    changes = [_change(change, f"changes[{index}]") for index, change in enumerate(file.changes)]
    changes.sort(key=lambda change: change.address)
    addresses = sorted(address for change in changes for address in change.addresses)
    twice = next((one for one, other in pairwise(addresses) if one == other), None)
    _require(twice is None, f"{twice} occurs twice")
    plan = Plan(
        lineage=file.lineage,
        serial=file.serial,
        changes=tuple(changes),
        unchanged=file.summary.unchanged,
        fingerprint=file.fingerprint,
        renames=possible_renames(changes),
        violations=tuple(_violation(one, f"violations[{index}]") for index, one in enumerate(file.violations)),
    )
    counted = {action: getattr(file.summary, action) for action in Action}
    _require(counted == {action: plan.count(action) for action in Action}, "summary does not match changes")
    return plan


def _change(change: _Change, where: str) -> Change:
    action, before, after = change.action, change.before, change.after
    for key, name in _OPTIONAL_KEYS.items():
        matches = (getattr(change, key) is not None) == (key in _REQUIRED_KEYS[action])
        _require(matches, f"{where}.{name} does not match the action {action}")
    _require((before is None) == (change.before_hash is None), f"{where}.beforeHash does not match before")
    has_fields = action in {Action.UPDATE, Action.MOVE}
    _require(bool(change.fields) == has_fields, f"{where}.fields does not match the action")
    address = _address(change.address, f"{where}.address")
    old = None if change.moved_from is None else _address(change.moved_from, f"{where}.movedFrom")
    for key, document, own in (("before", before, old or address), ("after", after, address)):
        valid = document is None or _is_webhook_of(document, own)
        _require(valid, f"{where}.{key} is not a webhook of {where}.{'movedFrom' if own == old else 'address'}")
    # The fields in the file are ignored, because edited fields could hide the real update.
    updates = before is not None and after is not None and digest(after) != change.before_hash
    fields = differences(before or {}, after or {}) if updates else ()
    _require(bool(fields) == has_fields, f"{where} changes no field")
    return Change(
        address=address,
        action=action,
        moved_from=old,
        source=None if change.source is None else FileLocation(change.source.file, change.source.line),
        before=before,
        after=after,
        before_hash=change.before_hash,
        fields=fields,
        blocked=change.blocked,
        pending=change.pending,
    )


def _violation(found: _Violation, where: str) -> Violation:
    place = found.place
    return Violation(
        kind=found.code,
        rule=found.rule,
        level=found.level,
        message=found.message,
        address=None if found.address is None else _address(found.address, where),
        path=found.path,
        place=None if place is None else SourcePlace(place.file, place.line, place.column),
        overridable=found.overridable,
        detail=found.detail,
        overridden=found.overridden,
    )


def _address(text: str, where: str) -> Address:
    try:
        return Address.parse(text)
    except ValueError as invalid:
        raise _InvalidPlan(f"{where} is not ORGANIZATION/SANDBOX") from invalid


def _is_webhook_of(document: Mapping[str, Any], address: Address) -> bool:
    """Whether a document of any form has version 1, this address and the required keys."""
    sandbox = document.get("sandbox")
    name = sandbox.get("name") if isinstance(sandbox, dict) else sandbox
    same_address = (document.get("organization"), name) == (address.organization, address.sandbox)
    complete = all(key in document for key in ("name", "channels", "url", "campaigns"))
    return same_address and complete and type(document.get("version")) is int and document["version"] == 1


def _check_json(data: bytes) -> Any:
    """Refuse JSON that msgspec accepts but that readers interpret differently (RFC 7493, I-JSON). Return its value.

    msgspec takes the last of two equal keys, and its messages count bytes instead of lines. Raises _InvalidPlan.
    """
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_unique)
    except UnicodeDecodeError as wrong:
        raise _InvalidPlan(f"byte {wrong.start} is not UTF-8") from wrong
    except json.JSONDecodeError as wrong:
        raise _InvalidPlan(f"not JSON at line {wrong.lineno}, column {wrong.colno}") from wrong
    except RecursionError as wrong:
        raise _InvalidPlan("it is nested too deeply") from wrong
    except _InvalidPlan:
        raise
    except ValueError as wrong:  # Python refuses a number with thousands of digits
        raise _InvalidPlan("it has a number that is too long") from wrong
    level, depth = [value], 0
    while level:
        depth += 1
        _require(depth <= MAX_PLAN_DEPTH, f"it is nested deeper than {MAX_PLAN_DEPTH}")
        level = [inner for item in level for inner in _inside(item)]
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        twice = next(key for key, number in Counter(key for key, _ in pairs).items() if number > 1)
        raise _InvalidPlan(f"the key {json.dumps(twice)[:80]} occurs twice in one object")
    return value


def _inside(value: Any) -> Iterable[Any]:
    match value:
        case dict():
            return value.values()
        case list():
            return value
        case int():
            _require(abs(value) <= MAX_EXACT_INTEGER, "it has a number above 2**53 - 1, which some readers round")
    return ()
