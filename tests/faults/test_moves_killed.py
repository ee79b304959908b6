"""A relay that follows moves of webhooks, killed with SIGKILL before and after each of its commits, and run again."""

from __future__ import annotations

import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from builders import xdm_event
from contract.move_contents import tally
from contract.spool_stores import balanced, shared_location
from hookline.model import Address
from hookline.relay.spool.factory import SpoolStore, spool_store
from hookline.relay.spool.postgres.shared import SharedStore
from hookline_process import LOOPBACK, ORGANIZATION, SANDBOX, Lab, Receiver
from killed_commands import KilledCommands, killed_commands
from waiting import wait_until

MESSAGES = 3
STATUSES = ("sent", "delivered", "bounce")
# Of each message, the first event is pending at the first address; the others come later, with the last address.
EVENTS = [
    xdm_event(100 * status + message, message, STATUSES[status])
    for status in range(len(STATUSES))
    for message in range(MESSAGES)
]
LIVE = "live"
# Three of a run's boundaries of transactions are alike: those of one settlement or one look at the state.
SHARED_STEP = 3


@pytest.fixture(scope="module")
def commands() -> Iterator[KilledCommands]:
    with killed_commands() as running:
        yield running


class MovedLab:
    """A webhook that was disabled, and whose state has then two moves of it. It is enabled at its last address."""

    def __init__(self, lab: Lab, receiver: Receiver) -> None:
        self.lab, self.receiver = lab, receiver
        self.url = f"https://localhost:{receiver.port}/feedback"
        self.before = lab.write_events("before", EVENTS[:MESSAGES])
        # In another order, because a file with the same beginning would be the same file.
        self.after = lab.write_events("after", [*EVENTS[MESSAGES:], *EVENTS[:MESSAGES]])
        lab.apply(self.url, enabled=False)
        self.first_state = copytree(lab.directory / ".hookline", lab.directory / "first") / "state.db"
        for old, new in ((SANDBOX, "between"), ("between", LIVE)):
            (lab.directory / "webhooks" / ORGANIZATION / f"{old}.yaml").unlink()
            lab.apply(self.url, sandbox=new, movedFrom=f"{ORGANIZATION}/{old}")
        self.state = lab.directory / ".hookline" / "state.db"

    def relay(self, spool: str, sandbox: str, state: Path, log: Path) -> Sequence[str]:
        name = ("--name", "mail") if "://" in spool else ()
        where = ("--organization", ORGANIZATION, "--sandbox", sandbox, "--state", str(state), "--spool", spool, *name)
        trust = (*LOOPBACK, "--ca-file", str(self.receiver.ca_file), "--secrets-dir", str(self.lab.secrets))
        return "relay", *where, *trust, "--max-wait", "60s", "--log-level", "warning", str(log)

    def deliver(self, spool: str) -> Sequence[str]:
        trust = (*LOOPBACK, "--ca-file", str(self.receiver.ca_file), "--secrets-dir", str(self.lab.secrets))
        return "deliver", "--state", str(self.state), "--spool", spool, *trust, "--log-level", "warning"

    def fill(self, commands: KilledCommands, spool: str) -> None:
        """One event of each message is pending at the first address."""
        options = self.relay(spool, SANDBOX, self.first_state, self.before)
        assert 4 == commands.run(*options)

    def requests(self) -> list[tuple[str, str]]:
        """Message and status of each request, in the order of arrival."""
        bodies: list[dict[str, Any]] = [one["body"] for one in self.receiver.records()]
        return [
            (one["messageExecution"]["messageExecutionID"], one["messageDeliveryFeedback"]["feedbackStatus"]["value"])
            for one in bodies
        ]

    def check_after_kill(self, store: SpoolStore, seen: int) -> Counter[tuple[str, str]]:
        """The account adds up. Returns the requests of all deliveries that are settled, which are not sent again."""
        assert balanced(tally(store))
        settled = settled_requests(store)
        sent = Counter(self.requests()[seen:])
        by_request = {event_request(one): event_name(one) for one in EVENTS}
        found = Counter({by_request[one]: sent[by_request[one]] for one in settled})
        assert all(found.values()), "an event is only settled by a request"
        return found

    def check_end(self, store: SpoolStore, seen: int, settled: Counter[tuple[str, str]]) -> None:
        account = tally(store)
        assert balanced(account)
        assert (0, 0) == (account["pending"], account.get("dead", 0))
        assert len(EVENTS) == account["delivered"]
        got = self.requests()[seen:]
        times = Counter(got)
        assert {event_name(one) for one in EVENTS} == times.keys()
        assert settled == Counter({one: times[one] for one in settled})
        first = list(dict.fromkeys(got))
        for message in range(MESSAGES):
            assert list(STATUSES) == [status for name, status in first if name == f"message-{message}"]
        assert {Address(ORGANIZATION, LIVE)} == {*store.statistics().endpoint_states()}


