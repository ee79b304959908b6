"""A saved plan, read back: JSON of format 1 (schemas/plan.v1.schema.json) becomes a Plan again.

A plan file may have been edited, or made by somebody who means harm. Its fingerprint is made again from its changes,
each `before` must have the hash that the change names, and what is shown of an update is found out anew. Whether
each `after` is a webhook that a file could declare is for the caller to check: rules for webhooks live in config.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from hookline.canonical import digest
from hookline.errors import Stale, WrongUse
from hookline.escaping import printable
from hookline.model import Address, Source
from hookline.plan.changes import Action, Change, Plan
from hookline.plan.diff import differences
from hookline.plan.fingerprint import fingerprint
from hookline.plan.make import possible_renames
from hookline.plan.render_json import FORMAT_VERSION
from hookline.plan.strict_json import NotStrict, parse

_AGAIN = "make the plan again: hookline plan --out FILE"
_HASH = re.compile(r"sha256:[0-9a-f]{64}")
_PLAN = frozenset({"formatVersion", "lineage", "serial", "fingerprint", "changes", "summary"})
_CHANGE = frozenset({"address", "action", "source", "before", "after", "beforeHash", "fields", "blocked", "pending"})
_SUMMARY = frozenset({"create", "update", "delete", "unchanged", "blocked"})
# What there must be of `source`, `before` and `after`.
_SIDES = {Action.CREATE: (True, False, True), Action.UPDATE: (True, True, True), Action.DELETE: (False, True, False)}


def read_plan(data: bytes, name: str) -> Plan:
    """The plan in `data`; `name` is its file, for messages.

    Raises WrongUse for what is no plan of this format, Stale for one whose changes do not fit its fingerprint.
    """
    try:
        document = parse(data)
        _refuse_other_format(document, name)
        plan = _read(document)
    except NotStrict as wrong:
        raise WrongUse(f"{name} is not a plan that can be read: {wrong}", hint=_AGAIN) from wrong
    found = fingerprint(plan.changes)
    if found != plan.fingerprint:
        raise _tampered(name, f"it says {plan.fingerprint}, and its changes give {found}")
    for change in plan.changes:
        if change.before is not None and digest(change.before) != change.before_hash:
            raise _tampered(name, f"what it shows of {printable(str(change.address))} is not what it was made on")
    return plan


def _tampered(name: str, how: str) -> Stale:
    return Stale(f"nothing is applied, for {name} was changed after it was made: {how}", hint=_AGAIN)


def _refuse_other_format(document: Any, name: str) -> None:
    found = document.get("formatVersion") if isinstance(document, dict) else None
    if type(found) is int and found > FORMAT_VERSION:
        raise WrongUse(
            f"{name} was made by a newer hookline (plan format {found}; this one reads {FORMAT_VERSION})",
            hint="upgrade hookline here, or make the plan again with this one",
        )
    _demand(type(found) is int and found == FORMAT_VERSION, "it has no formatVersion 1")


def _read(document: Any) -> Plan:
    _keys(document, _PLAN, "the plan")
    lineage, serial, written = document["lineage"], document["serial"], document["changes"]
    _demand(lineage is None or (isinstance(lineage, str) and lineage != ""), "lineage is neither text nor null")
    _demand(_counts(serial) and (serial == 0) == (lineage is None), "serial does not fit the lineage")
    _demand(_is_hash(document["fingerprint"]), "fingerprint is not sha256: and 64 digits")
    _demand(isinstance(written, list), "changes is not a list")
    changes = [_read_change(change, f"changes[{index}]") for index, change in enumerate(written)]
    changes.sort(key=lambda change: change.address)
    twice = next((one.address for one, other in pairwise(changes) if one.address == other.address), None)
    _demand(twice is None, f"{printable(str(twice))} is in it twice")
    plan = Plan(
        lineage=lineage,
        serial=serial,
        changes=tuple(changes),
        unchanged=_unchanged(document["summary"]),
        fingerprint=document["fingerprint"],
        renames=possible_renames(changes),
    )
    said = {key: document["summary"][key] for key in Action}
    _demand(said == {action: plan.count(action) for action in Action}, "summary does not count what changes holds")
    return plan


def _unchanged(summary: Any) -> int:
    _keys(summary, _SUMMARY, "summary")
    _demand(all(_counts(count) for count in summary.values()), "summary holds something else than counts")
    unchanged: int = summary["unchanged"]
    return unchanged


def _read_change(change: Any, where: str) -> Change:
    _keys(change, _CHANGE, where)
    _demand(change["action"] in [str(action) for action in Action], f"{where}.action is none that is known")
    action = Action(change["action"])
    before, after, before_hash = change["before"], change["after"], change["beforeHash"]
    for key, wanted in zip(("source", "before", "after"), _SIDES[action], strict=True):
        fits = isinstance(change[key], dict) if wanted else change[key] is None
        _demand(fits, f"{where}.{key} does not fit a change that is to {action}")
    _demand(_is_hash(before_hash) if before is not None else before_hash is None, f"{where}.beforeHash does not fit")
    _check_fields(change["fields"], action, f"{where}.fields")
    address = _address(change["address"], where)
    for key, document in (("before", before), ("after", after)):
        _demand(document is None or _is_of(document, address), f"{where}.{key} is not a webhook of {where}.address")
    blocked, pending = change["blocked"], change["pending"]
    _demand(blocked is None or isinstance(blocked, str), f"{where}.blocked is neither text nor null")
    _demand(pending is None or _counts(pending), f"{where}.pending is neither a count nor null")
    fields = differences(before, after) if action is Action.UPDATE and digest(after) != before_hash else ()
    _demand(bool(fields) == (action is Action.UPDATE), f"{where} updates nothing")
    return Change(
        address=address,
        action=action,
        source=_source(change["source"], where),
        before=before,
        after=after,
        before_hash=before_hash,
        fields=fields,
        blocked=blocked,
        pending=pending,
    )


def _address(text: Any, where: str) -> Address:
    _demand(isinstance(text, str), f"{where}.address is not text")
    try:
        return Address.parse(text)
    except ValueError as wrong:
        raise NotStrict(f"{where}.address is not ORGANIZATION/SANDBOX") from wrong


def _is_of(document: Mapping[str, Any], address: Address) -> bool:
    """Whether a document, of whatever shape, is of version 1 and says that it is this address's."""
    sandbox = document.get("sandbox")
    name = sandbox.get("name") if isinstance(sandbox, dict) else sandbox
    here = (document.get("organization"), name) == (address.organization, address.sandbox)
    whole = all(key in document for key in ("name", "channels", "url", "campaigns"))
    return here and whole and type(document.get("version")) is int and document["version"] == 1


