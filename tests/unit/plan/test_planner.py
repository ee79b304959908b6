"""The plan as a value: what it says of the state it was made on, and what moves its fingerprint."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from builders import desired, document
from hookline.canonical import digest
from hookline.model import Address, FileLocation
from hookline.plan.deletion_guard import DeletionLimits
from hookline.plan.plan import Action, Plan, Rename, fingerprint
from hookline.plan.planner import make_plan
from hookline.state.store import EMPTY, Snapshot, Stored


def snapshot(*documents: dict[str, Any], serial: int = 3) -> Snapshot:
    canonical = [{**document, "channels": sorted(document["channels"])} for document in documents]
    return Snapshot("L", serial, {Address("acme", d["sandbox"]): Stored.of(d) for d in canonical})


def test_same_webhook_in_another_spelling() -> None:
    """What differs only in the order of a set, in spelled-out defaults or in a duration's unit is unchanged."""
    stored = snapshot(document("prod", channels=["sms", "email"], delivery={"timeout": "1m"}))
    other = document("prod", channels=["email", "sms"], enabled=True, delivery={"timeout": "60s", "concurrency": 16})
    plan = make_plan(stored, desired(other), DeletionLimits())
    assert (plan.changes, plan.unchanged) == ((), 1)


def test_other_spelling_of_the_stored_text() -> None:
    """A stored document that somebody formatted by hand is unchanged if its content is."""
    text = json.dumps(document("prod"), indent=2)
    stored = Snapshot("L", 3, {Address("acme", "prod"): Stored(text)})
    plan = make_plan(stored, desired(document("prod")), DeletionLimits())
    assert (plan.changes, plan.unchanged) == ((), 1)


def test_first_plan() -> None:
    """Before the first apply the plan is for no lineage and serial 0, and creates everything, by address."""
    plan = make_plan(EMPTY, desired(document("b"), document("a")), DeletionLimits())
    assert (plan.lineage, plan.serial) == (None, 0)
    assert [(str(c.address), c.action) for c in plan.changes] == [
        ("acme/a", Action.CREATE),
        ("acme/b", Action.CREATE),
    ]


def test_change_says_where_and_from_what() -> None:
    """An update carries both documents, the hash of what is applied, and the place where it is written."""
    stored = snapshot(document("prod"))
    (change,) = make_plan(stored, desired(document("prod", url="https://b.example/")), DeletionLimits()).changes
    assert FileLocation("webhooks/a.yaml", 1) == change.source
    assert change.before is not None
    assert digest(change.before) == change.before_hash
    assert change.after == {**change.before, "url": "https://b.example/"}


def test_rename_is_recognized() -> None:
    """A deletion and a creation that differ in nothing but the address are a possible rename, each once."""
    stored = snapshot(document("a"), document("b"), document("c", name="Other"))
    plan = make_plan(stored, desired(document("x"), document("y", name="Third")), DeletionLimits())
    assert (Rename(Address("acme", "a"), Address("acme", "x")),) == plan.renames


def test_pending_events() -> None:
    """With a look at the spool every change of a stored webhook says how many events it touches, none included."""
    stored = snapshot(document("a"), document("b"), document("c"))
    wanted = desired(document("a", name="Other"), document("c"), document("new"))
    plan = make_plan(stored, wanted, DeletionLimits(), pending={Address("acme", "a"): 214})
    assert {c.address.sandbox: c.pending for c in plan.changes} == {"a": 214, "b": 0, "new": None}
    without = make_plan(stored, wanted, DeletionLimits())
    assert {None} == {change.pending for change in without.changes}


@pytest.fixture
def plan() -> Plan:
    stored = snapshot(document("a"), document("b"))
    return make_plan(stored, desired(document("a", name="Other"), document("c")), DeletionLimits())


def test_fingerprint_ignores_what_moves_by_itself(plan: Plan) -> None:
    """Another serial, file, line, count of pending events or blocked deletion leaves the fingerprint alone."""
    stored = snapshot(document("a"), document("b"), serial=9)
    wanted = desired(document("a", name="Other"), document("c"), file="elsewhere.yaml")
    other = make_plan(stored, wanted, DeletionLimits(max_deletes=0), pending={Address("acme", "a"): 5})
    assert other.blocked
    assert plan.fingerprint == other.fingerprint


def test_fingerprint_sees_what_is_done(plan: Plan) -> None:
    """Address, action, earlier address, hash before and document after each change the fingerprint."""
    update = plan.changes[0]
    assert Action.UPDATE is update.action
    others = [
        dataclasses.replace(update, address=Address("acme", "z")),
        dataclasses.replace(update, action=Action.CREATE),
        dataclasses.replace(update, moved_from=Address("acme", "y")),
        dataclasses.replace(update, before_hash="sha256:0"),
        dataclasses.replace(update, after={**(update.after or {}), "name": "Third"}),
    ]
    assert len({fingerprint([change]) for change in (update, *others)}) == 6


def test_fingerprint_ignores_order(plan: Plan) -> None:
    """The same changes in another order are the same plan."""
    assert plan.fingerprint == fingerprint(reversed(plan.changes))
