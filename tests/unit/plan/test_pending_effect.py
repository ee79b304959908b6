"""The sentences of a plan about pending deliveries."""

from __future__ import annotations

from typing import Any

import pytest

from builders import document
from hookline.model import Address
from hookline.plan.diff import differences
from hookline.plan.pending_effect import pending_effect, pending_summary
from hookline.plan.plan import Action, Change, Plan

PROD = Address("acme", "prod")
OTHER = {"url": "https://new.acme.example/"}
NAME = {"name": "Other"}
OFF: dict[str, Any] = {"enabled": False}
SHORTER = {"delivery": {"retry": {"maxAge": "1h"}}}


def change(action: Action, pending: int | None, before: dict[str, Any], after: dict[str, Any]) -> Change:
    old = None if action is Action.CREATE else document(PROD, **before)
    new = None if action is Action.DELETE else document(PROD, **after)
    return Change(
        address=PROD, action=action, source=None, before=old, after=new, before_hash=None, pending=pending,
        fields=differences(old, new) if old is not None and new is not None else (),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("action", "pending", "before", "after", "expected"),
    [
        (Action.DELETE, 214, {}, {}, "214 pending deliveries become dead letters"),
        (Action.DELETE, 1, {}, {}, "1 pending delivery becomes a dead letter"),
        (Action.DELETE, 0, {}, {}, None),
        (Action.DELETE, None, {}, {}, "pending deliveries, if there are any, become dead letters"),
        (Action.UPDATE, 1214, {}, OTHER, "1,214 pending deliveries are sent to the new URL"),
        (Action.UPDATE, None, {}, OTHER, "pending deliveries, if there are any, are sent to the new URL"),
        (Action.UPDATE, 0, {}, OTHER, None),
        (Action.UPDATE, 1, {}, NAME, "1 pending delivery is sent with the new configuration"),
        (Action.UPDATE, None, {}, NAME, None),
        (Action.UPDATE, 2, OFF, {}, "sending starts: 2 pending deliveries are sent"),
        (Action.UPDATE, 0, OFF, {}, "sending starts"),
        (Action.UPDATE, None, OFF, OTHER, "sending starts: pending deliveries, if there are any, are sent"),
        (Action.UPDATE, 2, {}, OFF, "sending stops: 2 pending deliveries remain in the spool until it is enabled"),
        (Action.UPDATE, 0, {}, OFF, "sending stops"),
        (Action.UPDATE, 1, OFF, OFF | OTHER, "1 pending delivery remains in the spool"),
        (Action.UPDATE, None, OFF, OFF | OTHER, None),
        (
            Action.UPDATE, 3, {}, OTHER | SHORTER,
            "3 pending deliveries are sent to the new URL; those older than the new maxAge become dead letters",
        ),
        (Action.CREATE, 2, {}, {}, "2 pending deliveries to this address are sent"),
        (Action.CREATE, 0, {}, {}, None),
        (Action.CREATE, None, {}, {}, None),
    ],
)  # fmt: skip
def test_effect(
    action: Action, pending: int | None, before: dict[str, Any], after: dict[str, Any], expected: str | None
) -> None:
    """Each change names the number of pending deliveries, if a spool was read, and what becomes of them."""
    assert expected == pending_effect(change(action, pending, before, after))


def test_sum_of_the_deletions() -> None:
    """The summary adds up the deliveries that are lost to their endpoints."""
    changes = (change(Action.DELETE, 2, {}, {}), change(Action.DELETE, 3, {}, {}), change(Action.UPDATE, 9, {}, NAME))
    plan = Plan(lineage="L", serial=1, changes=changes, unchanged=0, fingerprint="")
    assert "5 pending deliveries become dead letters." == pending_summary(plan)
