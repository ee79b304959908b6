"""Asked to stop: what was taken is kept, what is in flight is finished, and impatience loses nothing either."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from threading import Thread

import pytest

from builders import as_lines, xdm_event
from hookline_process import Lab, adds_up
from waiting import wait_until

EVENTS = 20_000


def test_what_was_taken_out_of_a_pipe_is_in_the_spool(lab: Lab) -> None:
    """Stopped in the middle of a pipe: every line that the relay took is accounted for, but one cut in two.

    What it did not take is still the producer's, who learns of it.
    """
    lines = as_lines(xdm_event(n, n) for n in range(EVENTS)).splitlines(keepends=True)
    taken = 0
    with lab.receiver("--delay", "20ms") as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback")
        # A socket instead of a pipe: it tells the producer how much was taken at the end.
        ours, theirs = socket.socketpair()
        with lab.running(*lab.relay_arguments(receiver, "--summary", "json", "-"), stdin=theirs.fileno()) as relay:
            theirs.close()

            def produce() -> None:
                nonlocal taken
                try:
                    for line in lines:
                        ours.sendall(line)
                        taken += 1
                except OSError:
                    pass

            producer = Thread(target=produce)
            producer.start()
            wait_until(lambda: len(receiver.records()) > 20)
            relay.send_signal(signal.SIGTERM)
            out, _ = relay.communicate(timeout=120)
            producer.join(timeout=120)
            ours.close()
        summary = json.loads(out)
        assert adds_up(summary)
        assert (4, 0) == (relay.returncode, summary["rejected"])
        # The kernel's buffers hold some hundred lines between the two.
        assert 0 < summary["read"] <= taken
        rest = lab.relay(receiver, "-", stdin=b"".join(lines[:2000]))
        assert {"duplicates": min(2000, summary["read"])}.items() <= rest.items()


def test_a_second_signal_ends_at_once_and_nothing_is_lost(lab: Lab) -> None:
    """An impatient operator does not wait for the grace; the next run goes on where this one was."""
    with lab.receiver("--delay", "5s") as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback", delivery={"timeout": "30s"})
        log = str(lab.write_events("events", (xdm_event(n, n) for n in range(200))))
        with lab.running(*lab.relay_arguments(receiver, "--grace", "10m", log)) as relay:
            wait_until((lab.directory / ".hookline" / "spool" / "spool.db").exists)
            wait_until(lambda: json.loads(lab.hookline("list", "--format", "json").stdout)[0]["pending"])
            relay.send_signal(signal.SIGTERM)
            relay.send_signal(signal.SIGINT)
            assert relay.wait(timeout=120) in {128 + signal.SIGTERM, 128 + signal.SIGINT}
    with lab.receiver() as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback")
        summary = lab.relay(receiver, log)
        assert 200 == len(set(receiver.accepted()))
    assert 200 == summary["carried"] + summary["read"]


@pytest.mark.starts_first(16)
def test_grace_bounds_the_wait_for_what_is_in_flight(lab: Lab) -> None:
    """An endpoint that does not answer is not waited for longer than --grace; its events stay pending."""
    with lab.receiver("--delay", "15s") as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback", delivery={"timeout": "10m"})
        log = str(lab.write_events("events", (xdm_event(n, n) for n in range(5))))
        with lab.running(*lab.relay_arguments(receiver, "--grace", "1s", "--summary", "json", log)) as relay:
            wait_until((lab.directory / ".hookline" / "spool" / "spool.db").exists)
            wait_until(lambda: json.loads(lab.hookline("list", "--format", "json").stdout)[0]["pending"] == 5)
            relay.send_signal(signal.SIGTERM)
            out, _ = relay.communicate(timeout=120)
    assert (4, 5) == (relay.returncode, json.loads(out)["pending"])


def test_the_service_manager_is_told(lab: Lab) -> None:
    """READY once reading begins, STOPPING when asked to stop: as datagrams to the socket that it named."""
    address = str(lab.directory / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, lab.receiver() as receiver:
        manager.bind(address)
        manager.settimeout(60)
        lab.environment["NOTIFY_SOCKET"] = address
        lab.apply(f"https://localhost:{receiver.port}/feedback")
        with lab.running(*lab.relay_arguments(receiver, "-"), stdin=subprocess.PIPE) as relay:
            told = manager.recv(4096)
            assert b"READY=1" in told
            relay.send_signal(signal.SIGTERM)
            while b"STOPPING=1" not in told:
                told = manager.recv(4096)
            assert 130 == relay.wait(timeout=120)
