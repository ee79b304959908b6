"""The roles of docs/how-to/several-machines.md: its statements run, and each role does its work and no more."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from builders import ACME, as_lines, delivery, settlement, xdm_event
from contract.spool_stores import DAY, fresh, put, put_rejected
from hookline.cli.main import main
from hookline.errors import SpoolUnusable
from hookline.exit_codes import ExitCode
from hookline.relay.spool.admin import Count, Filter
from hookline.relay.spool.postgres.slot_leases import SlotLeases
from hookline.relay.spool.spool_values import Retention, State
from hookline_process import Lab
from postgres_server import running_server
from shared_spool import SharedSpoolDatabase
from waiting import wait_until

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "several-machines.md"
ROLES = ("hookline_relay", "hookline_operator", "hookline_reader")


@pytest.fixture(scope="module")
def database() -> Iterator[SharedSpoolDatabase]:
    """A spool that the page's owner created, in a server of its own."""
    administrator, owner = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)
    with running_server() as server:
        database = SharedSpoolDatabase(server, created=False)
        for statement in administrator.split(";\n"):
            if statement.strip():
                database.execute(statement.replace("DATABASE hookline ", f"DATABASE {database.name} "))
        with pytest.raises(SpoolUnusable, match="permission denied"):
            database.store_of("hookline_relay").create()
        database.store_of("hookline_owner").create()
        with pytest.raises(SpoolUnusable, match="permission denied"):
            database.store_of("hookline_relay").statistics().backlogs()
        for statement in owner.split(";\n"):
            if statement.strip():
                database.execute(statement, user="hookline_owner")
        yield database


def empty(database: SharedSpoolDatabase) -> None:
    for table in ("delivery", "record", "rejected", "tally", "tally_change"):
        database.execute(f"DELETE FROM spool.{table}")


@pytest.fixture
def letters(database: SharedSpoolDatabase) -> list[bytes]:
    """Three dead letters in a spool without others."""
    empty(database)
    with database.store.webhook_control() as control:
        control.resume(ACME, now=1.0)
    ids = [bytes([n]) * 16 for n in (1, 2, 3)]
    database.put_dead(*ids)
    return ids


def put_line(database: SharedSpoolDatabase) -> None:
    database.execute(
        "INSERT INTO spool.rejected (at, source, line, part, reason, length, sha256, data) "
        "VALUES (30, 'events', 1, 0, 'not JSON', 3, '', 'abc')"
    )


def run(database: SharedSpoolDatabase, role: str, command: str) -> int:
    return main([*command.split(), "--spool", database.url(role)])


READS = (
    "status --format json",
    "dead list",
    "dead show 010101",
    "trace 02020202",
    "trace 01010101 --payload",
)
CHANGES = (
    f"pause {ACME}",
    f"retry-now {ACME}",
    f"resume {ACME}",
    "dead replay 010101",
    "dead discard 020202 --yes",
)