def event_name(one: dict[str, Any]) -> tuple[str, str]:
    return f"message-{int(one['_id'][6:]) % 100}", STATUSES[int(one["_id"][6:]) // 100]


def event_request(one: dict[str, Any]) -> str:
    return f"request-{int(one['_id'][6:])}"


def settled_requests(store: SpoolStore) -> list[str]:
    if isinstance(store, SharedStore):
        connection = store.connection()
        found = [row[0] for row in connection.query("SELECT request_id FROM spool.record WHERE state = 1")]
        connection.close()
        return found
    with closing(sqlite3.connect(Path(store.name) / "spool.db")) as database:
        return [row[0] for row in database.execute("SELECT request_id FROM delivery WHERE state = 1")]


@pytest.mark.parametrize("step", [3, pytest.param(1, marks=pytest.mark.soak)])
def test_a_killed_relay_loses_and_repeats_nothing(commands: KilledCommands, lab: Lab, step: int) -> None:
    """Two moves, later events of the same messages, and known events: what was not in flight is sent once, in
    order."""
    with lab.receiver() as receiver:
        moved = MovedLab(lab, receiver)
        template = lab.directory / "template"
        moved.fill(commands, str(template))
        for boundary in count(1, step):
            spool = copytree(template, lab.directory / f"spool{boundary}")
            store, seen = spool_store(str(spool)), len(receiver.records())
            relay = moved.relay(str(spool), LIVE, moved.state, moved.after)
            code = commands.run(*relay, boundary=boundary)
            assert code in (0, -signal.SIGKILL)
            settled = moved.check_after_kill(store, seen)
            assert code == 0 or 0 == commands.run(*relay)
            moved.check_end(store, seen, settled)
            if code == 0:
                break
    assert boundary > 8


@pytest.mark.soak
@pytest.mark.parametrize("owner", [True, False], ids=["the owner", "a reader"])
def test_one_of_two_processes_is_killed(commands: KilledCommands, lab: Lab, owner: bool) -> None:
    """On a shared spool a second process delivers, and follows the moves if the first one could not. It comes after
    the kill of the owner, or owns the slots from the beginning."""
    ended = (0, 4)  # 4: the other process still delivers
    with lab.receiver() as receiver:
        moved = MovedLab(lab, receiver)
        for boundary in count(1, SHARED_STEP):
            location = shared_location(lab.directory / f"spool{boundary}")
            store, seen = spool_store(location), len(receiver.records())
            store.create_if_missing(since="now")
            moved.fill(commands, location)
            relay = moved.relay(location, LIVE, moved.state, moved.after)
            with ExitStack() as stack:
                if not owner:
                    stack.enter_context(lab.running(*moved.deliver(location)))
                code = commands.run(*relay, boundary=boundary)
                assert code in (*ended, -signal.SIGKILL)
                settled = moved.check_after_kill(store, seen)
                if owner:
                    end_leases(store)
                    stack.enter_context(lab.running(*moved.deliver(location)))
                assert code in ended or commands.run(*relay) in ended
                wait_until(lambda store=store: 0 == tally(store)["pending"])  # type: ignore[misc]
                moved.check_end(store, seen, settled)
            if code in ended:
                break
    assert boundary > SHARED_STEP


def end_leases(store: SpoolStore) -> None:
    assert isinstance(store, SharedStore)
    connection = store.connection()
    connection.query("UPDATE spool.process SET expires = clock_timestamp()")
    connection.close()
