"""The history of each webhook."""

from __future__ import annotations

from builders import ACME, document, entry
from hookline.model import Address
from hookline.state.store import EMPTY, HistoryRecord, Stored
from hookline.web.applied_state_reader import AppliedWebhooks, changes_by_address
from hookline.web.webhook_view import blame_rows, history_rows

OTHER, THIRD = Address("acme", "stage"), Address("acme", "test")


def record(serial: int, *changes: dict[str, object]) -> HistoryRecord:
    return HistoryRecord(serial, entry(f"user {serial}", changes=changes), "hash")


def change(address: Address, moved_from: Address | None = None, **fields: object) -> dict[str, object]:
    action = "create" if moved_from is None else "move"
    return {"address": str(address), "action": action, "after": document(address, **fields), "fields": [],
            "movedFrom": None if moved_from is None else str(moved_from)}  # fmt: skip


def test_a_moved_webhook_keeps_its_history() -> None:
    """The changes follow a webhook through its addresses. Another webhook at an earlier address is not mixed in."""
    records = [
        record(1, change(ACME, name="first")),
        record(2, change(OTHER, ACME, name="first"), change(THIRD)),
        record(3, change(ACME, name="another webhook")),
        record(4, change(THIRD, name="third")),
        record(5, change(OTHER, name="last")),
    ]
    applied = AppliedWebhooks(EMPTY, changes_by_address(records))
    moved = applied.changes_of(OTHER)
    assert [1, 2, 5] == [one.record.serial for one in moved]
    assert [5, 2, 1] == [row.origin.serial for row in history_rows(moved, None)]
    assert str(ACME) == history_rows(moved, None)[1].moved_from
    assert [2, 4] == [one.record.serial for one in applied.changes_of(THIRD)]
    blame = {
        row.path: row.origin and row.origin.serial
        for row in blame_rows(Stored.of(document(OTHER, name="last")), moved, None)
    }
    assert (5, 1, 2) == (blame["/name"], blame["/url"], blame["/sandbox"])
