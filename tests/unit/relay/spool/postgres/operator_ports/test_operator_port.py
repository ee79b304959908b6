"""What operators do to a shared spool while relays use it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import msgspec
import psycopg
import pytest

from builders import ACME
from hookline.errors import SpoolStalled
from hookline.relay.delivery_record import DeadDelivery
from hookline.relay.spool.admin import Count, Filter
from hookline.relay.spool.postgres.operator_ports import operator_port
from hookline.relay.spool.postgres.operator_ports.shared_dead_letters import SharedDeadLetters
from hookline.relay.spool.recipient import Recipient
from shared_spool import SCHEMA, SharedSpoolDatabase

_WAITING = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
A, B = b"a" * 16, b"b" * 16
LETTER = DeadDelivery(
    id=A, at=1.0, reason="x", http=None, attempts=3, history=None, webhook=ACME, request_id="request",
    channel="email", status="sent", event_time=None, detail=None, source="s", line=1, body=b"{}",
)  # fmt: skip


@pytest.fixture
def database() -> SharedSpoolDatabase:
    """A spool that knows a webhook."""
    database = SharedSpoolDatabase()
    with database.store.webhook_control() as control:
        control.resume(ACME, now=1.0)
    return database


def beside(database: SharedSpoolDatabase, *statements: str, call: Callable[[], Count]) -> Count:
    """Run the call while another session has run the statements and has not committed. It commits once the call waits
    for it."""
    found: list[Count] = []
    thread = threading.Thread(target=lambda: found.append(call()))
    with psycopg.connect(database.url()) as other:
        for statement in statements:
            other.execute(statement.replace("spool.", f"{SCHEMA}.").encode())
        thread.start()
        deadline = time.monotonic() + 30
        while database.execute(_WAITING) == [(0,)]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    thread.join(timeout=30)
    return found[0]


@pytest.mark.parametrize("action", ["replay", "discard"])
@pytest.mark.parametrize(
    ("statement", "left"),
    [
        ("DELETE FROM spool.delivery", 0),
        ("UPDATE spool.delivery SET state = 0, settled = NULL, due = 5", 1),
        ("UPDATE spool.delivery SET settled = 99", 1),
    ],
    ids=["discarded", "replayed", "replayed and dead again"],
)
def test_a_letter_that_another_session_changes_is_left_alone(
    database: SharedSpoolDatabase, action: str, statement: str, left: int
) -> None:
    """It waits for that session, and finds that the letter of its list is not there any more."""
    database.put_dead(A)

    def act() -> Count:
        with database.store.dead_letters() as dead:
            return dead.replay(Filter(), now=50.0) if action == "replay" else dead.discard(Filter(), now=50.0)

    assert Count(0, 0) == beside(database, statement, call=act)
    assert left == len(database.states())
    assert [] == database.execute("SELECT * FROM spool.tally_change")


def test_an_import_waits_for_ingest_into_its_slot(database: SharedSpoolDatabase) -> None:
    """An event that is stored at the same moment with the same id remains, and the letter is known."""
    database.put_dead(B)
    slot = database.execute("SELECT slot FROM spool.webhook")[0][0]

    def import_letter() -> Count:
        with database.store.dead_letter_import() as imported:
            return imported.add([LETTER])

    store = (
        f"SELECT 1 FROM spool.ingest_lock WHERE slot = {slot} FOR UPDATE",
        f"UPDATE spool.delivery SET id = decode('{A.hex()}', 'hex'), state = 0",
    )
    assert Count(0, 0) == beside(database, *store, call=import_letter)
    assert [(A, 0)] == database.states()


def test_a_delivered_letter_is_known_to_an_import(database: SharedSpoolDatabase) -> None:
    """The id of a record is known, as long as the record exists."""
    database.put_dead(A)
    with database.store.dead_letters() as dead:
        dead.discard(Filter(), now=20.0)
    with database.store.dead_letter_import() as imported:
        assert Count(0, 0) == imported.add([LETTER])


def test_a_letter_with_a_character_that_the_server_cannot_store(database: SharedSpoolDatabase) -> None:
    """JSON may have a NUL character. It is replaced, and the letter is imported."""
    letter = msgspec.structs.replace(LETTER, detail="full\0box", request_id="\0")
    with database.store.dead_letter_import() as imported:
        assert Count(1, 0) == imported.add([letter])
    with database.store.dead_letters() as dead:
        (found,) = dead.all_in_order(Filter())
    assert msgspec.structs.replace(letter, detail="full\ufffdbox", request_id="\ufffd") == found


def test_many_letters_are_changed_in_several_transactions(database: SharedSpoolDatabase) -> None:
    """Each chunk is reported, and is kept if a later one fails."""
    ids = [bytes([n]) * 16 for n in range(7)]
    database.put_dead(*ids)
    seen: list[Count] = []
    with SharedDeadLetters(database.store.connection(), chunk=3) as dead:
        assert ids == [one.id for one in dead.all_in_order(Filter()) if isinstance(one, DeadDelivery)]
        assert Count(7, 0) == dead.replay(Filter(), now=20.0, on_progress=seen.append)
    assert [Count(3, 0), Count(6, 0), Count(7, 0)] == seen
    assert [("replayed", 7)] == database.execute("SELECT name, sum(count)::int FROM spool.tally_change GROUP BY name")


def test_a_locked_row_does_not_hold_a_command_up_for_ever(
    database: SharedSpoolDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command ends with the reason, and its transaction has changed nothing."""
    monkeypatch.setattr(operator_port, "_SETTINGS", "SET LOCAL lock_timeout = '100ms'")
    database.put_dead(A)
    with psycopg.connect(database.url()) as other:
        other.execute(f"SELECT 1 FROM {SCHEMA}.meta FOR UPDATE".encode())
        with database.store.dead_letters() as dead, pytest.raises(SpoolStalled, match="lock timeout"):
            dead.replay(Filter(), now=50.0)
    assert [(A, 2)] == database.states()


