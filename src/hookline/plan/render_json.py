"""A plan as JSON, format 1: schemas/plan.v1.schema.json."""

from __future__ import annotations

from typing import Any

from hookline.plan.changes import Action, Change, Plan

FORMAT_VERSION = 1


def plan_document(plan: Plan) -> dict[str, Any]:
    """Equal plans give equal documents, in the same order of keys."""
    return {
        "formatVersion": FORMAT_VERSION,
        "lineage": plan.lineage,
        "serial": plan.serial,
        "fingerprint": plan.fingerprint,
        "changes": [change_document(change) for change in plan.changes],
        "summary": {
            "create": plan.count(Action.CREATE),
            "update": plan.count(Action.UPDATE),
            "delete": plan.count(Action.DELETE),
            "unchanged": plan.unchanged,
            "blocked": len(plan.blocked),
        },
    }


def change_document(change: Change) -> dict[str, Any]:
    """One change, as a plan and as the history keep it."""
    return {
        "address": str(change.address),
        "action": str(change.action),
        "source": None if change.source is None else {"file": change.source.file, "line": change.source.line},
        "before": change.before,
        "after": change.after,
        "beforeHash": change.before_hash,
        "fields": [{"path": field.path, "before": field.before, "after": field.after} for field in change.fields],
        "blocked": change.blocked,
        "pending": change.pending,
    }
