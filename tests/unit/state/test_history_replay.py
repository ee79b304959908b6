"""What history says: documents, who set which field, and whether the state is still that."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import document, entry
from hookline.canonical import canonical_json
from hookline.model import Address, Desired
from hookline.plan.deletion_guard import DeletionLimits
from hookline.plan.plan import Plan
from hookline.plan.plan_document import change_document
from hookline.plan.planner import make_plan
from hookline.state.drift import Drift, DriftedField, DriftedWebhook, DriftKind, find_drift
from hookline.state.history_chain import entry_hash, genesis_hash
from hookline.state.history_replay import blame_fields, desired_at, replay_history
from hookline.state.rows import history_row, read_history
from hookline.state.store import EMPTY, HistoryRecord, Snapshot
from random_webhooks import desired, documents

PROD = Address("acme", "prod")
STAGE = Address("acme", "stage")
FREE = DeletionLimits(max_deletes=10_000)


def history(*applies: dict[Address, dict[str, Any] | None]) -> tuple[Snapshot, tuple[HistoryRecord, ...]]:
    """The state and history after some applies, each given by the documents it writes."""
    snapshot, records, previous = EMPTY, [], genesis_hash("L")
    for serial, written in enumerate(applies, start=1):
        changes = tuple(
            {"address": str(address), "action": "delete" if after is None else "update", "after": after}
            for address, after in written.items()
        )
        previous = entry_hash(previous, serial, entry(changes=changes))
        records.append(HistoryRecord(serial, entry(changes=changes), previous))
        snapshot = snapshot.after("L", written)
    return snapshot, tuple(records)


def test_replay_to_every_serial() -> None:
    """Replaying to a serial gives the documents of that time, each with the apply that wrote it last."""
    first, second = document(PROD), document(PROD, name="Second")
    _, records = history({PROD: first, STAGE: document(STAGE)}, {PROD: second}, {STAGE: None})
    at = {
        serial: {
            address: (found.document["name"], found.serial)
            for address, found in replay_history(records, serial).items()
        }
        for serial in (1, 2, 3)
    }
    assert {
        1: {PROD: ("Feedback", 1), STAGE: ("Feedback", 1)},
        2: {PROD: ("Second", 2), STAGE: ("Feedback", 1)},
        3: {PROD: ("Second", 2)},
    } == at
    assert replay_history(records) == replay_history(records, 3)


@pytest.mark.parametrize(
    "change",
    [
        {"address": "acme/prod", "action": "x"},
        {"address": "acme", "after": None},
        {"address": "a/b", "after": "text"},
    ],
)
def test_history_that_holds_no_plan(change: dict[str, Any]) -> None:
    """An entry with something else than a plan's changes is named by its serial."""
    with pytest.raises(ValueError, match="entry of serial 7"):
        replay_history([HistoryRecord(7, entry(changes=(change,)), "")])


def blamed(records: tuple[HistoryRecord, ...], stored: dict[str, Any]) -> dict[str, int | None]:
    return {each.path: each.record.serial if each.record else None for each in blame_fields(PROD, stored, records)}


def test_blame_of_each_field() -> None:
    """A field is blamed on the apply since which it has its value; a value that came back is set anew."""
    last = document(PROD, url="https://hooks.acme.example/b", headers={"x-team": "crm", "x-key": {"env": "A"}})
    _, records = history(
        {PROD: document(PROD, owner="ada", headers={"x-team": "crm"})},
        {PROD: document(PROD, name="Second", headers={"x-team": "crm"})},
        {STAGE: document(STAGE)},
        {PROD: last},
    )
    assert {
        "/version": 1,
        "/organization": 1,
        "/sandbox": 1,
        "/name": 4,
        "/channels": 1,
        "/url": 4,
        "/campaigns": 1,
        "/headers/x-team": 1,
        "/headers/x-key": 4,
    } == blamed(records, last)


def test_blame_after_a_deletion() -> None:
    """What was deleted and created again is blamed on the creation, whatever its values were before."""
    _, records = history({PROD: document(PROD)}, {PROD: None}, {PROD: document(PROD)})
    assert {3} == set(blamed(records, document(PROD)).values())