@pytest.mark.parametrize("command", READS)
def test_every_role_reads(
    database: SharedSpoolDatabase, letters: list[bytes], command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for role in ROLES:
        assert ExitCode.DONE == run(database, role, command), capsys.readouterr().err


def test_an_operator_changes_dead_letters_and_webhooks(
    database: SharedSpoolDatabase, letters: list[bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each action of an operator works: pause, resume, retry-now, replay, discard, export and import."""
    exported = str(tmp_path / "letters.ndjson")
    put_line(database)
    with database.store.dead_letters() as dead:
        found = list(dead.all_in_order(Filter()))
    for command in (f"dead export --out {exported}", *CHANGES, "dead replay --reason JSON"):
        assert ExitCode.DONE == run(database, "hookline_operator", command), capsys.readouterr().err
    assert [(letters[0], 0), (letters[1], 3), (letters[2], 2)] == database.states()
    empty(database)
    with database.store_of("hookline_operator").dead_letter_import() as imported:
        assert Count(3, 1) == imported.add(found)
    assert ExitCode.DONE == run(database, "hookline_operator", "dead discard --reason JSON --yes")
    assert [(one, 2) for one in letters] == database.states()


def test_an_operator_forgets_a_recipient(database: SharedSpoolDatabase, capsys: pytest.CaptureFixture[str]) -> None:
    """Pending and dead deliveries, lines and records. Only the owner of the tables may vacuum them."""
    empty(database)
    named = {"body": b"ann@acme.example", "detail": "<ann@acme.example>"}
    spool = database.store_of("hookline_relay").open(since="now")
    put(spool, *(delivery(name, **named) for name in ("delivered", "dead", "pending")))
    items = {item.id: item for item in fresh(spool)}
    spool.settle(
        [
            settlement(items[delivery("delivered").id]),
            settlement(items[delivery("dead").id], State.DEAD, reason="http 422 <ann@acme.example>"),
        ],
        now=2.0,
    )
    put_rejected(spool, b"ann@acme.example")
    spool.close()
    for role, code in (("hookline_reader", ExitCode.UNUSABLE), ("hookline_operator", ExitCode.DONE)):
        assert code == run(database, role, "forget ann@acme.example --yes"), capsys.readouterr().err
    assert "this role may not VACUUM" in capsys.readouterr().out
    for table in ("delivery", "record", "rejected"):
        assert [] == database.execute(f"SELECT t::text FROM spool.{table} t WHERE t::text ILIKE '%ann@%'")
        encoded = b"ann@acme".hex()
        assert [] == database.execute(f"SELECT 1 FROM spool.{table} t WHERE t::text LIKE '%{encoded}%'")
    assert [(3,)] == database.execute("SELECT count(*) FROM spool.record")
    assert ExitCode.DONE == run(database, "hookline_owner", "forget ann@acme.example --yes")
    owner = capsys.readouterr().out
    assert "Removed 0 entries" in owner
    assert "may not VACUUM" not in owner
    assert "the database's log (WAL)" in owner


@pytest.mark.parametrize("command", CHANGES)
def test_a_reader_changes_nothing(
    database: SharedSpoolDatabase, letters: list[bytes], command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command names the missing right, and the page that grants it."""
    assert ExitCode.UNUSABLE == run(database, "hookline_reader", command)
    message = capsys.readouterr().err
    assert "permission denied for" in message
    assert "several-machines.md" in message
    assert [(one, 2) for one in letters] == database.states()
    assert [(None,)] == database.execute("SELECT paused FROM spool.webhook")


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("hookline_operator", "UPDATE spool.delivery SET body = ''"),
        ("hookline_operator", "UPDATE spool.slot SET process = NULL"),
        ("hookline_operator", "DELETE FROM spool.position"),
        ("hookline_operator", "DELETE FROM spool.record"),
        ("hookline_operator", "TRUNCATE spool.record_00"),
        ("hookline_operator", "UPDATE spool.tally SET count = 0"),
        ("hookline_operator", "INSERT INTO spool.process_status VALUES (gen_random_uuid(), '')"),
        ("hookline_reader", "DELETE FROM spool.delivery"),
        ("hookline_reader", "SELECT 1 FROM spool.meta FOR UPDATE"),
        ("hookline_relay", "UPDATE spool.meta SET format = 2"),
        ("hookline_relay", "TRUNCATE spool.delivery"),
        ("hookline_relay", "DROP TABLE spool.tally"),
        ("hookline_relay", "ALTER TABLE spool.delivery ADD COLUMN more text"),
        ("hookline_relay", "CREATE TABLE spool.more ()"),
    ],
)
def test_a_role_cannot_do_more(database: SharedSpoolDatabase, role: str, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        database.execute(statement, user=role)


def test_status_as_a_reader_names_the_process_of_a_relay(
    database: SharedSpoolDatabase, capsys: pytest.CaptureFixture[str]
) -> None:
    """A relay's role joins, publishes and leaves."""
    connection = database.store_of("hookline_relay").connection()
    leases = SlotLeases(connection, kind="relay", name="eu", now=1.0)
    leases.join()
    leases.rebalance()
    assert ExitCode.DONE == run(database, "hookline_reader", "status --format json")
    (process,) = json.loads(capsys.readouterr().out)["processes"]
    assert ("eu", 64) == (process["name"], len(process["slots"]))
    leases.leave()
    connection.close()


def test_a_relay_needs_the_role_of_a_relay(database: SharedSpoolDatabase, lab: Lab) -> None:
    """It reads, delivers and gives its slots up. An operator's and a reader's role cannot run one."""
    empty(database)
    with lab.receiver() as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback")
        events = as_lines(xdm_event(n, n // 2) for n in range(10))
        options = lab.relay_arguments(receiver, "-", "--spool", database.url("hookline_relay"))
        with lab.running(*options, stdin=subprocess.PIPE) as relay:
            assert relay.stdin is not None
            relay.stdin.write(events)
            relay.stdin.flush()
            wait_until(lambda: len(receiver.accepted()) == 10, process=relay)
            relay.stdin.close()
            assert ExitCode.DONE == relay.wait(timeout=60)
        for role in ("hookline_operator", "hookline_reader"):
            options = lab.relay_arguments(receiver, "-", "--spool", database.url(role))
            refused = lab.hookline(*options, stdin=events, code=ExitCode.UNUSABLE)
            assert b"permission denied for table process" in refused.stderr
        options = lab.relay_arguments(receiver, "-", "--dry-run", "--spool", database.url("hookline_reader"))
        assert b"duplicates        10" in lab.hookline(*options, stdin=events).stderr
    assert 10 == len(receiver.accepted())


def test_the_rarer_work_of_a_relay(database: SharedSpoolDatabase) -> None:
    """Cleaning up, endpoint states, dead letters and replayed lines need no more rights."""
    empty(database)
    spool = database.store_of("hookline_relay").open(since="now")
    put(spool, delivery("a"), delivery("b"), delivery("c"), now=1.0)
    put_rejected(spool, b"broken", now=1.0)
    a, b, c = fresh(spool)
    spool.settle(
        [settlement(a), settlement(b, State.DEAD, reason="x"), settlement(c, State.PENDING, due=9.0)], now=2.0
    )
    spool.set_disabled(ACME, disabled=True, now=3.0)
    spool.save_endpoint_state(ACME, gone_reason="http 410", gone_configuration="hash", not_before=None)
    assert 1 == spool.make_due(ACME, now=3.0, limit=9)
    assert 1 == spool.dead_letter(ACME, reason="x", now=3.0, without=(), limit=9)
    while spool.clean_up(now=100 * DAY, keep=Retention(DAY, 1), limit=9):
        pass
    assert [] == database.states()
    spool.close()
