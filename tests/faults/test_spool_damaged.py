"""A spool whose database is damaged in many ways: recovery saves the readable rows, and its report is true.

The tests damage real spools. The tally of each recovered spool must balance, and a relay must be able to use it.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from builders import ACME, event, ingest_batch, line, settlement, xdm_event
from hookline.errors import MessagesKnown, SpoolUnusable, WrongUse
from hookline.model import Address
from hookline.relay.delivery_record import Delivery, FailedAttempt, add_failure
from hookline.relay.event import payload_bytes
from hookline.relay.formats.dead_letter_json import dead_letter_line
from hookline.relay.ids import WebhookIds
from hookline.relay.sources.source import Messages, Position
from hookline.relay.spool.address_moves import RecordedMove
from hookline.relay.spool.admin import Filter
from hookline.relay.spool.spool_values import (
    DequeueRequest,
    EndpointState,
    IngestBatch,
    NewDelivery,
    RejectedLine,
    Retention,
    State,
)
from hookline.relay.spool.sqlite.dead_letters import SqliteDeadLetters
from hookline.relay.spool.sqlite.recovery.damaged_database import _PROBES_PER_PAGE, DamagedDatabase
from hookline.relay.spool.sqlite.recovery.recover import RecoveryResult, recover
from hookline.relay.spool.sqlite.recovery.row_validation import Row
from hookline.relay.spool.sqlite.schema import EARLIER_SPOOL_APPLICATION_ID, PAGE_BYTES, SPOOL_FORMAT
from hookline.relay.spool.sqlite.sqlite_spool import SqliteSpool
from hookline.relay.spool.sqlite.stats import SpoolLookup
from hookline.relay.spool.sqlite.storage_access import StorageAccess
from hookline.relay.spool.sqlite.webhook_status import SqliteWebhookControl
from hookline_process import ADDRESS, Lab

OTHER = Address("other", "prod")
EVENTS = 240
RESERVE_BYTES = 4096  # it is copied and compared for each damage
MESSAGES = Messages(b"s" * 16, [3, 5])
WHOLE_LINE = {"pending": 140, "dead": 40, "records": 60, "lines": 12, "webhooks": 2}

Damage = Callable[[Path], None]


def delivery(number: int) -> Delivery:
    """One in twenty has a payload with overflow pages."""
    address = OTHER if number % 3 == 0 else ACME
    offers = "x" * 30_000 if number % 20 == 0 else "y" * 500
    told = event(offers=offers, execution_id=f"m{number}")
    request_id = f"request-{number}"
    body = payload_bytes(told, address=address, sandbox_id=None, campaign_id=None, request_id=request_id)
    identity = WebhookIds(str(address).encode()).delivery_id(body, request_id)
    return Delivery(
        id=identity, address=address, order_key=number, body=body,
        request_id=request_id, channel="email", status="sent", time=None,
    )  # fmt: skip


def make(directory: Path) -> None:
    """Create a spool with new, retrying, delivered and dead deliveries, rejected lines, a pause and a position."""
    spool = SqliteSpool(directory, StorageAccess(reserve_bytes=RESERVE_BYTES), since="now")
    for first in range(0, EVENTS, 40):
        numbers = range(first, first + 40)
        lines = [RejectedLine(line(b"broken %d" % n, 1000 + n), n % 2 - 1, "not JSON")
                 for n in numbers[:2]]  # fmt: skip
        taken = [NewDelivery(n, delivery(n)) for n in numbers]
        position = Position(name="events", line=numbers[-1], offset=numbers[-1] * 100, device=1, inode=2,
                            head_length=100, head_hash=b"0" * 16)  # fmt: skip
        intake = IngestBatch(
            source="events", position=position, read=42, deliveries=taken, skipped={}, rejected=lines
        )
        spool.enqueue(intake, now=float(first), dedupe_window=86_400.0)
    stored = ingest_batch(messages=MESSAGES)
    spool.enqueue(stored, now=float(EVENTS), dedupe_window=86_400.0)
    items = [
        item for address in (ACME, OTHER) for item in spool.dequeue_new([DequeueRequest(address, 0, 200, True)])[0][0]
    ]
    states = [State.DELIVERED] * 60 + [State.DEAD] * 40 + [State.PENDING] * 40
    history = add_failure(None, FailedAttempt(1.0, 1, "http 503", 503))
    spool.settle(
        [settlement(item, state, due=900.0 if state is State.PENDING else None,
                    reason=None if state is State.DELIVERED else "http 503", http=503, history=history)
         for item, state in zip(items, states, strict=False)],
        now=500.0,
    )  # fmt: skip
    spool.close()
    with SqliteWebhookControl(directory) as standings:
        standings.pause(OTHER, now=600.0)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("sound") / "spool"
    make(directory)
    return directory


def rows(directory: Path) -> dict[bytes, tuple[Any, ...]]:
    """Every delivery by its id."""
    with closing(sqlite3.connect(directory / "spool.db")) as connection:
        found = connection.execute(
            "SELECT id, seq, state, due, attempts, request_id, reason, history, content, organization "
            "FROM delivery d JOIN webhook w ON w.n = d.webhook LEFT JOIN body USING (seq)"
        )
        return {row[0]: row for row in found}


def damaged(sound: Path, tmp_path: Path, damage: Damage, whole: dict[str, int] = WHOLE_LINE) -> RecoveryResult:
    """Damage a copy of `sound` as `old`, recover it as `new`, both in `tmp_path`, and check the result."""
    old, new = tmp_path / "old", tmp_path / "new"
    for directory in (old, new):
        shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(sound, old)
    damage(old / "spool.db")
    before = {path.name: path.read_bytes() for path in old.iterdir()}
    recovered = recover(old, new)
    assert before == {path.name: path.read_bytes() for path in old.iterdir()}, "recovery only reads the old spool"
    check(new, recovered, whole)
    return recovered


def check(new: Path, recovered: RecoveryResult, whole: dict[str, int]) -> None:
    """Check that the new spool is sound and balanced, and that the report matches it."""
    spool = SqliteSpool(new, since="now")
    try:
        tally, positions, pending = spool.tally(), spool.positions(), spool.pending()
    finally:
        spool.close()
    with closing(sqlite3.connect(new / "spool.db")) as connection:
        assert [("ok",)] == connection.execute("PRAGMA integrity_check").fetchall()
        lines = connection.execute("SELECT count(*) FROM rejected").fetchone()[0]
        records = connection.execute("SELECT count(*) FROM delivery WHERE state IN (1, 3)").fetchone()[0]
    saved = recovered.saved
    assert (saved["pending"], saved["lines"], saved["records"]) == (tally["pending"], lines, records)
    assert tally.get("records", 0) == records
    assert all(n >= 0 for n in tally.values())
    assert bool(saved["pending"]) == bool(pending)
    assert recovered.positions == len(positions)
    assert recovered.complete or not positions, "an incomplete spool has no positions"
    assert recovered.complete or not recovered.messages, "an incomplete spool knows no message"
    if recovered.complete:
        assert saved == whole
        assert 0 == sum(lost or 0 for lost in recovered.lost.values())


def test_a_sound_spool_is_copied_whole(sound: Path, tmp_path: Path) -> None:
    """Recovery keeps rows, positions, known messages, pauses and the tally of a sound spool, and reports it as
    complete."""
    recovered = damaged(sound, tmp_path, lambda path: None)
    assert (True, WHOLE_LINE, 1, []) == (recovered.complete, recovered.saved, recovered.positions, recovered.notes)
    assert rows(sound) == rows(tmp_path / "new")
    spool = SqliteSpool(tmp_path / "new", since="now")
    assert {ACME: EndpointState(), OTHER: EndpointState(paused=600.0)} == spool.endpoint_states()
    assert {"read": 252, "delivered": 60, "dead": 40, "rejected": 12}.items() <= spool.tally().items()
    assert (len(MESSAGES.numbers), 0) == (recovered.messages, recovered.dropped_messages)
    with pytest.raises(MessagesKnown):
        spool.enqueue(ingest_batch(messages=MESSAGES), now=900.0, dedupe_window=0.0)
    spool.close()


def test_a_webhook_that_has_moved_keeps_its_deliveries(sound: Path, tmp_path: Path) -> None:
    """Payloads have the address from before the move. The row decides, and the move is not followed again."""
    moved, chain = tmp_path / "moved", [Address("second", "prod"), Address("third", "prod")]
    shutil.copytree(sound, moved)
    spool = SqliteSpool(moved, since="now")
    for serial, (old, new) in enumerate(zip([ACME, chain[0]], chain, strict=True), 5):
        spool.follow_move(RecordedMove("lineage", serial, old, new), now=700.0)
    followed = spool.followed_moves()
    spool.close()
    recovered = damaged(moved, tmp_path, lambda path: None)
    assert (True, []) == (recovered.complete, recovered.notes)
    assert rows(moved) == rows(tmp_path / "new")
    spool = SqliteSpool(tmp_path / "new", since="now")
    assert (followed, {chain[1], OTHER}) == (spool.followed_moves(), spool.pending())
    spool.close()


def test_progress_is_reported(sound: Path, tmp_path: Path) -> None:
    """Progress counts rows; the total comes from the indexes, also when the table cannot be read."""
    reported: list[tuple[int, int | None]] = []
    recover(sound, tmp_path / "whole", lambda done, total: reported.append((done, total)))
    assert [(EVENTS, EVENTS + 12), (EVENTS + 12, EVENTS + 12)] == reported
    reported.clear()
    shutil.copytree(sound, tmp_path / "old")
    for name in ("delivery", "sqlite_autoindex_rejected_1"):
        page(root(sound, name), tmp_path / "old" / "spool.db", b"\0" * PAGE_BYTES)
    recover(tmp_path / "old", tmp_path / "rest", lambda done, total: reported.append((done, total)))
    assert [(12, None)] == reported


def page(number: int, path: Path, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek((number - 1) * PAGE_BYTES)
        file.write(content)


def root(directory: Path, name: str) -> int:
    """The root page of a table or index."""
    with closing(sqlite3.connect(directory / "spool.db")) as connection:
        found = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
    return int(found[0])


def leaves(directory: Path, table: str) -> list[int]:
    """The pages with a table's rows: a scan of the table fails without any one of them."""
    found = []
    with closing(sqlite3.connect(directory / "spool.db")) as connection:
        image = connection.serialize()
    image = image[:18] + b"\1\1" + image[20:]  # no write-ahead log in memory
    for number in range(2, len(image) // PAGE_BYTES + 1):
        if number != root(directory, table):
            start = (number - 1) * PAGE_BYTES
            with closing(sqlite3.connect(":memory:")) as connection:
                connection.deserialize(image[:start] + b"\0" * PAGE_BYTES + image[start + PAGE_BYTES :])
                try:
                    connection.execute(f"SELECT seq FROM {table} NOT INDEXED ORDER BY seq").fetchall()
                except sqlite3.DatabaseError:
                    found.append(number)
    return found


@pytest.mark.parametrize(
    ("content", "step"), [(b"\0" * PAGE_BYTES, 1), (b"\x0d" + b"\xff" * (PAGE_BYTES - 1), 6)], ids=["zeros", "noise"]
)
def test_any_page_lost(sound: Path, tmp_path: Path, content: bytes, step: int) -> None:
    """For every lost page of the file, saved rows are unchanged, and missing ones are counted or not known.

    A page of rows costs its own rows. The root page of the deliveries costs all of them, but nothing else. The root
    page of the payloads costs all but the records.
    """
    original = rows(sound)
    delivery_root, body_root = root(sound, "delivery"), root(sound, "body")
    pages = (sound / "spool.db").stat().st_size // PAGE_BYTES
    assert pages > 40
    for number in {*range(1, pages + 1, step), delivery_root, body_root}:
        recovered = damaged(sound, tmp_path, lambda path, number=number: page(number, path, content))  # type: ignore[misc]
        found = rows(tmp_path / "new")
        assert all(original[identity][4:] == row[4:] for identity, row in found.items())
        missing = {kind: WHOLE_LINE[kind] - recovered.saved[kind] for kind in WHOLE_LINE}
        for kind, lost in recovered.lost.items():
            assert lost is None or lost == max(0, missing[kind]), (number, kind, recovered)
        if number == body_root:
            assert {"pending": 0, "dead": 0, "records": 60, "lines": 12, "webhooks": 2} == recovered.saved
            assert {"pending": 140, "dead": 40, "records": 0, "lines": 0, "webhooks": 0} == recovered.lost
        elif number == delivery_root:
            assert {"pending": 0, "dead": 0, "records": 0, "lines": 12, "webhooks": 2} == recovered.saved
            assert {"pending": 140, "dead": 40, "records": 60, "lines": 0, "webhooks": 0} == recovered.lost
        else:
            assert len(found) >= EVENTS - 100


def test_the_lost_rows_are_named(sound: Path, tmp_path: Path) -> None:
    """If two separate pages of deliveries are lost, the note names both ranges, and all other rows are saved."""
    original = {row[1] for row in rows(sound).values()}
    all_leaves = leaves(sound, "delivery")

    def damage(path: Path) -> None:
        for number in (all_leaves[0], all_leaves[2]):
            page(number, path, b"\0" * PAGE_BYTES)

    recovered = damaged(sound, tmp_path, damage)
    (note,) = [note for note in recovered.notes if note.startswith("table delivery")]
    ranges = [(int(first), int(last)) for first, last in re.findall(r"(\d+) to (\d+)", note)]
    assert 2 == len(ranges), note
    lost = {seq for first, last in ranges for seq in range(first, last + 1)}
    assert original - lost == {row[1] for row in rows(tmp_path / "new").values()}
    assert len(original & lost) == sum(recovered.lost[kind] or 0 for kind in ("pending", "dead", "records"))


def test_a_damaged_schema_is_replaced(sound: Path, tmp_path: Path) -> None:
    """The first page is the same in every spool, so its damage loses nothing."""
    recovered = damaged(sound, tmp_path, lambda path: page(1, path, b"\0" * PAGE_BYTES))
    assert (True, WHOLE_LINE) == (recovered.complete, recovered.saved)
    assert ["the header of the database was damaged", "the schema of the database was damaged"] == recovered.notes


@pytest.mark.parametrize(
    ("pragma", "message"),
    [
        (f"application_id = {EARLIER_SPOOL_APPLICATION_ID}", "written by an earlier build"),
        (f"user_version = {SPOOL_FORMAT + 1}", "written by a newer hookline"),
    ],
)
def test_another_format_is_refused(sound: Path, tmp_path: Path, pragma: str, message: str) -> None:
    """A spool of another format is refused, because its rows may have another meaning."""
    shutil.copytree(sound, tmp_path / "old")
    with closing(sqlite3.connect(tmp_path / "old" / "spool.db")) as connection:
        connection.execute(f"PRAGMA {pragma}")
    with pytest.raises(SpoolUnusable, match=message):
        recover(tmp_path / "old", tmp_path / "new")
    assert ["old"] == [path.name for path in tmp_path.iterdir()]


@pytest.mark.parametrize("seed", range(25))
def test_flipped_bytes_anywhere(sound: Path, tmp_path: Path, seed: int) -> None:
    """Changed bytes in any place cause no traceback, and the report is true."""
    generator = random.Random(seed)
    size = (sound / "spool.db").stat().st_size

    def damage(path: Path) -> None:
        with path.open("r+b") as file:
            for _ in range(generator.choice([1, 10, 200])):
                file.seek(generator.randrange(size))
                byte = file.read(1)
                file.seek(-1, os.SEEK_CUR)
                file.write(bytes([byte[0] ^ generator.randrange(1, 256)]))

    recovered = damaged(sound, tmp_path, damage)
    assert sum(recovered.saved.values()) > 0


@pytest.mark.parametrize("seed", range(30))
def test_commands_say_that_it_is_damaged(sound: Path, tmp_path: Path, seed: int) -> None:
    """A command that reads damage raises SpoolUnusable with a hint, and no other exception."""
    generator = random.Random(seed)
    old = tmp_path / "old"
    shutil.copytree(sound, old)
    with (old / "spool.db").open("r+b") as file:
        pages = file.seek(0, os.SEEK_END) // PAGE_BYTES
        for number in {0, *generator.sample(range(pages), pages // 2)}:
            file.seek(number * PAGE_BYTES + generator.choice([100, 4000, 7000]))
            file.write(generator.randbytes(1000))
    lookup = SpoolLookup(old)
    refusals = []
    for ask in (lookup.positions, lookup.backlogs, lookup.endpoint_states, lambda: _all_of(old), lambda: _open(old)):
        try:
            ask()
        except SpoolUnusable as refused:
            refusals.append(refused)
    assert refusals
    assert all(refused.hint for refused in refusals)


def _all_of(directory: Path) -> None:
    with SqliteDeadLetters(directory) as dead:
        for letter in dead.all_in_order(Filter()):
            dead_letter_line(letter)
        dead.count(Filter(http=503))
        dead.replay(Filter(), now=1000.0)


def _open(directory: Path) -> None:
    spool = SqliteSpool(directory, since="now")
    try:
        spool.tally()
        spool.next_dues([ACME])
        spool.dequeue_new([DequeueRequest(ACME, 0, 500, True)])
        spool.clean_up(now=1000.0, keep=Retention(10.0, 5), limit=1000)
    finally:
        spool.close()


@pytest.mark.parametrize("seed", range(10))
def test_flipped_bytes_of_the_header(sound: Path, tmp_path: Path, seed: int) -> None:
    """The header is known, so its damage loses nothing."""
    generator = random.Random(seed)

    def damage(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(generator.randrange(0, 90))
            file.write(generator.randbytes(10))

    recovered = damaged(sound, tmp_path, damage)
    assert WHOLE_LINE == recovered.saved


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file(sound: Path, tmp_path: Path, share: float) -> None:
    """Rows before the cut are saved. An empty file gives an empty spool, and the report names the cause."""
    recovered = damaged(sound, tmp_path, lambda path: os.truncate(path, int(path.stat().st_size * share)))
    assert not recovered.complete
    if share == 0.0:
        assert ["spool.db is empty"] == recovered.notes[:1]
        assert 0 == sum(recovered.saved.values())
    if share >= 0.9:
        assert recovered.saved["pending"] > 20


@pytest.mark.parametrize("leaf", range(3))
def test_a_file_that_is_cut_off_after_a_page_of_rows(sound: Path, tmp_path: Path, leaf: int) -> None:
    """The rows before the cut are saved: all records, and of the others those whose payload is before it as well."""
    original, pages = rows(sound), leaves(sound, "delivery")
    end = pages[leaf] * PAGE_BYTES
    recovered = damaged(sound, tmp_path, lambda path: os.truncate(path, end))
    lost = [int(first) for note in recovered.notes for first in re.findall(r"rows (\d+) to", note)]
    first_lost = min(lost, default=EVENTS + 1)
    assert (leaf + 1) * EVENTS // 5 < first_lost
    assert (leaf == len(pages) - 1) == (first_lost > EVENTS)
    readable = _payloads_before(sound, end)
    before = {identity for identity, row in original.items() if row[1] < first_lost}
    records = {identity for identity, row in original.items() if row[2] in (State.DELIVERED, State.DISCARDED)}
    saved = rows(tmp_path / "new").keys()
    assert before & records <= saved <= before
    assert len(saved - records) == len([1 for one in before - records if original[one][1] in readable])


def _payloads_before(sound: Path, end: int) -> set[int]:
    """The `seq` of each payload that SQLite can still read if the file ends there."""
    with closing(sqlite3.connect(sound / "spool.db")) as connection:
        image = connection.serialize()
        seqs = [seq for (seq,) in connection.execute("SELECT seq FROM body")]
    image = image[:18] + b"\1\1" + image[20:end] + b"\0" * (len(image) - end)
    readable = set()
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(image)
        for seq in seqs:
            try:
                found = connection.execute("SELECT content FROM body WHERE seq = ?", (seq,)).fetchone()
            except sqlite3.DatabaseError:
                continue
            readable |= {seq} if found else set()
    return readable


def test_an_unreadable_table_is_given_up_soon(sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of queries is bounded by the size of the file, if no row of it can be read."""
    asked, rows = Counter[str](), DamagedDatabase.rows

    def counted(database: DamagedDatabase, query: str, parameters: tuple[int, ...] = ()) -> Iterator[Row]:
        asked[query] += 1
        return rows(database, query, parameters)

    monkeypatch.setattr(DamagedDatabase, "rows", counted)

    def damage(path: Path) -> None:
        path.write_bytes(random.Random(7).randbytes(3 * PAGE_BYTES))

    damaged(sound, tmp_path, damage)
    assert 0 < max(asked.values()) <= 3 * _PROBES_PER_PAGE


def test_something_else_entirely(sound: Path, tmp_path: Path) -> None:
    """A file that is not a spool gives an empty spool and an empty report."""

    def damage(path: Path) -> None:
        path.write_bytes(random.Random(7).randbytes(100_000))

    recovered = damaged(sound, tmp_path, damage)
    assert (False, 0) == (recovered.complete, sum(recovered.saved.values()))


def unfinished(directory: Path) -> None:
    """Create a spool whose last commits are only in its write-ahead log, as a killed relay leaves it."""
    script = (
        "import os, signal, sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from faults.test_spool_damaged import make\n"
        "import hookline.relay.spool.sqlite.database as database; database._CHECKPOINT_PAGES = 1_000_000\n"
        "import hookline.relay.spool.sqlite.sqlite_spool as sqlite\n"
        "sqlite.SqliteSpool.close = lambda self: os.kill(os.getpid(), signal.SIGKILL)\n"
        "make(Path(sys.argv[1]))\n"
    )
    tests = str(Path(__file__).parents[1])
    subprocess.run((sys.executable, "-c", script, str(directory), tests), check=False, timeout=120)
    assert (directory / "spool.db-wal").stat().st_size > 20 * PAGE_BYTES


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("killed") / "spool"
    unfinished(directory)
    return directory


def test_the_log_of_a_killed_relay_is_read(killed: Path, tmp_path: Path) -> None:
    """Commits that were never moved into the database are part of the spool."""
    recovered = damaged(killed, tmp_path, lambda path: None)
    assert (True, WHOLE_LINE | {"webhooks": 2}) == (recovered.complete, recovered.saved)


def test_a_lost_log(killed: Path, tmp_path: Path) -> None:
    """Without its log, the spool is older or empty, but usable."""
    nothing = dict.fromkeys(WHOLE_LINE, 0)  # none of it was moved into the database yet
    recovered = damaged(killed, tmp_path, lambda path: path.with_name("spool.db-wal").unlink(), nothing)
    assert nothing == recovered.saved


@pytest.mark.parametrize("seed", range(10))
def test_a_damaged_log(killed: Path, tmp_path: Path, seed: int) -> None:
    """The log is lost from the damage on, and the report names the number of readable pages."""

    def damage(path: Path) -> None:
        log = path.with_name("spool.db-wal")
        with log.open("r+b") as file:
            file.seek(random.Random(seed).randrange(log.stat().st_size - 20))
            file.write(b"\xa5" * 20)

    recovered = damaged(killed, tmp_path, damage)
    assert not recovered.complete
    assert any("write-ahead log" in note for note in recovered.notes)


def test_a_spool_that_is_held_is_left_alone(sound: Path, tmp_path: Path) -> None:
    """Recovery refuses a spool that a relay holds, a missing spool, and a target that exists."""
    old = tmp_path / "old"
    shutil.copytree(sound, old)
    spool = SqliteSpool(old, since="now")
    with pytest.raises(SpoolUnusable, match=r"held by process \d+ since now"):
        recover(old, tmp_path / "new")
    spool.close()
    with pytest.raises(SpoolUnusable, match="spool not found"):
        recover(tmp_path / "nothing", tmp_path / "new")
    with pytest.raises(WrongUse, match="already exists"):
        recover(old, old)
    assert ["old"] == [path.name for path in tmp_path.iterdir()]


@pytest.mark.parametrize("seed", range(3))
def test_a_relay_goes_on_with_the_recovered_spool(lab: Lab, seed: int) -> None:
    """Half of a file is delivered, then pages are lost. After `spool recover` the endpoint accepts each event at
    least once: the relay sends saved events from the spool, and reads lost ones again."""
    events = 400
    with lab.receiver() as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback")
        log = lab.write_events("events", [xdm_event(n, n) for n in range(events // 2)])
        lab.relay(receiver, "events")
        lab.hookline("pause", ADDRESS)
        with log.open("ab") as file:
            file.write(lab.write_events("more", [xdm_event(n, n) for n in range(events // 2, events)]).read_bytes())
        assert events // 2 == lab.relay(receiver, "events", code=4)["pending"]
        spool = lab.directory / ".hookline" / "spool"
        generator = random.Random(seed)
        pages = (spool / "spool.db").stat().st_size // PAGE_BYTES
        for number in generator.sample(range(6, pages + 1), 3):
            page(number, spool / "spool.db", generator.randbytes(PAGE_BYTES))
        done = lab.hookline("spool", "recover", str(spool), "recovered", "--format", "json", code=1)
        report = json.loads(done.stdout)
        assert (False, 0) == (report["complete"], report["positions"]["kept"])
        lab.environment["HOOKLINE_SPOOL"] = "recovered"
        lab.hookline("resume", ADDRESS)
        summary = lab.relay(receiver, "events", "--dedupe-window", "30d")
        assert (events, report["saved"]["pending"]) == (summary["read"], summary["carried"])
        accepted = {one["body"]["requestId"] for one in receiver.records() if one["status"] < 300}
    assert {f"request-{n}" for n in range(events)} == accepted


def test_the_report_is_read_by_people(lab: Lab) -> None:
    """Stdout has a table, stderr the findings and the next step; the exit code is 0 when nothing was lost."""
    with lab.receiver() as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback", enabled=False)
        lab.write_events("events", [xdm_event(n, n) for n in range(3)])
        lab.relay(receiver, "events", code=4)
    done = lab.hookline("spool", "recover", ".hookline/spool", "recovered")
    assert "pending deliveries           3      0\n" in done.stdout.decode()
    assert b"The new spool contains everything that the old spool contained." in done.stderr
    assert b"already exists" in lab.hookline("spool", "recover", ".hookline/spool", "recovered", code=64).stderr
    assert b"spool not found: nowhere" in lab.hookline("spool", "recover", "nowhere", "other", code=8).stderr
