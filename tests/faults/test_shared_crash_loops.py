"""A line or a delivery that ends each process of a shared spool: it becomes a dead letter, and the processes live.

The crash is planted as in test_crash_loops.py.
"""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import pytest
from click.testing import CliRunner

from builders import as_lines, xdm_event
from crash_planting import CRASHING_PARSER, CRASHING_POST, MARK, NO_WAIT, page, planted
from hookline.cli.commands.dead import dead_command
from hookline.model import Address
from hookline.relay.spool.crash_guard import CRASHES_BEFORE_CARE
from hookline.relay.spool.postgres.slots import slot_of
from hookline_process import LOOPBACK, ORGANIZATION, SANDBOX, Lab, Receiver
from shared_spool import SharedSpoolDatabase
from waiting import wait_until

EVENTS = 12
LEASE_SECONDS = 1.0
SLOTS = 4


class Machines:
    """A shared spool, an endpoint, and the log of events."""

    def __init__(self, lab: Lab, receiver: Receiver) -> None:
        self.lab, self.receiver = lab, receiver
        self.database = SharedSpoolDatabase(slots=SLOTS, lease_seconds=LEASE_SECONDS)
        (lab.directory / "events").write_bytes(as_lines(xdm_event(n, n // 2) for n in range(EVENTS)))

    def arguments(self, *more: str) -> Sequence[str]:
        """The command line of a relay, or with ``deliver`` that of a deliverer."""
        if more[0] != "deliver":
            return self.lab.relay_arguments(self.receiver, "--spool", self.database.url(), *more)
        where = ("--spool", self.database.url(), "--ca-file", str(self.receiver.ca_file), "--log-level", "warning")
        return "deliver", *where, *LOOPBACK, *more[1:]

    @contextmanager
    def running(self, *parts: str, more: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
        """A process with planted code."""
        self.lab.before = planted(*parts)
        with self.lab.running(*self.arguments(*more)) as process:
            yield process

    def crash(self, *parts: str, more: Sequence[str]) -> None:
        """Run a process until it ends without a word."""
        with self.running(*parts, more=more) as process:
            assert -signal.SIGKILL == process.wait(timeout=120)

    def delivered(self) -> list[str]:
        return [one["body"]["requestId"] for one in self.receiver.records()]

    def reasons(self) -> list[str]:
        """The reason of each dead letter."""
        shown = CliRunner().invoke(dead_command, ["list", "--spool", self.database.url(), "--format", "json"])
        return re.findall(r'"reason": "([^"]+)"', shown.output)


@pytest.fixture
def machines(lab: Lab) -> Iterator[Machines]:
    with ExitStack() as stack:
        receiver = stack.enter_context(lab.receiver())
        lab.apply(f"https://localhost:{receiver.port}/feedback")
        yield Machines(lab, receiver)


OTHERS = [f"request-{n}" for n in range(EVENTS) if f"request-{n}" != MARK]


@pytest.mark.soak
def test_a_line_ends_three_readers_and_not_a_fourth(machines: Machines) -> None:
    """One machine after the other reads the log and dies. The crashes count in the spool, so the next one reads the
    lines one by one, the one after it rejects the line, and a deliverer on another machine has lived all the time."""
    reads = ("--name", "mail", "events")
    with machines.running(more=("deliver",)) as deliverer:
        for _ in range(CRASHES_BEFORE_CARE + 1):
            machines.crash(NO_WAIT, CRASHING_PARSER, more=reads)
        with machines.running(NO_WAIT, CRASHING_PARSER, more=reads) as last:
            assert 3 == last.wait(timeout=120)
        assert ["crashed"] == machines.reasons()
        assert sorted(OTHERS) == sorted(machines.delivered())
        assert deliverer.poll() is None


@pytest.mark.soak
def test_a_delivery_ends_its_owners_until_it_is_a_dead_letter(machines: Machines) -> None:
    """The reader dies, and one deliverer after the other that takes the slot over. The last one lives."""
    machines.crash(NO_WAIT, CRASHING_POST, more=("--name", "mail", "events"))
    crashes = 0
    while crashes < 3 * CRASHES_BEFORE_CARE:
        with machines.running(NO_WAIT, CRASHING_POST, more=("deliver",)) as deliverer:
            wait_until(
                lambda: deliverer.poll() is not None or ["crashed"] == machines.reasons(),
                detail=(machines.lab.directory / "relay.log").read_text,
            )
            if deliverer.poll() is None:
                wait_until(lambda: set(OTHERS) == set(machines.delivered()), process=deliverer)
                break
            crashes += 1
    assert CRASHES_BEFORE_CARE <= crashes <= 2 * CRASHES_BEFORE_CARE + 2


def test_only_the_slot_of_a_crash_waits_after_a_takeover(machines: Machines) -> None:
    """The next owner names the slot at /readyz, and delivers the events of other slots at once."""
    other = next(name for name in "abcdefgh" if slot(name) != slot(SANDBOX))
    machines.lab.apply(f"https://localhost:{machines.receiver.port}/other", sandbox=other)
    crashing = CRASHING_POST.replace(f'"{MARK}"', "request-")
    machines.crash(crashing, more=("--name", "mail", "events"))  # it has taken the slot over without deliveries
    machines.crash(crashing, more=("deliver",))
    long = "from hookline.relay.spool import crash_guard; crash_guard.FIRST_START_WAIT_SECONDS = 3600.0\n"
    long += "crash_guard.MAX_START_WAIT_SECONDS = 3600.0\n"
    with machines.running(long, more=("deliver", "--listen", "127.0.0.1:0")) as deliverer:
        log = machines.lab.directory / "relay.log"
        found = wait_until(lambda: re.search(rb"url=(\S+)", log.read_bytes()), process=deliverer)
        ready = f"{found[1].decode()}/readyz"
        expected = f"slot {slot(SANDBOX)}: crashed once without progress, waits 3600 s"
        wait_until(lambda: expected == page(ready), process=deliverer, detail=lambda: page(ready))
        reads = machines.arguments("--sandbox", other, "--max-wait", "5s", "-")
        machines.lab.hookline(*reads, stdin=as_lines([xdm_event(99, 99)]), code=4)
        wait_until(lambda: ["request-99"] == machines.delivered(), process=deliverer)
        assert expected == page(ready)


def slot(sandbox: str) -> int:
    return slot_of(Address(ORGANIZATION, sandbox), SLOTS)