def test_a_retry_that_its_owner_settles_now_is_left_to_it(database: SharedSpoolDatabase) -> None:
    """`retry-now` does not wait for a settlement in progress, and makes all others due."""
    database.put_dead(A, B)
    database.execute("UPDATE spool.delivery SET state = 0, due = 900")
    with psycopg.connect(database.url()) as owner:
        owner.execute(f"DELETE FROM {SCHEMA}.delivery WHERE id = %s", (A,))
        with database.store.webhook_control() as control:
            assert 1 == control.retry_now(ACME, now=50.0)
    assert [(B, 50.0)] == database.execute("SELECT id, due FROM spool.delivery")


def test_a_delivery_that_its_owner_settles_now_is_forgotten_as_a_record(database: SharedSpoolDatabase) -> None:
    """`forget` does not wait for a settlement in progress, and finds its record by the next search. If the
    settlement does not end, the rest is named, and the same call does it later."""
    database.put_dead(A, B)
    database.execute("UPDATE spool.delivery SET body = 'ann@acme.example', state = 0")
    recipient = Recipient("ann@acme.example")
    with psycopg.connect(database.url()) as owner, database.store.recipient_removal() as removal:
        owner.execute(f"SELECT 1 FROM {SCHEMA}.delivery WHERE id = %s FOR UPDATE", (A,))
        result = removal.forget(recipient, now=50.0)
    assert (1, frozenset({B})) == (result.count.pending, result.pending_ids)
    assert "run the command again" in result.remains[0]
    with database.store.recipient_removal() as removal:
        result = removal.forget(recipient, now=50.0)
    assert (1, ()) == (result.count.pending, result.remains)
    assert [(2,)] == database.execute("SELECT count(*) FROM spool.record WHERE state = 3 AND reason = 'forgotten'")
    assert [(50.0,)] == database.execute("SELECT forgotten_at FROM spool.webhook")