def test_blame_of_what_no_apply_set() -> None:
    """A value that was changed by hand, and a field put in by hand, are blamed on no apply."""
    _, records = history({PROD: document(PROD)})
    found = blamed(records, document(PROD, name="By hand", enabled=False))
    assert {"/name", "/enabled"} == {path for path, serial in found.items() if serial is None}


def test_blame_tells_values_apart_as_json_does() -> None:
    """1, 1.0 and true are different values, so each is set anew; a name with a slash is one part of a path."""
    first = document(PROD, authentication={"type": "jwt", "claims": {"a/b~c": 1}})
    second = document(PROD, authentication={"type": "jwt", "claims": {"a/b~c": True}})
    _, records = history({PROD: first}, {PROD: second})
    assert 2 == blamed(records, second)["/authentication/claims/a~1b~0c"]


def test_no_drift() -> None:
    """A state that is what was applied has none, and is false."""
    stored, records = history({PROD: document(PROD), STAGE: document(STAGE)}, {STAGE: None})
    assert Drift((), ()) == find_drift(stored, records)
    assert not find_drift(stored, records)


def test_every_kind_of_drift() -> None:
    """A document changed, added or removed by hand is told apart, with its fields and the apply it departs from."""
    stored, records = history({PROD: document(PROD, owner="ada"), STAGE: document(STAGE)})
    added = Address("beta", "prod")
    by_hand = {
        PROD: document(PROD, url="https://evil.example/", enabled=False),
        STAGE: None,
        added: document(added),
    }
    edited = Snapshot("L", 1, stored.after("L", by_hand).webhooks)
    changes = (
        DriftedField("/enabled", None, False),
        DriftedField("/owner", "ada", None),
        DriftedField("/url", "https://hooks.acme.example/a", "https://evil.example/"),
    )
    assert Drift(
        (),
        (
            DriftedWebhook(PROD, DriftKind.CHANGED, 1, changes),
            DriftedWebhook(STAGE, DriftKind.REMOVED, 1),
            DriftedWebhook(added, DriftKind.ADDED, None),
        ),
    ) == find_drift(edited, records)


@settings(max_examples=60)
@given(st.lists(desired(), min_size=2, max_size=4), st.data())
def test_rollback_restores_byte_for_byte(applies: list[Desired], data: st.DataObject) -> None:
    """Whatever was applied in whatever order, applying the plan back to a serial restores every byte of that time."""
    snapshots, records = [EMPTY], []
    for serial, one in enumerate(applies, start=1):
        plan = make_plan(snapshots[-1], one, FREE)
        records.append(
            HistoryRecord(serial, entry(changes=tuple(change_document(change) for change in plan.changes)), "")
        )
        snapshots.append(after(snapshots[-1], plan))
    serial = data.draw(st.integers(1, len(applies)))

    back = make_plan(snapshots[-1], desired_at(as_stored(records), serial), FREE)

    assert as_bytes(snapshots[serial]) == as_bytes(after(snapshots[-1], back))
    assert as_bytes(snapshots[serial]) == {
        address: canonical_json(document) for address, document in documents(applies[serial - 1]).items()
    }


def after(snapshot: Snapshot, plan: Plan) -> Snapshot:
    return snapshot.after("L", {change.address: change.after for change in plan.changes})


def as_bytes(snapshot: Snapshot) -> dict[Address, bytes]:
    return {address: canonical_json(stored.document) for address, stored in snapshot.webhooks.items()}


def as_stored(records: list[HistoryRecord]) -> tuple[HistoryRecord, ...]:
    """Written as rows of a store and read back."""
    return read_history(history_row(record) for record in records)


def test_rollback_to_a_document_of_another_webhook() -> None:
    """A history entry whose document is of another address is not restored from."""
    _, records = history({PROD: document(STAGE)})
    with pytest.raises(ValueError, match="serial 1 has acme/stage for acme/prod"):
        desired_at(records, 1)
    _, records = history({PROD: {"version": 1}})
    with pytest.raises(ValueError, match="serial 1 has no valid webhook for acme/prod"):
        desired_at(records, 1)
