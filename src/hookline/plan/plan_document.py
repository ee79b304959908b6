"""A plan as JSON of format 1 (schemas/plan.v1.schema.json), for plan files and the history. `plan_file` reads it."""

from __future__ import annotations

from typing import Any

from hookline.plan.plan import Action, Change, Plan
from hookline.policy.violation import Violation

FORMAT_VERSION = 1


def plan_document(plan: Plan) -> dict[str, Any]:
    """The plan as JSON values. Equal plans give equal documents, with the keys in the same order."""
    return {
        "formatVersion": FORMAT_VERSION,
        "lineage": plan.lineage,
        "serial": plan.serial,
        "fingerprint": plan.fingerprint,
        "changes": [change_document(change) for change in plan.changes],
        "violations": [violation_document(violation) for violation in plan.violations],
        "summary": {
            **{str(action): plan.count(action) for action in Action},
            "unchanged": plan.unchanged,
            "blocked": len(plan.blocked),
        },
    }


def violation_document(violation: Violation) -> dict[str, Any]:
    """One violation of the policy as JSON values."""
    place = violation.place
    return {
        "code": str(violation.kind),
        "rule": violation.rule,
        "level": str(violation.level),
        "message": violation.message,
        "detail": violation.detail,
        "address": None if violation.address is None else str(violation.address),
        "path": violation.path,
        "place": None if place is None else {"file": place.file, "line": place.line, "column": place.column},
        "overridable": violation.overridable,
        "overridden": violation.overridden,
    }


def change_document(change: Change) -> dict[str, Any]:
    """One change as JSON values, for a plan file and for the history."""
    return {
        "address": str(change.address),
        "action": str(change.action),
        "movedFrom": None if change.moved_from is None else str(change.moved_from),
        "source": None if change.source is None else {"file": change.source.file, "line": change.source.line},
        "before": change.before,
        "after": change.after,
        "beforeHash": change.before_hash,
        "fields": [{"path": field.path, "before": field.before, "after": field.after} for field in change.fields],
        "blocked": change.blocked,
        "pending": change.pending,
    }