def _source(source: Any, where: str) -> Source | None:
    if source is None:
        return None
    _keys(source, frozenset({"file", "line"}), f"{where}.source")
    fits = isinstance(source["file"], str) and _counts(source["line"]) and source["line"] > 0
    _demand(fits, f"{where}.source is not a file and a line")
    return Source(source["file"], source["line"])


def _check_fields(fields: Any, action: Action, where: str) -> None:
    """Fields are found out anew; a plan that holds something else in their place is none all the same."""
    _demand(isinstance(fields, list) and bool(fields) == (action is Action.UPDATE), f"{where} does not fit")
    for field in fields:
        _keys(field, frozenset({"path", "before", "after"}), f"an item of {where}")
        path = field["path"]
        fits = isinstance(path, str) and re.fullmatch(r"(?:/(?:[^~/]|~[01])*)*", path)
        _demand(bool(fits), f"a path in {where} is not a JSON pointer")


def _keys(value: Any, keys: frozenset[str], what: str) -> None:
    _demand(isinstance(value, dict), f"{what} is not an object")
    missing, unknown = sorted(keys - value.keys()), sorted(value.keys() - keys)
    _demand(not missing, f"{what} has no {', '.join(missing)}")
    _demand(not unknown, f"{what} has a key that no plan has: {printable(', '.join(unknown))[:80]}")


def _counts(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and _HASH.fullmatch(value) is not None


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise NotStrict(otherwise)
