"""The relay is killed with SIGKILL, again and again; nothing is lost and everything is accounted for."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from builders import as_lines, xdm_event
from hookline.relay.delivery.lane import max_unwritten
from hookline.relay.spool.sqlite.sqlite_spool import SqliteSpool
from hookline_process import Lab, Receiver, adds_up

FAIL = ("--fail", "503:0.2", "--no-verify-payload")
CONCURRENCY = 16
IN_FLIGHT_AT_A_KILL = CONCURRENCY + max_unwritten(CONCURRENCY)  # what is on the wire, and what is being written


MAX_BYTES_UNTIL_KILL = 1_500_000  # some 700 recorded requests


def apply(lab: Lab, receiver: Receiver) -> None:
    lab.apply(
        f"https://localhost:{receiver.port}/feedback",
        delivery={
            "concurrency": CONCURRENCY,
            "retry": {"initialDelay": "10ms", "maxDelay": "200ms", "maxAge": "1h"},
        },
    )


def tally(lab: Lab) -> dict[str, int]:
    """The spool's own account, read when no relay holds it."""
    spool = SqliteSpool(lab.directory / ".hookline" / "spool", since="the test")
    try:
        return spool.tally()
    finally:
        spool.close()


def all_there(lab: Lab, receiver: Receiver, events: int) -> Counter[str]:
    """Every event was accepted; how often each, and in which order those of a message were accepted first."""
    accepted = [request for request in receiver.records() if request["status"] < 300]
    first: dict[str, list[int]] = {}
    seen: set[str] = set()
    for request in accepted:
        number = int(request["body"]["requestId"].removeprefix("request-"))
        if request["headers"]["webhook-id"] not in seen:
            seen.add(request["headers"]["webhook-id"])
            first.setdefault(request["body"]["messageExecution"]["messageExecutionID"], []).append(number)
    assert set(range(events)) == {number for numbers in first.values() for number in numbers}
    assert all(numbers == sorted(numbers) for numbers in first.values()), "order by message"
    return Counter(request["headers"]["webhook-id"] for request in accepted)


def kill_under_way(lab: Lab, relay: subprocess.Popen[bytes], receiver: Receiver, rng: random.Random) -> bool:
    """Kill a relay at a random moment: within its start, or after a random amount of further requests.

    Args:
        lab: has the spool.
        relay: the process.
        receiver: records the requests. The size of its record measures the progress, at any speed of the machine.
        rng: chooses the moment.

    Returns:
        Whether the relay was killed. It was not if it ended before.
    """
    recorded = receiver.record_file.stat().st_size if receiver.record_file.exists() else 0
    at_start = rng.random() < 0.2
    deadline = time.monotonic() + (rng.uniform(0.0, 0.06) if at_start else 60.0)
    target = recorded + rng.randrange(MAX_BYTES_UNTIL_KILL)
    while relay.poll() is None and time.monotonic() < deadline:
        if not at_start and receiver.record_file.exists() and receiver.record_file.stat().st_size > target:
            break
        time.sleep(0.005)
    lab.wait_for_progress(relay)
    if relay.poll() is not None:
        return False
    relay.kill()
    return True


@pytest.mark.parametrize(
    ("events", "most_kills"), [(8_000, 12), pytest.param(60_000, 200, marks=pytest.mark.soak)]
)  # fmt: skip
def test_from_a_file_nothing_is_lost(lab: Lab, events: int, most_kills: int) -> None:
    """Kill -9 at random moments until a run ends: every event is accepted, and the spool accounts for every line."""
    rng = random.Random(20261122)
    with lab.receiver(*FAIL) as receiver:
        apply(lab, receiver)
        log = str(lab.write_events("events", (xdm_event(n, n // 2) for n in range(events))))
        kills = 0
        while kills < most_kills:
            with lab.running(*lab.relay_arguments(receiver, log)) as relay:
                if not kill_under_way(lab, relay, receiver, rng):
                    break
                kills += 1
        summary = lab.relay(receiver, log)
        times = all_there(lab, receiver, events)
        account = tally(lab)
    assert kills > 2, "the run was too short to be killed"
    assert (events, 0, events) == (account["read"], account["pending"], account["delivered"])
    assert 0 == summary["pending"]
    repeated = sum(times.values()) - events
    sys.stderr.write(f"\n{events} events, {kills} kills, {repeated} accepted twice\n")
    assert repeated <= kills * IN_FLIGHT_AT_A_KILL


@contextmanager
def producing(relay: subprocess.Popen[bytes], lines: list[bytes]) -> Iterator[None]:
    """Write all the lines into a relay's standard input, until the relay is gone."""

    def produce() -> None:
        assert relay.stdin is not None
        try:
            for start in range(0, len(lines), 50):
                relay.stdin.write(b"".join(lines[start : start + 50]))
            relay.stdin.close()
        except OSError:
            pass

    thread = Thread(target=produce)
    thread.start()
    try:
        yield
    finally:
        if relay.poll() is None:
            relay.wait()
        thread.join()


@pytest.mark.parametrize(
    ("events", "most_kills"), [(10_000, 6), pytest.param(60_000, 60, marks=pytest.mark.soak)]
)  # fmt: skip
def test_from_a_pipe_a_rerun_repeats_only_what_was_in_flight(lab: Lab, events: int, most_kills: int) -> None:
    """The producer is run again from its start after every kill: duplicates are recognized, nothing is lost."""
    rng = random.Random(20261122)
    lines = as_lines(xdm_event(n, n // 2) for n in range(events)).splitlines(keepends=True)
    with lab.receiver(*FAIL) as receiver:
        apply(lab, receiver)
        kills = 0
        while kills < most_kills:
            with (
                lab.running(*lab.relay_arguments(receiver, "-"), stdin=subprocess.PIPE) as relay,
                producing(relay, lines),
            ):
                if not kill_under_way(lab, relay, receiver, rng):
                    break
                kills += 1
        summary = lab.relay(receiver, "-", stdin=b"".join(lines))
        times = all_there(lab, receiver, events)
        account = tally(lab)
    assert kills > 1, "the run was too short to be killed"
    assert adds_up(summary)
    assert (events, 0, events) == (account["delivered"], account["pending"], account["read"] - account["duplicates"])
    repeated = sum(times.values()) - events
    sys.stderr.write(f"\n{events} events, {kills} kills, {repeated} accepted twice\n")
    assert repeated <= kills * IN_FLIGHT_AT_A_KILL
