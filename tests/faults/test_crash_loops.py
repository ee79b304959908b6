"""A line or a delivery ends every relay that takes it in hand: it becomes a dead letter. The others are delivered.

The crash is planted in the process of the relay, in place of a fault in a C library: it ends without a word.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
from typing import Any

import pytest

from builders import xdm_event
from crash_planting import CRASHING_PARSER, CRASHING_POST, MARK, NO_WAIT, page, planted
from hookline.relay.spool.crash_guard import CRASHES_BEFORE_CARE
from hookline_process import Lab, Receiver, clean_environment, run_process
from waiting import wait_until

AFTER_ONE_CRASH = f"{NO_WAIT}crash_guard.CRASHES_BEFORE_CARE = 1\n"


def run(
    lab: Lab, receiver: Receiver, log: str, *parts: str, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    return run_process(
        None, *lab.relay_arguments(receiver, log), stdin=stdin, cwd=lab.directory, env=clean_environment(),
        before=planted(*parts),
    )  # fmt: skip


def crash_until_the_end(lab: Lab, receiver: Receiver, log: str, *parts: str) -> int:
    """Run relays until one ends on its own. Returns the number of crashes."""
    for crashes in range(20):
        code = run(lab, receiver, log, *parts).returncode
        if code != -signal.SIGKILL:
            assert 3 == code, "some events are dead letters"
            return crashes
    pytest.fail("the relay crashes for ever")


def delivered(receiver: Receiver) -> list[str]:
    """The request ids of the first delivery of each event, in the order of arrival."""
    return list(dict.fromkeys(one["body"]["requestId"] for one in receiver.records()))


@pytest.fixture
def receiver(lab: Lab) -> Any:
    with lab.receiver() as started:
        lab.apply(f"https://localhost:{started.port}/feedback")
        yield started


def test_a_line_that_ends_its_process_becomes_a_dead_letter(lab: Lab, receiver: Receiver) -> None:
    """After three crashes without progress, the lines are read one by one, and the next start knows the line. All
    other lines are delivered once, and those of each message in order."""
    log = str(lab.write_events("events", (xdm_event(n, n // 2) for n in range(40))))
    assert CRASHES_BEFORE_CARE + 1 == crash_until_the_end(lab, receiver, log, NO_WAIT, CRASHING_PARSER)
    expected = [f"request-{n}" for n in range(40) if f"request-{n}" != MARK]
    assert sorted(expected) == sorted(one["body"]["requestId"] for one in receiver.records())
    in_order = [int(one.removeprefix("request-")) for one in delivered(receiver)]
    for message in range(20):
        of_message = [n for n in in_order if n // 2 == message]
        assert sorted(of_message) == of_message
    (letter,) = lab.dead()
    assert ("crashed", 8) == (
        letter["reason"],
        letter["line"],
    )


def test_a_delivery_that_ends_its_process_becomes_a_dead_letter(lab: Lab, receiver: Receiver) -> None:
    """So does a delivery in hand, while all other events are delivered, also the next one of its message."""
    log = str(lab.write_events("events", (xdm_event(n, n // 2) for n in range(20))))
    crashes = crash_until_the_end(lab, receiver, log, NO_WAIT, CRASHING_POST)
    assert CRASHES_BEFORE_CARE < crashes <= 2 * CRASHES_BEFORE_CARE + 2
    assert {f"request-{n}" for n in range(20)} - {MARK} == set(delivered(receiver))
    (letter,) = lab.dead()
    assert "crashed" == letter["reason"]


RAISING_PARSER = CRASHING_PARSER.replace("kill()", "raise RuntimeError")


def test_a_line_that_raises_an_unexpected_error_becomes_a_dead_letter(lab: Lab, receiver: Receiver) -> None:
    """An error that no module expects ends the relay too. It is the same as a crash."""
    log = str(lab.write_events("events", (xdm_event(n, n // 2) for n in range(12))))
    codes = [run(lab, receiver, log, AFTER_ONE_CRASH, RAISING_PARSER).returncode for _ in range(3)]
    assert [3] == codes[-1:]
    assert 3 not in codes[:-1]
    assert {f"request-{n}" for n in range(12)} - {MARK} == set(delivered(receiver))
    assert ["crashed"] == [one["reason"] for one in lab.dead()]


def test_crashed_dead_letters_are_found_and_replayed(lab: Lab, receiver: Receiver) -> None:
    """A replay that ends the process again becomes a dead letter again. After a correction it is delivered."""
    log = str(lab.write_events("events", (xdm_event(n, n // 2) for n in range(12))))
    crash_until_the_end(lab, receiver, log, AFTER_ONE_CRASH, CRASHING_PARSER)
    lab.hookline("dead", "replay", "--reason", "crashed")
    assert 2 == crash_until_the_end(lab, receiver, log, AFTER_ONE_CRASH, CRASHING_PARSER)
    (letter,) = lab.dead()
    assert ("crashed", 8) == (letter["reason"], letter["line"])
    lab.hookline("dead", "replay", "--reason", "crashed")
    lab.relay(receiver, log)
    assert sorted(f"request-{n}" for n in range(12)) == sorted(one["body"]["requestId"] for one in receiver.records())
    assert [] == lab.dead()


def test_a_pipe_whose_producer_begins_again_comes_past_the_line(lab: Lab, receiver: Receiver) -> None:
    """The line is known by its number and its content. Other lines of a producer that begins elsewhere are read."""
    lines = lab.write_events("events", (xdm_event(n, n // 2) for n in range(12))).read_bytes()
    codes = []
    for _ in range(3):
        done = run(lab, receiver, "-", AFTER_ONE_CRASH, CRASHING_PARSER, stdin=lines)
        codes.append(done.returncode)
    assert [-signal.SIGKILL, -signal.SIGKILL, 3] == codes
    assert {f"request-{n}" for n in range(12)} - {MARK} == set(delivered(receiver))


def starts(lab: Lab) -> dict[str, int]:
    """The starts without progress that `status` shows."""
    document = json.loads(lab.hookline("status", "--format", "json").stdout)
    return {one["work"]: one["startsWithoutProgress"] for one in document["crashes"]}


def test_a_kill_after_progress_does_not_count(lab: Lab, receiver: Receiver) -> None:
    """Nor does a run that ends on its own."""
    log = str(lab.write_events("events", (xdm_event(n, n // 2) for n in range(12))))
    with lab.running(*lab.relay_arguments(receiver, log, "--follow")) as relay:
        wait_until(lambda: len(receiver.records()) == 12, process=relay)
        wait_until(lambda: json.loads(lab.hookline("status", "--format", "json").stdout)["tally"]["pending"] == 0)
        relay.kill()
    assert {} == starts(lab)
    lab.relay(receiver, log)
    assert {} == starts(lab)


def test_a_restart_waits_after_crashes_and_says_so(lab: Lab, receiver: Receiver) -> None:
    """readyz and status name the slot. SIGTERM ends the wait, and the crashes still count for the next start."""
    log = str(lab.write_events("events", (xdm_event(n, n // 2) for n in range(12))))
    for _ in range(4):
        run(lab, receiver, log, NO_WAIT, CRASHING_POST.replace(f'"{MARK}"', "request-"))
    assert 4 == 1 + starts(lab)["slot 0"]
    assert lab.starts_without_progress() == max(starts(lab).values())
    long = "from hookline.relay.spool import crash_guard; crash_guard.FIRST_START_WAIT_SECONDS = 3600.0\n"
    long += "crash_guard.MAX_START_WAIT_SECONDS = 7200.0\n"
    lab.before = planted(long)
    with lab.running(*lab.relay_arguments(receiver, log, "--listen", "127.0.0.1:0")) as relay:
        text = wait_until(lambda: re.search(rb"url=(\S+)", (lab.directory / "relay.log").read_bytes()), process=relay)
        expected = "slot 0: crashed 3 times without progress, waits 7200 s"
        wait_until(lambda: expected == page(f"{text[1].decode()}/readyz"), process=relay)
        assert 4 == starts(lab)["slot 0"]
        relay.terminate()
        relay.wait(timeout=120)
    assert 3 == starts(lab)["slot 0"]
    assert [] == receiver.records()
    assert b"slot 0: 3 starts without progress" in lab.hookline("status").stdout
